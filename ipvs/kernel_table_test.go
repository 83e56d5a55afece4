//go:build linux && kernel

package ipvs_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestKernelListing: the reference service looks in ipvsadm -Ln as operators know it.
func TestKernelListing(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(ipvstest.OpenKernel(t))
	reconcile(t, r, tableOf(t, `-A -t 192.168.16.200:80 -s rr
		-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1
		-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 1`), nil)
	got := strings.Join(strings.Fields(shell(t, "ipvsadm -Ln | tail -n +2")), " ")
	const want = "Prot LocalAddress:Port Scheduler Flags -> RemoteAddress:Port Forward Weight ActiveConn InActConn " +
		"TCP 192.168.16.200:80 rr -> 192.168.16.103:80 Route 1 0 0 -> 192.168.16.104:80 Route 1 0 0"
	if got != want {
		t.Fatalf("ipvsadm -Ln:\n%s\nwant\n%s", got, want)
	}
}

// TestKernelSchedulers programs every scheduler that the kernel has, with every
// combination of flags. Which these are, its modules say; for another one the
// error must name the module. All but the youngest are everywhere.
func TestKernelSchedulers(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(ipvstest.OpenKernel(t))
	desired := ipvs.Table{}
	var here, lacking []string
	port := uint16(1)
	for _, name := range ipvs.Schedulers() {
		if kernelHas(t, "ip_vs_"+name) {
			here = append(here, name)
		} else {
			lacking = append(lacking, name)
		}
		combinations := ipvs.SchedFlags(8)
		if name == "sh" || name == "mh" {
			combinations = 4 // they have two flags, and ipvsadm shows no third
		}
		for flags := range combinations {
			k := ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port))
			desired[k] = ipvs.Entry{Service: ipvs.Service{Key: k, Scheduler: name, SchedFlags: flags}}
			port++
		}
	}
	if len(lacking) > 0 && !slices.Equal(lacking, []string{"twos"}) { // Linux 5.17 brought it, not every configuration has it
		t.Fatalf("this kernel has no module for %v", lacking)
	}
	_, err := r.Reconcile(context.Background(), desired, nil)
	missing := map[string]bool{}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			m := regexp.MustCompile(`^add service tcp 192\.0\.2\.1:\d+: scheduler (\w+): missing kernel module: run modprobe ip_vs_(\w+): no such file or directory$`).
				FindStringSubmatch(e.Error())
			if m == nil || m[1] != m[2] || !errors.Is(e, ipvs.ErrNoModule) {
				t.Fatalf("unexpected error: %v", e)
			}
			missing[m[1]] = true
		}
	} else if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(missing)); !slices.Equal(got, lacking) {
		t.Fatalf("schedulers refused: %v; this kernel lacks %v", got, lacking)
	}
	maps.DeleteFunc(desired, func(k ipvs.ServiceKey, e ipvs.Entry) bool { return missing[e.Service.Scheduler] })
	wantTable(t, desired)
	t.Logf("programmed %d schedulers: %s; not in this kernel: %v", len(here), strings.Join(here, " "), lacking)
}

// everything has one of each thing that a table can hold.
const everything = `
	-A -t 192.0.2.1:80 -s wrr
	-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 0
	-a -t 192.0.2.1:80 -r 198.51.100.2:8080 -m -w 65535 -x 1000 -y 10
	-a -t 192.0.2.1:80 -r 198.51.100.3:80 -i -w 1
	-a -t 192.0.2.1:80 -r 198.51.100.4:80 -i -w 2 --tun-type gue --tun-port 5555 --tun-csum
	-a -t 192.0.2.1:80 -r 198.51.100.5:80 -i -w 2 --tun-type gue --tun-port 5556 --tun-remcsum
	-a -t 192.0.2.1:80 -r 198.51.100.6:80 -i -w 3 --tun-type gre
	-a -t 192.0.2.1:80 -r [2001:db8:1::1]:80 -i -w 4
	-A -t 192.0.2.1:0 -s sh -b sh-fallback,sh-port -p 300 -M 255.255.255.0
	-A -u 192.0.2.1:53 -s mh -b mh-port -o
	-A --sctp-service 192.0.2.1:2905 -s sed
	-a --sctp-service 192.0.2.1:2905 -r 198.51.100.1:2905 -m -w 7
	-A -t [2001:db8::1]:443 -s wlc -p 60 -M 64
	-a -t [2001:db8::1]:443 -r [2001:db8:1::1]:443 -g -w 1
	-a -t [2001:db8::1]:443 -r [2001:db8:1::2]:8443 -m -w 1
	-a -t [2001:db8::1]:443 -r 198.51.100.1:443 -i -w 1 --tun-type gre --tun-csum
	-A -f 2147483647 -s rr -p 2678400
	-a -f 2147483647 -r 198.51.100.1:0 -g -w 1
	-A -f 7 -6 -s nq -o
	-a -f 7 -6 -r [2001:db8:1::1]:0 -g -w 1
	-A -t 192.0.2.9:1 -s rr -p 1 -M 0.0.0.0
`

