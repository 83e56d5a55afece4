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
		want := wide(400)
		p.change(all(want))
		synctest.Wait()
		foreign := ipvs.FWMarkKey(7, ipvs.IPv4)
		k.Edit(func(t ipvs.Table) {
			for key, e := range t {
				e.Servers = slices.Clone(e.Servers)
				e.Servers[0].Weight = 9
				t[key] = e
			}
			t[foreign] = ipvs.Entry{Service: ipvs.Service{Key: foreign, Scheduler: "rr"}}
		})
		if err := os.Remove(plan.OwnershipFile(dir)); err != nil {
			t.Fatal(err)
		}
		<-time.After(30*time.Second - time.Millisecond)
		synctest.Wait()
		found := 0
		for i, made := range l.all()[1:] {
			n := len(made.res.Drift)
			if made.res.Whole || n == 0 || n > gentle/5+1 {
				t.Errorf("pass %d: whole %v, %d services mended", i, made.res.Whole, n)
			}
			found += len(made.res.Foreign)
		}
		if n := len(drifts(l)); n != 400 || found != 1 {
			t.Errorf("%d services mended, %d found", n, found)
		}
		if _, err := os.Stat(plan.OwnershipFile(dir)); err != nil {
			t.Error(err)
		}
		before := len(l.all())
		if err := k.Run("ipvsadm -D -f 7"); err != nil {
			t.Fatal(err)
		}
		<-time.After(30 * time.Second)
		synctest.Wait()
		gone := 0
		for _, made := range l.all()[before:] {
			if slices.Contains(made.res.Keys, foreign) && len(made.res.Foreign) == 0 {
				gone++
			}
		}
		if gone != 1 {
			t.Errorf("that it is gone was seen %d times", gone)
		}
		if again := len(drifts(l)); again != 400 {
			t.Errorf("%d services mended that nobody has touched", again-400)
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
