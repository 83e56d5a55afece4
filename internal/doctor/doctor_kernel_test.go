//go:build linux && kernel

package doctor

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/internal/netif"
	"baton/internal/nstest"
	"baton/internal/realserver"
	"baton/vrrp"
)

var natPair = strings.NewReplacer("KIND", "NAT", "priority = 150", "priority = 150\nadvert_int = \"100ms\"").Replace(pair)

// lan is this process's namespace on a switch with others.
func lan(t *testing.T, others ...*nstest.Host) *nstest.Host {
	t.Helper()
	here := nstest.Here(t)
	nstest.New(t).Switch(append([]*nstest.Host{here}, others...)...)
	return here
}

// wrong are the findings of a report that are critical or warnings, but for the
// clock, which no test machine has right.
func wrong(t *testing.T, r Report) map[string]Finding {
	t.Helper()
	out := map[string]Finding{}
	for _, f := range r.Findings {
		t.Logf("%s %s: %s", f.Severity, f.ID, f.What)
		if f.Severity != OK && f.ID != "clock.sync" {
			out[f.ID] = f
		}
	}
	return out
}

func expect(t *testing.T, got map[string]Finding, want map[string]string) {
	t.Helper()
	for id, what := range want {
		if f, ok := got[id]; !ok || !strings.Contains(f.What, what) {
			t.Errorf("%s is %q, want it with %q", id, f.What, what)
		}
	}
	for id, f := range got {
		if _, wanted := want[id]; !wanted {
			t.Errorf("and %s: %s", id, f.What)
		}
	}
}

func mac(h *nstest.Host) string { return h.Link("eth0").Attrs().HardwareAddr.String() }

// speak sends adverts with VRID 51 from a host until the test ends or the
// returned function is called.
func speak(t *testing.T, h *nstest.Host, from netip.Addr, priority uint8, vip string) (stop func()) {
	t.Helper()
	cfg := vrrp.Config{Interface: "eth0", Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix(vip)}}}
	var c vrrp.Conn
	h.Must(func() (err error) { c, err = vrrp.Listen(cfg.Endpoint()); return err })
	a := vrrp.Advert{Version: vrrp.V3, VRID: 51, Priority: priority, Interval: 100 * time.Millisecond, Checksum: vrrp.ChecksumPseudo}
	message := vrrp.AppendAdvert(nil, a, from, vrrp.Group, cfg.Addresses)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				c.Close()
				return
			case <-time.After(100 * time.Millisecond):
			}
			if err := c.Send(message, vrrp.Delivery{Source: from, Destination: vrrp.Group, TTL: vrrp.TTL}); err != nil {
				t.Error(err)
			}
		}
	}()
	return func() { close(end); <-ended }
}

