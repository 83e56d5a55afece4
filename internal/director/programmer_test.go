package director

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/settings"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// passes are what a programmer reported. They have a lock: a timer of the
// programmer's may fire in the same instant as one that the test waits for,
// and fake time puts those two in no order.
type passes struct {
	mu   sync.Mutex
	made []pass
}

func (l *passes) add(r pass) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, r)
}

func (l *passes) all() []pass {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.made)
}

// programmed runs a programmer over a fake kernel in a bubble of fake time.
func programmed(t *testing.T, dir string, f func(p *programmer, k *ipvstest.Kernel, l *passes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := ipvstest.New("")
		var l passes
		p, err := newProgrammer(k, dir, 30*time.Second, l.add)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.run(ctx, func() {}) }()
		f(p, k, &l)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// all are the changes that bring a table.
func all(t ipvs.Table) changes {
	ch := changes{}
	for k, e := range t {
		ch[k] = &e
	}
	return ch
}

func drifts(l *passes) (lines []string) {
	for _, p := range l.all() {
		for _, op := range p.res.Drift {
			lines = append(lines, op.String())
		}
	}
	return lines
}

func TestDriftIsRepairedWithinTheResyncInterval(t *testing.T) {
	want := holding(server("192.168.16.103:80", 1))
	programmed(t, t.TempDir(), func(p *programmer, k *ipvstest.Kernel, l *passes) {
		p.change(all(want))
		synctest.Wait()
		if len(l.all()) != 1 || len(drifts(l)) != 0 {
			t.Fatalf("first programming: %d passes, drift %v", len(l.all()), drifts(l))
		}
		if err := k.Run("ipvsadm -C"); err != nil {
			t.Fatal(err)
		}
		<-time.After(30 * time.Second)
		synctest.Wait()
		if got := drifts(l); len(got) != 2 || !strings.Contains(got[0], "-A -t 192.168.16.200:80") {
			t.Errorf("drift is %q, want the service and its server", got)
		}
	})
}

// TestServiceOfAnEarlierRunIsRemoved: what was ours before a restart and is no
// longer wanted goes; what never was ours stays.
func TestServiceOfAnEarlierRunIsRemoved(t *testing.T) {
	dir := t.TempDir()
	programmed(t, dir, func(p *programmer, k *ipvstest.Kernel, _ *passes) {
		p.change(all(holding(server("192.168.16.103:80", 1))))
		synctest.Wait()
	})
	programmed(t, dir, func(p *programmer, k *ipvstest.Kernel, l *passes) {
		for _, cmd := range []string{"ipvsadm -A -t 192.168.16.200:80 -s rr", "ipvsadm -A -t 192.0.2.9:99 -s rr"} {
			if err := k.Run(cmd); err != nil {
				t.Fatal(err)
			}
		}
		p.change(nil)
		synctest.Wait()
		table, err := k.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := table.String(); got != "-A -t 192.0.2.9:99 -s rr\n" {
			t.Errorf("table is\n%s", got)
		}
		if f := l.all()[0].res.Foreign; len(f) != 1 || f[0].String() != "tcp 192.0.2.9:99" {
			t.Errorf("foreign are %v", f)
		}
	})
}

// TestUnwritableStateDoesNotStopTraffic is fault 33: the table is programmed all
// the same, and the fault is told.
func TestUnwritableStateDoesNotStopTraffic(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	programmed(t, dir, func(p *programmer, k *ipvstest.Kernel, l *passes) {
		p.change(all(holding(server("192.168.16.103:80", 1))))
		synctest.Wait()
		table, err := k.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(table) != 1 {
			t.Errorf("table is %v", table)
		}
		if err := l.all()[0].err; err == nil || !strings.Contains(err.Error(), "ipvs-owned.json") {
			t.Errorf("the fault is told as %v", err)
		}
	})
}

// TestChangesDoNotPutTheResyncOff: a table that changes all the time is read
// whole every resync interval all the same, and only then.
func TestChangesDoNotPutTheResyncOff(t *testing.T) {
	programmed(t, t.TempDir(), func(p *programmer, k *ipvstest.Kernel, l *passes) {
		other, _ := ipvs.ParseServiceKey("udp 192.0.2.1:53")
		comesAndGoes := []*ipvs.Entry{nil, {Service: ipvs.Service{Key: other, Scheduler: "rr"}}}
		p.change(all(holding(server("192.168.16.103:80", 1))))
		synctest.Wait()
		if err := k.Run("ipvsadm -d -t 192.168.16.200:80 -r 192.168.16.103:80"); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			<-time.After(time.Second)
			p.change(changes{other: comesAndGoes[(i+1)%2]})
			synctest.Wait()
			if got := len(drifts(l)); (got > 0) != (i >= 29) {
				t.Fatalf("after %d s: %d drifts", i+1, got)
			}
		}
	})
}

