package director

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"baton/internal/plan"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// wide is a table of so many services with four servers each.
func wide(services int) ipvs.Table {
	t := ipvs.Table{}
	for i := range services {
		k := ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("192.168.16.200"), uint16(i+1)))
		e := ipvs.Entry{Service: ipvs.Service{Key: k, Scheduler: "rr"}}
		for j := range 4 {
			e.Servers.Put(server(fmt.Sprintf("10.%d.%d.%d:80", j, i/250, i%250+1), 1).Server)
		}
		t[k] = e
	}
	return t
}

// TestLargeTableIsReadInTurn: every service within the resync interval, and never many
// at a time; what somebody else has put there is found as well, and that it is gone.
func TestLargeTableIsReadInTurn(t *testing.T) {
	dir := t.TempDir()
	programmed(t, dir, func(p *programmer, k *ipvstest.Kernel, l *passes) {
		want := wide(399) // four parts
		p.change(all(want))
		synctest.Wait()
		foreign := ipvs.FWMarkKey(7, ipvs.IPv4)
		// round returns how often each service was read within a resync interval, and how
		// often the foreign one was found.
		round := func() (read map[ipvs.ServiceKey]int, found int) {
			t.Helper()
			read = map[ipvs.ServiceKey]int{}
			before := len(l.all())
			<-time.After(30 * time.Second)
			synctest.Wait()
			for _, made := range l.all()[before:] {
				if made.res.Whole || len(made.res.Keys) > partSize/5+1 {
					t.Errorf("whole: %v, %d services", made.res.Whole, len(made.res.Keys))
				}
				for _, k := range made.res.Keys {
					read[k]++
				}
				found += len(made.res.Foreign)
			}
			for k := range want {
				if read[k] == 0 {
					t.Errorf("%s was not read", k)
				}
			}
			return read, found
		}
		<-time.After(p.pace() / 2) // a part is not due when a round ends
		if err := k.Run("ipvsadm -A -f 7 -s rr"); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(plan.OwnershipFile(dir)); err != nil {
			t.Fatal(err)
		}
		if read, found := round(); found != 1 || len(read) != 400 {
			t.Errorf("%d services were read, the foreign one was found %d times", len(read), found)
		}
		if _, err := os.Stat(plan.OwnershipFile(dir)); err != nil {
			t.Error(err)
		}
		if err := k.Run("ipvsadm -D -f 7"); err != nil {
			t.Fatal(err)
		}
		if read, found := round(); found != 0 || read[foreign] != 1 {
			t.Errorf("that it is gone was seen %d times; found %d times", read[foreign], found)
		}
		if read, _ := round(); read[foreign] != 0 || len(drifts(l)) != 0 {
			t.Errorf("it is still looked for; drift %v", drifts(l))
		}
	})
}

// TestEditOfALargeTable: the part that shows one has the whole mended at once.
func TestEditOfALargeTable(t *testing.T) {
	programmed(t, t.TempDir(), func(p *programmer, k *ipvstest.Kernel, l *passes) {
		p.change(all(wide(400)))
		synctest.Wait()
		k.Edit(func(t ipvs.Table) {
			for key, e := range t {
				e.Servers = slices.Clone(e.Servers)
				e.Servers[0].Weight = 9
				t[key] = e
			}
		})
		<-time.After(p.pace())
		synctest.Wait()
		if n, made := len(drifts(l)), l.all(); n != 400 || len(made) != 3 || !made[2].res.Whole {
			t.Errorf("%d services mended in %d passes", n, len(made)-1)
		}
	})
}

// TestLargeTableAfterTrouble: when a part could not be read, the whole is, a second later;
// then it goes on in parts.
func TestLargeTableAfterTrouble(t *testing.T) {
	programmed(t, t.TempDir(), func(p *programmer, k *ipvstest.Kernel, l *passes) {
		var left atomic.Int32 // until one fails
		k.BeforeRead = func() error {
			if left.Add(-1) == 0 {
				return syscall.ENOBUFS
			}
			return nil
		}
		p.change(all(wide(400)))
		synctest.Wait()
		left.Store(2)                 // the list of services is not the one
		<-time.After(8 * time.Second) // the first part is due after six
		synctest.Wait()
		var whole []int
		for i, made := range l.all() {
			if made.res.Whole {
				whole = append(whole, i)
			}
		}
		if !slices.Equal(whole, []int{0, 2}) {
			t.Errorf("of %d passes over the whole: %v", len(l.all()), whole)
		}
		<-time.After(7 * time.Second)
		synctest.Wait()
		if made := l.all(); len(made) != 4 || made[3].res.Whole || made[3].err != nil {
			t.Errorf("%d passes", len(made))
		}
	})
}