// TestKernelEverything programs one of each thing that a table can hold, then
// changes each into something else, and ipvsadm sees both.
func TestKernelEverything(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(ipvstest.OpenKernel(t))
	first := tableOf(t, everything)
	second := tableOf(t, `
		-A -t 192.0.2.1:80 -s mh -b mh-fallback -p 5
		-a -t 192.0.2.1:80 -r 198.51.100.1:80 -i -w 65535 --tun-type gue --tun-port 1
		-a -t 192.0.2.1:80 -r 198.51.100.3:80 -i -w 1 --tun-type gre --tun-csum
		-a -t 192.0.2.1:80 -r 198.51.100.4:80 -i -w 2
		-a -t 192.0.2.1:80 -r 198.51.100.5:80 -g -w 2 -x 5
		-a -t 192.0.2.1:80 -r 198.51.100.6:80 -m -w 3
		-a -t 192.0.2.1:80 -r [2001:db8:1::1]:80 -i -w 0 --tun-type gue --tun-port 9
		-A -t 192.0.2.1:0 -s wlc -p 300
		-A -u 192.0.2.1:53 -s mh
		-A -t [2001:db8::1]:443 -s wlc -p 60
		-a -t [2001:db8::1]:443 -r [2001:db8:1::1]:443 -g -w 2
		-A -f 2147483647 -s rr -o
		-A -f 7 -6 -s nq -p 9 -M 1
		-A -t 192.0.2.9:1 -s rr -p 1
	`)
	owned := ipvs.Ownership{}
	for i, desired := range []ipvs.Table{first, second, first, {}} {
		res := reconcile(t, r, desired, owned)
		owned = res.Owned
		if len(res.Drift) != 0 || res.Passes != 2 {
			t.Errorf("step %d: %d passes, drift %v", i, res.Passes, res.Drift)
		}
		wantTable(t, desired)
		if res := reconcile(t, r, desired, owned); res.Applied != nil || res.Passes != 1 {
			t.Fatalf("step %d: a second reconcile applied %v", i, res.Applied)
		}
	}
}

// TestKernelRead: what ipvsadm wrote is read whole, beyond what moby/ipvs can.
func TestKernelRead(t *testing.T) {
	namespace(t)
	const commands = `
		ipvsadm -A -t 192.0.2.1:80 -s wlc
		ipvsadm -a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 70000
		ipvsadm -a -t 192.0.2.1:80 -r 198.51.100.2:80 -i -w 2147483647 --tun-type gue --tun-port 6080
		ipvsadm -a -t 192.0.2.1:80 -r [2001:db8::2]:80 -i -w 1`
	shell(t, commands)
	got, err := ipvstest.OpenKernel(t).Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tableOf(t, commands).String(), got.String()); diff != "" {
		t.Fatalf("Read (-want +got):\n%s", diff)
	}
}

// TestKernelCounters counts real connections, and listens to none of them twice.
func TestKernelCounters(t *testing.T) {
	namespace(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("192.0.2.1/32")
	if err == nil {
		err = netlink.AddrAdd(lo, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	k := ipvstest.OpenKernel(t)
	reconcile(t, ipvs.NewReconciler(k), tableOf(t, `-A -t 192.0.2.1:80 -s rr
		-a -t 192.0.2.1:80 -r 192.0.2.1:80 -g -w 1`), nil)
	listener, err := net.Listen("tcp", "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const connections = 5
	for range connections {
		c, err := net.DialTimeout("tcp", "192.0.2.1:80", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	key, _ := ipvs.ParseServiceKey("tcp 192.0.2.1:80")
	var e ipvs.Entry
	for until := time.Now().Add(20 * time.Second); e.Counters.Connections < connections && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond) // the kernel sums up its counters every 2 s
		table, err := k.Read(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		e = table[key]
	}
	s, _ := e.Servers.Get(ipvs.MakeServerKey(netip.MustParseAddrPort("192.0.2.1:80")))
	if e.Counters.Connections != connections || s.Stats.Counters.Connections != connections ||
		s.Stats.Active != connections || s.Stats.Inactive != 0 {
		t.Errorf("service %+v\nserver %+v\nwant %d active connections\n%s", e.Counters, *s.Stats, connections, shell(t, "ipvsadm -Ln --stats"))
	}
	if e.Counters.PacketsIn < 2*connections || e.Counters.BytesIn < 40*e.Counters.PacketsIn {
		t.Errorf("counters %+v", e.Counters)
	}
	if err := k.Zero(context.Background(), key); err != nil {
		t.Fatal(err)
	}
	if table, err := k.Read(context.Background()); err != nil || table[key].Counters.Connections != 0 {
		t.Errorf("after Zero: %+v, error %v", table[key].Counters, err)
	}
}

// TestKernelSaveFormat: what Table.String prints is ipvsadm-save -n, but for
// thresholds, which that leaves out, the order, which there is the kernel's, and
// two defaults of tunnels, which that spells out.
func TestKernelSaveFormat(t *testing.T) {
	namespace(t)
	table := tableOf(t, everything)
	for _, e := range table {
		for i := range e.Servers {
			e.Servers[i].UpperThreshold, e.Servers[i].LowerThreshold = 0, 0
		}
	}
	reconcile(t, ipvs.NewReconciler(ipvstest.OpenKernel(t)), table, nil)
	defaults := strings.NewReplacer(" --tun-type ipip", "", " --tun-nocsum", "")
	if diff := cmp.Diff(blocks(table.String()), blocks(defaults.Replace(ipvsadm(t, "", "-S", "-n")))); diff != "" {
		t.Errorf("Table.String (-) and ipvsadm -Sn (+):\n%s", diff)
	}
}

// blocks splits a saved table into its services, each with its servers sorted.
func blocks(saved string) []string {
	var services [][]string
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "-A") {
			services = append(services, nil)
		}
		last := len(services) - 1
		services[last] = append(services[last], line)
	}
	var out []string
	for _, s := range services {
		slices.Sort(s[1:])
		out = append(out, strings.Join(s, "\n"))
	}
	slices.Sort(out)
	return out
}