// TestLookAtFindsDrift: a service that is looked at is read, and mended.
func TestLookAtFindsDrift(t *testing.T) {
	programmed(t, t.TempDir(), func(p *programmer, k *ipvstest.Kernel, l *passes) {
		want := holding(server("192.168.16.103:80", 1))
		p.change(all(want))
		synctest.Wait()
		if err := k.Run("ipvsadm -d -t 192.168.16.200:80 -r 192.168.16.103:80"); err != nil {
			t.Fatal(err)
		}
		p.lookAt(want.Keys()...)
		synctest.Wait()
		if got := drifts(l); len(got) != 1 {
			t.Errorf("drift is %q", got)
		}
	})
}

// TestOwnershipIsWrittenWhenItChanges: not with each pass, but again when
// somebody took the file away.
func TestOwnershipIsWrittenWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	record := filepath.Join(dir, "ipvs-owned.json")
	long := time.Unix(1_000_000_000, 0)
	age := func() time.Time {
		st, err := os.Stat(record)
		if err != nil {
			t.Fatal(err)
		}
		return st.ModTime()
	}
	programmed(t, dir, func(p *programmer, k *ipvstest.Kernel, _ *passes) {
		p.change(all(holding(server("192.168.16.103:80", 1))))
		synctest.Wait()
		if err := os.Chtimes(record, long, long); err != nil {
			t.Fatal(err)
		}
		p.change(all(holding(server("192.168.16.103:80", 2))))
		synctest.Wait()
		p.poke()
		synctest.Wait()
		if !age().Equal(long) {
			t.Error("the record was written again though nothing changed in it")
		}
		p.change(changes{webKey: nil})
		synctest.Wait()
		if raw, err := os.ReadFile(record); err != nil || string(raw) != "[]" {
			t.Errorf("record is %s, error %v", raw, err)
		}
		if err := os.Remove(record); err != nil {
			t.Fatal(err)
		}
		p.poke()
		synctest.Wait()
		age()
	})
}

func TestDamagedOwnershipRecordIsAClearError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ipvs-owned.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := newProgrammer(ipvstest.New(""), dir, time.Second, nil)
	if err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("error is %v", err)
	}
}

// failing is a kernel whose readings fail so many times.
type failing struct {
	ipvs.Kernel
	left *int
}

func (f failing) Read(ctx context.Context) (ipvs.Table, error) {
	if *f.left--; *f.left >= 0 {
		return nil, ipvs.ErrHung
	}
	return f.Kernel.Read(ctx)
}

// TestFailedPassIsTriedAgain within a second, long before the next resync.
func TestFailedPassIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 2
		var l passes
		p, err := newProgrammer(failing{ipvstest.New(""), &left}, t.TempDir(), 30*time.Second, l.add)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = p.run(ctx, func() {}) })
		p.change(all(holding(server("192.168.16.103:80", 1))))
		<-time.After(2500 * time.Millisecond)
		synctest.Wait()
		made := l.all()
		if len(made) != 3 || made[0].err == nil || made[1].err == nil || made[2].err != nil || len(made[2].res.Applied) != 2 {
			t.Errorf("after 2.5 s of two failures: %+v", made)
		}
		cancel()
		run.Wait()
	})
}

// TestRecordAfterAPassCutShort: what a pass that was cut short has recorded does
// not keep the next from recording what it brings.
func TestRecordAfterAPassCutShort(t *testing.T) {
	kernel := ipvstest.New("")
	p, err := newProgrammer(kernel, t.TempDir(), time.Minute, func(pass) {})
	if err != nil {
		t.Fatal(err)
	}
	service := func(mark uint32) (ipvs.ServiceKey, *ipvs.Entry) {
		k := ipvs.FWMarkKey(mark, ipvs.IPv4)
		return k, &ipvs.Entry{Service: ipvs.Service{Key: k, Scheduler: "rr"}}
	}
	a, first := service(1)
	b, second := service(2)
	c, third := service(3)
	p.change(changes{a: first})
	if err := p.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	readings := 0
	kernel.BeforeRead = func() error {
		if readings++; readings == 2 {
			cancel()
		}
		return nil
	}
	p.change(changes{a: nil, b: second})
	if err := p.once(ctx); err != nil || readings != 2 {
		t.Fatal(readings, err)
	}
	p.change(changes{c: third})
	kernel.BeforeApply = func(op ipvs.Op) error {
		if raw, err := os.ReadFile(p.record); err != nil || !strings.Contains(string(raw), "fwmark 3") {
			t.Errorf("at %s the record is %s, error %v", op, raw, err)
		}
		return nil
	}
	if err := p.once(t.Context()); err != nil || kernel.String() != "-A -f 2 -s rr\n-A -f 3 -s rr\n" {
		t.Errorf("error %v, table\n%s", err, kernel)
	}
}

