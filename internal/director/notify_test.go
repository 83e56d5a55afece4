package director

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/internal/event"
	"baton/internal/script"
	"baton/vrrp"
)

func command(args ...string) *conf.Command {
	return &conf.Command{Args: args, Timeout: time.Minute}
}

func everyState(name string) conf.Notify {
	return conf.Notify{Master: command(name, "master"), Backup: command(name, "backup"), Fault: command(name, "fault"),
		Stop: command(name, "stop"), Any: command(name, "own arg")}
}

// pair is a configuration of two instances in a group, all with scripts.
func pair() *conf.Config {
	a, b := instanceOn("192.168.16.200/24"), instanceOn("192.168.16.201/24")
	b.Name, b.VRID, b.Priority = "VI_2", 52, 90
	return &conf.Config{Instances: []vrrp.Config{a, b}, SyncGroups: []vrrp.SyncGroup{{Name: "VG", Members: []string{"VI_1", "VI_2"}}},
		Notify: map[string]conf.Notify{"INSTANCE/VI_1": everyState("/a"), "INSTANCE/VI_2": {Any: command("/b")}, "GROUP/VG": everyState("/g")}}
}

// ran collects what a notifier runs. While hold is open everything hangs.
type ran struct {
	mu    sync.Mutex
	lines []string
	envs  [][]string
	hold  map[string]chan struct{} // by program
	ends  script.Result
}

func (r *ran) run(ctx context.Context, c conf.Command, env []string) script.Result {
	r.mu.Lock()
	r.lines = append(r.lines, strings.Join(c.Args, " "))
	r.envs = append(r.envs, env)
	hold := r.hold[c.Args[0]]
	r.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return script.Result{Exit: -1, Canceled: true}
		}
	}
	return r.ends
}

func (r *ran) since(n int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines[n:])
}

// of keeps the lines of one program: those of two queues have no order.
func of(lines []string, program string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(s string) bool { return !strings.HasPrefix(s, program+" ") })
}

// notifying runs f in a bubble, with a core whose scripts are collected.
func notifying(t *testing.T, cfg *conf.Config, f func(t *testing.T, c *core, r *ran)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := testCore(t, cfg)
		r := &ran{hold: map[string]chan struct{}{}}
		c.notifier.run = r.run
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); c.run(ctx) }()
		f(t, c, r)
		c.notifier.stop(time.Hour)
		cancel()
		<-done
	})
}

