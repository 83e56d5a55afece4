package ipvs_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

func TestServiceKeyText(t *testing.T) {
	for _, s := range []string{
		"tcp 192.168.16.200:80", "udp [2001:db8::1]:53", "sctp 192.0.2.1:2905", "tcp 192.0.2.1:0",
		"fwmark 7", "fwmark 4294967295 ipv6",
	} {
		k, err := ipvs.ParseServiceKey(s)
		if err != nil || k.String() != s {
			t.Errorf("%q became %q, error %v", s, k, err)
		}
	}
	for s, why := range map[string]string{
		"":                     "not two or three words",
		"tcp":                  "not two or three words",
		"tcp 192.0.2.1:80 x y": "not two or three words",
		"tcp 192.0.2.1:80 x":   "a word too many",
		"icmp 192.0.2.1:80":    "unknown protocol",
		"tcp 192.0.2.1":        "not an ip:port",
		"tcp 192.0.2.1:65536":  "invalid port",
		"fwmark 0":             "from 1 to 4294967295",
		"fwmark 4294967296":    "from 1 to 4294967295",
		"fwmark 7 ipv5":        "not ipv6",
	} {
		if _, err := ipvs.ParseServiceKey(s); err == nil || !strings.Contains(err.Error(), why) ||
			!strings.Contains(err.Error(), `want "tcp ADDRESS:PORT"`) {
			t.Errorf("%q: error %v, want one that says %q and what is right", s, err, why)
		}
	}
}

// TestKeysAreOne: IPv4-mapped addresses and zones do not make another service.
func TestKeysAreOne(t *testing.T) {
	plain := netip.MustParseAddrPort("192.0.2.1:80")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:80")
	if ipvs.AddressKey(ipvs.TCP, plain) != ipvs.AddressKey(ipvs.TCP, mapped) || ipvs.MakeServerKey(plain) != ipvs.MakeServerKey(mapped) {
		t.Error("a mapped address makes another key")
	}
	if k := ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("[fe80::1%eth0]:80")); k.String() != "tcp [fe80::1]:80" || k.AF() != ipvs.IPv6 {
		t.Errorf("key %s", k)
	}
	if k := ipvs.AddressKey(ipvs.TCP, mapped); k.AF() != ipvs.IPv4 {
		t.Errorf("family of %s is %s", k, k.AF())
	}
}

func TestKeyOrder(t *testing.T) {
	want := []string{
		"tcp 9.0.0.1:80", "tcp 10.0.0.1:80", "tcp 10.0.0.1:443", "tcp [2001:db8::1]:80",
		"udp 9.0.0.1:80", "sctp 9.0.0.1:80", "fwmark 2", "fwmark 2 ipv6", "fwmark 10",
	}
	if !slices.IsSortedFunc(want, func(a, b string) int {
		x, _ := ipvs.ParseServiceKey(a)
		y, _ := ipvs.ParseServiceKey(b)
		return x.Compare(y)
	}) {
		t.Error("keys are in another order")
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct {
		f          ipvs.Family
		text, back string
		value      ipvs.Mask
	}{
		{ipvs.IPv4, "255.255.255.255", "255.255.255.255", 0},
		{ipvs.IPv4, "32", "255.255.255.255", 0},
		{ipvs.IPv4, "/24", "255.255.255.0", 0xff},
		{ipvs.IPv4, "255.0.255.0", "255.0.255.0", 0x00ff00ff},
		{ipvs.IPv4, "0", "0.0.0.0", 0xffffffff},
		{ipvs.IPv6, "128", "128", 0},
		{ipvs.IPv6, "/64", "64", 64},
		{ipvs.IPv6, "1", "1", 127},
	} {
		m, err := ipvs.ParseMask(c.f, c.text)
		if err != nil || m != c.value || m.Format(c.f) != c.back {
			t.Errorf("%s %q: %#x, %q, error %v", c.f, c.text, m, m.Format(c.f), err)
		}
	}
	for _, c := range []struct {
		f    ipvs.Family
		text string
		want string
	}{
		{ipvs.IPv4, "33", "a netmask such as 255.255.255.0"},
		{ipvs.IPv4, "::1", "a netmask such as 255.255.255.0"},
		{ipvs.IPv6, "0", "a prefix length from 1 to 128"},
		{ipvs.IPv6, "129", "a prefix length from 1 to 128"},
		{ipvs.IPv6, "255.255.255.0", "a prefix length from 1 to 128"},
	} {
		if _, err := ipvs.ParseMask(c.f, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: error %v", c.f, c.text, err)
		}
	}
}

func TestSchedFlags(t *testing.T) {
	for _, c := range []struct{ scheduler, names string }{
		{"sh", "sh-fallback,sh-port"}, {"mh", "mh-fallback,mh-port,flag-3"}, {"rr", "flag-1,flag-2,flag-3"},
	} {
		var f ipvs.SchedFlags
		for name := range strings.SplitSeq(c.names, ",") {
			one, err := ipvs.ParseSchedFlag(c.scheduler, name)
			if err != nil {
				t.Error(err)
			}
			f |= one
		}
		if got := strings.Join(f.Names(c.scheduler), ","); got != c.names {
			t.Errorf("%s: %s became %s", c.scheduler, c.names, got)
		}
	}
	for _, c := range []struct{ scheduler, name, want string }{
		{"rr", "sh-port", "scheduler rr has no flags"},
		{"mh", "sh-port", "scheduler mh has the flags mh-fallback, mh-port"},
	} {
		if _, err := ipvs.ParseSchedFlag(c.scheduler, c.name); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v", c.scheduler, c.name, err)
		}
	}
}