// TestForeignServicesAreToldOnce: also by passes over a part of the table, which
// say nothing of the others.
func TestForeignServicesAreToldOnce(t *testing.T) {
	c := testCore(t, &conf.Config{})
	x, y := ipvs.FWMarkKey(1, ipvs.IPv4), ipvs.FWMarkKey(2, ipvs.IPv4)
	for _, tc := range []struct {
		res    ipvs.Result
		known  int
		told   int
		reason string
	}{
		{ipvs.Result{Whole: true, Foreign: []ipvs.ServiceKey{x, y}}, 2, 2, "both are new"},
		{ipvs.Result{Keys: []ipvs.ServiceKey{y}, Foreign: []ipvs.ServiceKey{y}}, 2, 2, "one is still there"},
		{ipvs.Result{Keys: []ipvs.ServiceKey{x}}, 1, 2, "the other is gone"},
		{ipvs.Result{Keys: []ipvs.ServiceKey{x, y}, Foreign: []ipvs.ServiceKey{x, y}}, 2, 3, "it is back"},
		{ipvs.Result{Whole: true, Foreign: []ipvs.ServiceKey{y}}, 1, 3, "it is gone again"},
		{ipvs.Result{Whole: true, Foreign: []ipvs.ServiceKey{x, y}}, 2, 4, "and back"},
	} {
		c.passed(pass{seq: 1, res: tc.res})
		if told := len(c.told(event.IPVSForeign)); len(c.foreign) != tc.known || told != tc.told {
			t.Errorf("%s: %d known, want %d; told %d times, want %d", tc.reason, len(c.foreign), tc.known, told, tc.told)
		}
	}
}

// TestClearOnStop: what ends with the daemon goes, also where a verdict has come
// that nobody has acted on.
func TestClearOnStop(t *testing.T) {
	for onStop, want := range map[string]string{
		conf.OnStopKeep:   "-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1\n-A -f 9 -s rr\n",
		conf.OnStopRemove: "-A -f 9 -s rr\n",
	} {
		kernel := ipvstest.New("-A -f 9 -s rr")
		c := testCore(t, &conf.Config{})
		var err error
		c.prog, err = newProgrammer(kernel, t.TempDir(), time.Minute, func(pass) {})
		if err != nil {
			t.Fatal(err)
		}
		c.steward = newSteward(settings.Machine{Kernel: kernel}, t.TempDir(), time.Minute, func(settled) {})
		ends := serving(ipvs.FWMarkKey(7, ipvs.IPv4), server("192.168.16.105:0", 1, "o"))
		ends.Omega = true
		cfg := tracking()
		cfg.Services = append(web(server("192.168.16.103:80", 1, "a")), ends)
		c.adopt(cfg, kernel.Table(), nil)
		c.judged(healthcheck.Verdict{ID: "a", Up: true})
		c.flush()
		if err := c.prog.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.judged(healthcheck.Verdict{ID: "o", Up: true})
		ctx, cancel := context.WithCancel(t.Context())
		var core sync.WaitGroup
		core.Go(func() { c.run(ctx) })
		if err := c.clearOnStop(ctx, onStop); err != nil {
			t.Error(err)
		}
		cancel()
		core.Wait()
		if kernel.String() != want {
			t.Errorf("on_stop %s leaves\n%s", onStop, kernel)
		}
	}
}

// TestNothingGoesBeforeAnythingIsWanted: a pass before the core has said what is
// wanted leaves what an earlier run made.
func TestNothingGoesBeforeAnythingIsWanted(t *testing.T) {
	kernel := ipvstest.New("-A -f 1 -s rr")
	p, err := newProgrammer(kernel, t.TempDir(), time.Minute, func(pass) { t.Error("a pass was made") })
	if err != nil {
		t.Fatal(err)
	}
	p.owned = ipvs.Ownership{}.With(kernel.Table())
	if err := p.once(t.Context()); err != nil || kernel.String() != "-A -f 1 -s rr\n" {
		t.Errorf("error %v, table %q", err, kernel)
	}
}