// turns has an instance change its state.
func (c *core) turns(t *testing.T, instance string, from, to vrrp.Role) {
	t.Helper()
	n := vrrp.Notice{Kind: vrrp.NoticeTransition, Instance: instance, VRID: 51, Interface: "eth0", From: from, To: to, Reason: "why",
		Peer: netip.MustParseAddr("192.168.16.112"), Priority: 100}
	if err := c.ask(t.Context(), func() { c.noticed(n) }); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// TestNotifyInKeepalivedsOrder: that of the state as it stands, then the
// general one with four arguments more; the group when all members have
// changed, or one is faulty; groups first at the end.
func TestNotifyInKeepalivedsOrder(t *testing.T) {
	notifying(t, pair(), func(t *testing.T, c *core, r *ran) {
		seen := 0
		expect := func(what string, a, b, g []string) {
			t.Helper()
			lines := r.since(seen)
			seen += len(lines)
			for program, want := range map[string][]string{"/a": a, "/b": b, "/g": g} {
				if got := of(lines, program); !slices.Equal(got, want) {
					t.Errorf("%s: %s ran\n\t%s\nwant\n\t%s", what, program, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
				}
			}
		}
		c.turns(t, "VI_1", vrrp.Init, vrrp.Backup)
		expect("one is backup", []string{"/a backup", "/a own arg INSTANCE VI_1 BACKUP 150"}, nil, nil)
		c.turns(t, "VI_2", vrrp.Init, vrrp.Backup)
		expect("both are backup", nil, []string{"/b INSTANCE VI_2 BACKUP 90"}, []string{"/g backup", "/g own arg GROUP VG BACKUP 0"})
		c.turns(t, "VI_2", vrrp.Backup, vrrp.Master)
		expect("one is master", nil, []string{"/b INSTANCE VI_2 MASTER 90"}, nil)
		c.turns(t, "VI_1", vrrp.Backup, vrrp.Master)
		expect("both are master", []string{"/a master", "/a own arg INSTANCE VI_1 MASTER 150"}, nil, []string{"/g master", "/g own arg GROUP VG MASTER 0"})
		c.turns(t, "VI_1", vrrp.Master, vrrp.Fault)
		expect("one is faulty", []string{"/a fault", "/a own arg INSTANCE VI_1 FAULT 150"}, nil, []string{"/g fault", "/g own arg GROUP VG FAULT 0"})
		c.turns(t, "VI_2", vrrp.Master, vrrp.Fault)
		expect("both are", nil, []string{"/b INSTANCE VI_2 FAULT 90"}, nil)
		// A speaker that died and resumed tells nothing new.
		c.turns(t, "VI_2", vrrp.Init, vrrp.Fault)
		expect("again", nil, nil, nil)
		if err := c.ask(t.Context(), c.notifyStop); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect("stop", []string{"/a stop", "/a own arg INSTANCE VI_1 STOP 150"}, []string{"/b INSTANCE VI_2 STOP 90"}, []string{"/g stop", "/g own arg GROUP VG STOP 0"})
	})
}

func TestNotifyEnvironment(t *testing.T) {
	notifying(t, pair(), func(t *testing.T, c *core, r *ran) {
		c.turns(t, "VI_2", vrrp.Backup, vrrp.Master)
		c.turns(t, "VI_1", vrrp.Backup, vrrp.Fault)
		got := map[string]string{}
		for i, l := range r.since(0) {
			got[l] = strings.Join(r.envs[i], " ")
		}
		for line, want := range map[string]string{
			"/b INSTANCE VI_2 MASTER 90": "BATON_INSTANCE=VI_2 BATON_FROM=BACKUP BATON_TO=MASTER BATON_REASON=why BATON_PRIORITY=90 BATON_PEER=192.168.16.112 BATON_VRID=52 BATON_INTERFACE=eth0",
			"/g fault":                   "BATON_GROUP=VG BATON_FROM=INIT BATON_TO=FAULT BATON_REASON=why BATON_PRIORITY=0 BATON_PEER=192.168.16.112",
		} {
			if got[line] != want {
				t.Errorf("%s has %q", line, got[line])
			}
		}
	})
}

// TestNotifyIsToldTheEffectivePriority: configured, and changed by tracking.
func TestNotifyIsToldTheEffectivePriority(t *testing.T) {
	cfg := pair()
	cfg.Notify = map[string]conf.Notify{"INSTANCE/VI_1": {Any: command("/a")}}
	notifying(t, cfg, func(t *testing.T, c *core, r *ran) {
		c.turns(t, "VI_1", vrrp.Init, vrrp.Master)
		do := func(f func()) {
			if err := c.ask(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		do(func() {
			c.noticed(vrrp.Notice{Kind: vrrp.NoticePriorityChanged, Instance: "VI_1", Was: 150, Priority: 90})
		})
		c.turns(t, "VI_1", vrrp.Master, vrrp.Backup)
		do(func() {
			c.gotStatus(speakerFacts{Instances: []vrrp.Status{{Config: c.instances["VI_1"].cfg, EffectivePriority: 120}}})
		})
		c.turns(t, "VI_1", vrrp.Backup, vrrp.Master)
		next := pair()
		next.Notify, next.Instances[0].Priority = cfg.Notify, 70
		do(func() { c.install(next, time.Now()) })
		c.turns(t, "VI_1", vrrp.Master, vrrp.Backup)
		want := []string{"/a INSTANCE VI_1 MASTER 150", "/a INSTANCE VI_1 BACKUP 90", "/a INSTANCE VI_1 MASTER 120", "/a INSTANCE VI_1 BACKUP 70"}
		if got := r.since(0); !slices.Equal(got, want) {
			t.Errorf("ran %q", got)
		}
	})
}

// TestHangingScriptHoldsUpItsQueueOnly: the core goes on, the other instance's
// scripts run, and the queue keeps its order and its bound.
func TestHangingScriptHoldsUpItsQueueOnly(t *testing.T) {
	notifying(t, pair(), func(t *testing.T, c *core, r *ran) {
		r.hold["/a"] = make(chan struct{})
		c.turns(t, "VI_1", vrrp.Init, vrrp.Backup)
		c.turns(t, "VI_2", vrrp.Init, vrrp.Backup)
		if got := r.since(0); !slices.Contains(got, "/b INSTANCE VI_2 BACKUP 90") || len(of(got, "/a")) != 1 {
			t.Fatalf("while one hangs there ran %q", got)
		}
		from := vrrp.Backup
		for i := range notifyBound + 2 {
			to := []vrrp.Role{vrrp.Master, vrrp.Backup, vrrp.Fault}[i%3]
			c.turns(t, "VI_1", from, to)
			if c.instances["VI_1"].role != to {
				t.Fatal("the core waits for the script")
			}
			from = to
		}
		want := []string{"notify.dropped instance=VI_1 to=MASTER reason=more than 100 transitions wait for their scripts",
			"notify.dropped instance=VI_1 to=BACKUP reason=more than 100 transitions wait for their scripts"}
		if got := c.told(event.NotifyDropped); !slices.Equal(got, want) {
			t.Errorf("told %q", got)
		}
		close(r.hold["/a"])
		synctest.Wait()
		got := of(r.since(0), "/a")
		if len(got) != 2*(notifyBound+1) || got[2] != "/a fault" || got[3] != "/a own arg INSTANCE VI_1 FAULT 150" || got[4] != "/a master" || got[len(got)-2] != "/a fault" {
			t.Errorf("%d ran: %q … %q", len(got), got[:5], got[len(got)-2:])
		}
	})
}

// TestReloadedCommandsAreForLaterTransitions, and an instance that a reload
// removes tells the scripts that it had.
func TestReloadedCommandsAreForLaterTransitions(t *testing.T) {
	notifying(t, pair(), func(t *testing.T, c *core, r *ran) {
		r.hold["/a"] = make(chan struct{})
		c.turns(t, "VI_1", vrrp.Init, vrrp.Backup)
		c.turns(t, "VI_1", vrrp.Backup, vrrp.Master)
		next := pair()
		next.Notify = map[string]conf.Notify{"INSTANCE/VI_1": {Any: command("/new")}}
		next.SyncGroups = nil
		next.Instances = next.Instances[:1]
		if err := c.ask(t.Context(), func() { c.install(next, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		c.turns(t, "VI_1", vrrp.Master, vrrp.Backup)
		c.turns(t, "VI_2", vrrp.Master, vrrp.Init)
		close(r.hold["/a"])
		synctest.Wait()
		got := r.since(0)
		if a := of(got, "/a"); len(a) != 4 || a[3] != "/a own arg INSTANCE VI_1 MASTER 150" {
			t.Errorf("the old commands ran for %q", a)
		}
		if n := of(got, "/new"); !slices.Equal(n, []string{"/new INSTANCE VI_1 BACKUP 150"}) {
			t.Errorf("the new command ran for %q", n)
		}
		if b := of(got, "/b"); !slices.Equal(b, []string{"/b INSTANCE VI_2 STOP 90"}) {
			t.Errorf("the removed instance ran %q", b)
		}
		if g := of(got, "/g"); !slices.Equal(g, []string{"/g stop", "/g own arg GROUP VG STOP 0"}) {
			t.Errorf("the removed group ran %q", g)
		}
	})
}

func TestNotifyOutcomeIsTold(t *testing.T) {
	cfg := pair()
	cfg.Notify = map[string]conf.Notify{"INSTANCE/VI_1": {Any: command("/a")}}
	notifying(t, cfg, func(t *testing.T, c *core, r *ran) {
		c.turns(t, "VI_1", vrrp.Init, vrrp.Backup)
		r.ends = script.Result{Exit: 7, Output: "no such route\n"}
		c.turns(t, "VI_1", vrrp.Backup, vrrp.Master)
		want := []string{"notify.ran instance=VI_1 to=BACKUP command=/a took=0s",
			"notify.failed instance=VI_1 to=MASTER command=/a reason=exit status 7 took=0s detail=no such route"}
		if got := c.told(event.NotifyRan, event.NotifyFailed); !slices.Equal(got, want) {
			t.Errorf("told %q", got)
		}
	})
}

// TestStopWaitsForScriptsNotForEver: the last scripts run, but one that hangs
// is ended, and what stands behind it is told as dropped.
func TestStopWaitsForScriptsNotForEver(t *testing.T) {
	cfg := pair()
	cfg.Notify = map[string]conf.Notify{"INSTANCE/VI_1": {Any: command("/a")}, "INSTANCE/VI_2": {Stop: command("/b")}}
	notifying(t, cfg, func(t *testing.T, c *core, r *ran) {
		r.hold["/a"] = make(chan struct{})
		c.turns(t, "VI_1", vrrp.Init, vrrp.Backup)
		c.turns(t, "VI_2", vrrp.Init, vrrp.Backup)
		if err := c.ask(t.Context(), c.notifyStop); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		c.notifier.stop(stopNotifyWithin)
		if took := time.Since(begun); took != stopNotifyWithin {
			t.Errorf("the stop took %v", took)
		}
		synctest.Wait()
		if got := r.since(0); !slices.Equal(got, []string{"/a INSTANCE VI_1 BACKUP 150", "/b"}) {
			t.Errorf("ran %q", got)
		}
		want := []string{"notify.failed instance=VI_1 to=BACKUP command=/a reason=interrupted took=0s",
			"notify.dropped instance=VI_1 to=STOP reason=the daemon has stopped"}
		if got := c.told(event.NotifyFailed, event.NotifyDropped); !slices.Equal(got, want) {
			t.Errorf("told %q", got)
		}
	})
}

func TestGroupRole(t *testing.T) {
	for members, want := range map[string]string{
		"": "INIT false", "MASTER": "MASTER true", "MASTER MASTER": "MASTER true", "MASTER BACKUP": "MASTER false",
		"BACKUP MASTER FAULT": "FAULT true", "FAULT": "FAULT true", "INIT INIT": "INIT true", "BACKUP BACKUP MASTER": "BACKUP false",
	} {
		var roles []vrrp.Role
		for _, m := range strings.Fields(members) {
			roles = append(roles, vrrp.Role(m))
		}
		role, settled := groupRole(roles)
		if got := fmt.Sprint(role, " ", settled); got != want {
			t.Errorf("%q is %q, want %q", members, got, want)
		}
	}
}

// TestNotifyRunsARealScript goes through what the other tests replace: as the
// prober's user, with a child that outlives it.
func TestNotifyRunsARealScript(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "notify")
	text := "#!/bin/sh\necho \"$(id -u) $BATON_TO $*\"\nexit 4\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	as := strconv.Itoa(os.Geteuid())
	if as == "0" {
		as = "65534" // the prober's user does not exist
	}
	r := runNotify("no-such-user-here")(t.Context(), conf.Command{Args: []string{path, "a b"}, Timeout: time.Minute}, []string{"BATON_TO=MASTER"})
	if want := as + " MASTER a b"; r.Exit != 4 || r.Excerpt() != want {
		t.Errorf("%s: %q, want %q", r.Reason(), r.Excerpt(), want)
	}
	r = runNotify("")(t.Context(), conf.Command{Args: []string{path}, User: "no-such-user-here", Timeout: time.Minute}, nil)
	if r.Err == nil || !strings.Contains(r.Reason(), "no-such-user-here") {
		t.Errorf("%s", r.Reason())
	}
}

// TestReloadAsksForThePriority: what tracking makes of a priority that a reload has
// changed is the speaker's to say, and a script is told it.
func TestReloadAsksForThePriority(t *testing.T) {
	vi := instanceOn("192.168.16.200/24")
	c := testCore(t, &conf.Config{Instances: []vrrp.Config{vi}})
	speaker := childOf(t, &c.speaker)
	vi.Priority = 120
	c.install(&conf.Config{Instances: []vrrp.Config{vi}}, time.Now())
	for applied := false; ; {
		m, err := speaker.Receive()
		if err != nil {
			t.Fatalf("the speaker is not asked after a reload: %v", err)
		}
		if applied = applied || m.Kind == kindApply; applied && m.Kind == kindStatus {
			break
		}
	}
	c.gotStatus(speakerFacts{Instances: []vrrp.Status{{Config: vi, EffectivePriority: 100}}})
	if got := c.effectivePriority(vi); got != 100 {
		t.Errorf("a script is told %d, want 100", got)
	}
}

// TestEnvironmentOfNotifyIsDocumented: who writes a script looks into docs/config.md.
func TestEnvironmentOfNotifyIsDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	c := testCore(t, tracking())
	o := c.instanceOccasion(c.cfg.Instances[0], "BACKUP", "MASTER", vrrp.Notice{Peer: netip.MustParseAddr("192.168.16.102")})
	tr, _ := transitionOf(conf.Notify{}, o)
	for _, e := range append(tr.env, "BATON_"+aboutGroup+"=") {
		if name, _, _ := strings.Cut(e, "="); !strings.Contains(string(raw), "`"+name+"`") {
			t.Errorf("docs/config.md does not name %s", name)
		}
	}
}