func TestParseWords(t *testing.T) {
	if tt, err := ipvs.ParseTunnelType("gre"); err != nil || tt != ipvs.GRE {
		t.Errorf("gre: %v, %v", tt, err)
	}
	if _, err := ipvs.ParseTunnelType("vxlan"); err == nil || !strings.Contains(err.Error(), "not one of ipip, gue, gre") {
		t.Errorf("vxlan: %v", err)
	}
}

// TestCommandsRoundTrip: what an operation prints, ipvsadm's grammar reads
// back as the same operation.
func TestCommandsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		desired, observed, owned := genPair(t)
		for _, op := range ipvs.Plan(desired, observed, owned) {
			op.WasService, op.WasServer = nil, nil
			back, err := ipvstest.Parse(op.String())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(op, back, cmpNetip); diff != "" {
				t.Fatalf("%s (-printed +read):\n%s", op, diff)
			}
		}
	})
}

func TestChanges(t *testing.T) {
	was := ipvstest.New(`-A -t 192.0.2.1:80 -s sh -b sh-port
		-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 1`).Table()
	is := ipvstest.New(`-A -t 192.0.2.1:80 -s rr -o -p 60 -M 255.255.255.0 --pe sip
		-a -t 192.0.2.1:80 -r 198.51.100.1:80 -i -w 3 -x 20 -y 10 --tun-type gue --tun-port 7 --tun-csum`).Table()
	var got []string
	for _, op := range ipvs.Plan(is, was, nil) {
		got = append(got, op.Kind.String()+" "+op.Object()+": "+strings.Join(op.Changes(), ", "))
	}
	want := []string{
		"update server tcp 192.0.2.1:80 198.51.100.1:80: weight 1 -> 3, forward DR -> TUN, tunnel ipip -> gue port 7 csum, " +
			"upper threshold 0 -> 20, lower threshold 0 -> 10",
		"update service tcp 192.0.2.1:80: scheduler sh -> rr, flags sh-port -> none, ops false -> true, persistence 0s -> 1m0s, " +
			"mask 255.255.255.255 -> 255.255.255.0, engine none -> sip",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestOwnershipJSON(t *testing.T) {
	o := ipvs.Ownership{}.With(ipvstest.New("-A -u 192.0.2.1:53 -s rr\n-A -f 7 -6 -s rr\n-A -t 192.0.2.1:80 -s rr").Table())
	b, err := json.Marshal(o)
	if want := `["tcp 192.0.2.1:80","udp 192.0.2.1:53","fwmark 7 ipv6"]`; err != nil || string(b) != want {
		t.Fatalf("%s, error %v, want %s", b, err, want)
	}
	var back ipvs.Ownership
	if err := json.Unmarshal(b, &back); err != nil || !cmp.Equal(o.Keys(), back.Keys(), cmpNetip) {
		t.Errorf("read back %v, error %v", back.Keys(), err)
	}
	if err := json.Unmarshal([]byte(`["tcp x"]`), &back); err == nil || !strings.Contains(err.Error(), `parse service "tcp x"`) {
		t.Errorf("error %v", err)
	}
	if b, err := json.Marshal(ipvs.Ownership(nil)); err != nil || string(b) != "[]" {
		t.Errorf("empty: %s, %v", b, err)
	}
}

// TestPersistenceIsWholeSeconds: the kernel knows no fractions, so a plan
// with one would never be done.
func TestPersistenceIsWholeSeconds(t *testing.T) {
	table := ipvstest.New("-A -t 192.0.2.1:80 -s rr -p 2").Table()
	for k, e := range table {
		e.Service.Persistence = 1500 * time.Millisecond
		table[k] = e
	}
	kernel := &ipvstest.Kernel{}
	mustReconcile(t, ipvs.NewReconciler(kernel), table, nil)
	if got, want := kernel.String(), "-A -t 192.0.2.1:80 -s rr -p 2\n"; got != want {
		t.Errorf("programmed %q, want %q", got, want)
	}
}