// Everything at once that goes wrong around a director, on the wire and in the
// kernel; each is found, mended as the finding says, and found well.
func TestKernelDirector(t *testing.T) {
	if !nstest.InNamespace(t) {
		return
	}
	peer, server := nstest.New(t), nstest.New(t)
	here := lan(t, peer, server)
	here.Address("eth0", "192.168.16.11/24")
	peer.Address("eth0", "192.168.16.12/24")
	server.Address("eth0", "192.168.16.103/24")
	// A new namespace may inherit the machine's own values.
	for _, s := range []string{"ip_forward=0", "conf/all/send_redirects=1", "conf/eth0/send_redirects=1", "conf/all/rp_filter=0", "conf/eth0/rp_filter=0"} {
		name, value, _ := strings.Cut(s, "=")
		if err := netif.WriteSysctl("net/ipv4/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := conf.Parse("baton.toml", []byte(natPair), "")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Global.RuntimeDir = t.TempDir()
	look := func() (Facts, map[string]Finding) {
		t.Helper()
		f, err := Gather(t.Context(), cfg, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return f, wrong(t, Judge(cfg, f))
	}

	peer.Address("eth0", "192.168.16.200/24")
	server.Address("lo", "192.168.16.200/32")
	server.Must(func() error { return netif.WriteSysctl("net/ipv4/conf/all/arp_ignore", "0") })
	stop := speak(t, peer, ip("192.168.16.12"), 200, "10.9.9.9/24")
	f, got := look()
	expect(t, got, map[string]string{
		"sysctl.ip_forward": "net.ipv4.ip_forward is 0", "sysctl.send_redirects": "send_redirects is 1",
		"wire.duplicate_vrid": "192.168.16.12 (" + mac(peer) + ") sends VRID 51 on eth0 with priority 200 for other addresses: 10.9.9.9",
		"wire.server_answers": "real server 192.168.16.103 (" + mac(server) + ") answers for 192.168.16.200",
	})
	stop()

	// What is safe is mended by itself, the rest as it says; and now a firewall
	// eats adverts, on their way in and on their way out.
	if done, err := Apply(t.Context(), Judge(cfg, f).Findings); err != nil || len(done) != 3 {
		t.Errorf("mended %q, %v", done, err)
	}
	if err := Refresh(t.Context(), cfg, &f); err != nil {
		t.Fatal(err)
	}
	if got := wrong(t, Judge(cfg, f)); got["sysctl.ip_forward"].ID != "" || got["sysctl.send_redirects"].ID != "" {
		t.Errorf("after --fix: %+v", got)
	}
	server.Must(func() error {
		m, err := realserver.Open(t.Context(), realserver.Options{RuntimeDir: t.TempDir(), StateDir: t.TempDir()})
		if err != nil {
			return err
		}
		defer m.Close()
		return m.Up([]realserver.Want{{VIP: ip("192.168.16.200"), Mode: realserver.DR, Interface: "lo"}})
	})
	here.Run("nft", "add table ip f; add chain ip f in { type filter hook input priority 0; }; add chain ip f out { type filter hook output priority 0; };"+
		"add rule ip f in ip protocol 112 drop; add rule ip f out ip protocol 112 drop")
	stop = speak(t, peer, ip("192.168.16.12"), 200, "192.168.16.200/24")
	_, got = look()
	expect(t, got, map[string]string{"firewall.vrrp_in": "112", "firewall.vrrp_out": "112"})
	for _, f := range got {
		command := strings.Fields(f.Mend)
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", f.Mend, err, out)
		}
	}
	_, got = look()
	expect(t, got, nil)

	// Who answers without adverts is a stranger.
	stop()
	here.Run("ip", "link", "add", kubeDevice, "type", "veth", "peer", "name", "other")
	was := f.KubeIPVS
	if f, got = look(); was || !f.KubeIPVS {
		t.Errorf("%s: %v before it was there, %v since", kubeDevice, was, f.KubeIPVS)
	}
	expect(t, got, map[string]string{"wire.duplicate_vip": mac(peer) + " answers for 192.168.16.200 on eth0"})
}

// A real server that answers ARP for the address, behind the wrong gateway.
func TestKernelRealServer(t *testing.T) {
	if !nstest.InNamespace(t) {
		return
	}
	director, router := nstest.New(t), nstest.New(t)
	here := lan(t, director, router)
	here.Address("eth0", "192.168.16.103/24")
	here.Address("lo", "192.168.16.200/32")
	director.Address("eth0", "192.168.16.11/24")
	director.Address("eth0", "192.168.16.200/24")
	router.Address("eth0", "192.168.16.1/24")
	here.Run("ip", "route", "add", "default", "via", "192.168.16.11")
	for _, s := range []string{"all/arp_ignore", "all/arp_announce", "all/rp_filter", "eth0/rp_filter"} {
		if err := netif.WriteSysctl("net/ipv4/conf/"+s, "0"); err != nil {
			t.Fatal(err)
		}
	}
	m, err := realserver.Open(t.Context(), realserver.Options{RuntimeDir: t.TempDir(), StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	want := []realserver.Want{{VIP: ip("192.168.16.200"), Mode: realserver.DR, Interface: "lo"}}
	var f Facts
	look := func() map[string]Finding {
		t.Helper()
		var err error
		f, err = GatherServer(t.Context(), m, want, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s := f.Segments["eth0"]; !s.Asked || len(s.Claims) != 1 || len(f.Segments) != 1 {
			t.Errorf("on eth0 there was %+v, of %d interfaces", s, len(f.Segments))
		}
		return wrong(t, JudgeServer(want, f))
	}
	// A container's end of a cable: its bridge takes what comes in by it.
	here.Run("ip", "link", "add", "br0", "type", "bridge")
	here.Cable("veth7", nstest.New(t), "eth0")
	here.Run("ip", "link", "set", "veth7", "master", "br0")
	here.Run("ip", "-6", "address", "replace", "fe80::7/64", "dev", "veth7", "nodad")
	expect(t, look(), map[string]string{
		"realserver.silence":  "arp_", // two findings of one name
		"realserver.gateway":  "192.168.16.11 (" + mac(director) + ")",
		"wire.answers_itself": "this server answers for 192.168.16.200",
	})
	// What --fix has put right is found right.
	if done, err := Apply(t.Context(), JudgeServer(want, f).Findings); err != nil || len(done) != 2 {
		t.Errorf("mended %q, %v", done, err)
	}
	if err := RefreshServer(t.Context(), m, want, &f); err != nil {
		t.Fatal(err)
	}
	expect(t, wrong(t, JudgeServer(want, f)), map[string]string{"realserver.gateway": "192.168.16.11"})
	if err := m.Up(want); err != nil {
		t.Fatal(err)
	}
	here.Run("ip", "route", "replace", "default", "via", "192.168.16.1")
	expect(t, look(), nil)
	if out := here.Run("ip", "-br", "link"); strings.Contains(out, "batonask") {
		t.Errorf("the cable has stayed:\n%s", out)
	}
}
