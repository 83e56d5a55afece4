//go:build linux && kernel

package doctor

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/internal/netif"
	"baton/internal/nstest"
)

// What the firewall eats of the way through IPVS is found, and the command of the
// finding lets clients' connections through: on the way out, where IPVS's packets
// are not tracked and a rule for new connections does not fit them, and before
// routing, on the interface.
func TestKernelFirewallOfServices(t *testing.T) {
	if !nstest.InNamespace(t) {
		return
	}
	client, server := nstest.New(t), nstest.New(t)
	here := lan(t, client, server)
	here.Address("eth0", "192.168.16.11/24")
	here.Address("eth0", "192.168.16.200/24")
	client.Address("eth0", "192.168.16.50/24")
	server.Address("eth0", "192.168.16.103/24")
	server.Address("lo", "192.168.16.200/32")
	server.Must(func() error { return netif.WriteSysctl("net/ipv4/conf/all/arp_ignore", "1") })
	server.Must(func() error { return netif.WriteSysctl("net/ipv4/conf/all/arp_announce", "2") })
	for _, s := range []string{"conf/all/rp_filter", "conf/eth0/rp_filter", "vs/conntrack"} {
		if err := netif.WriteSysctl("net/ipv4/"+s, "0"); err != nil {
			t.Fatal(err)
		}
	}
	here.Run("ipvsadm", "-A", "-t", "192.168.16.200:80", "-s", "rr")
	here.Run("ipvsadm", "-a", "-t", "192.168.16.200:80", "-r", "192.168.16.103:80", "-g")
	server.Must(func() error {
		l, err := net.Listen("tcp", "192.168.16.200:80")
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	served := func(within time.Duration) (err error) {
		client.Must(func() error {
			var c net.Conn
			if c, err = net.DialTimeout("tcp", "192.168.16.200:80", within); err == nil {
				c.Close()
			}
			return nil
		})
		return err
	}
	if err := served(nstest.Patience); err != nil {
		t.Fatalf("without a firewall: %v", err)
	}
	cfg, err := conf.Parse("baton.toml", []byte(strings.NewReplacer("KIND", "DR", "priority = 150", "priority = 150\nadvert_int = \"100ms\"").Replace(pair)), "")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Global.RuntimeDir = t.TempDir()
	look := func() map[string]Finding {
		t.Helper()
		f, err := Gather(t.Context(), cfg, Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := Judge(cfg, f)
		found := wrong(t, r)
		for id := range found {
			if !strings.HasPrefix(id, "firewall.") {
				delete(found, id)
			}
		}
		return found
	}
	mended := func(id, what string) {
		t.Helper()
		if served(time.Second) == nil {
			t.Fatal("the firewall of this test drops nothing")
		}
		found := look()
		expect(t, found, map[string]string{id: what})
		if out, err := exec.Command("sh", "-c", found[id].Mend).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", found[id].Mend, err, out)
		}
		expect(t, look(), nil)
		if err := served(nstest.Patience); err != nil {
			t.Errorf("after %s: %v", found[id].Mend, err)
		}
	}
	here.Run("nft", "add table ip f; add chain ip f out { type filter hook output priority 0; policy drop; };"+
		"add rule ip f out ip protocol 112 accept; add rule ip f out oifname lo accept; add rule ip f out ct state new,related,established accept")
	mended("firewall.service_out", "by eth0 for tcp 192.168.16.200:80")
	// nft 1.0 does not tell in JSON which interface a chain is on.
	here.Run("nft", "add table netdev n; add chain netdev n in { type filter hook ingress device eth0 priority 0; }; add rule netdev n in ip daddr 192.168.16.200 drop")
	if strings.Contains(here.Run("nft", "-j", "list", "ruleset"), `"dev"`) {
		mended("firewall.service", "comes in by eth0")
	} else {
		expect(t, look(), map[string]string{"firewall.read": "chain in of table netdev n drops what must pass if it is on eth0"})
	}
	here.Run("nft", "delete table ip f; delete table netdev n; add table ip g; add chain ip g post { type filter hook postrouting priority 0; }; add rule ip g post tcp dport 80 drop")
	mended("firewall.service_out", "by eth0 for tcp 192.168.16.200:80")
}
