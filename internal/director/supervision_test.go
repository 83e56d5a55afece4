package director

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/internal/event"
	"baton/vrrp"
)

// masters is a configuration of instances that are master, with these intervals,
// on interfaces that do not exist.
func masters(dir string, intervals ...time.Duration) *conf.Config {
	cfg := &conf.Config{Global: conf.Global{RuntimeDir: dir}}
	for i, every := range intervals {
		vi := instanceOn("192.168.16.200/24")
		vi.Name, vi.Interface = "VI_"+string(rune('1'+i)), "baton-none"+string(rune('1'+i))
		vi.AdvertInterval, vi.DownTimerAdverts = every, 3
		cfg.Instances = append(cfg.Instances, vi)
	}
	return cfg
}

func atWork(t *testing.T, cfg func(dir string) *conf.Config, f func(c *core)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := testCore(t, cfg(dir))
		for _, in := range c.instances {
			in.role = vrrp.Master
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.run(ctx); close(done) }()
		f(c)
		cancel()
		<-done
	})
}

// TestEachInstanceHasItsOwnTime: the addresses of a dead speaker are withdrawn
// when the advertisement interval of their instance is over, however short that of
// another is; who is back before goes on.
func TestEachInstanceHasItsOwnTime(t *testing.T) {
	atWork(t, func(dir string) *conf.Config { return masters(dir, 10*time.Millisecond, time.Second, 2*time.Second) }, func(c *core) {
		wait := func(d time.Duration, want ...string) {
			t.Helper()
			<-time.After(d)
			synctest.Wait()
			if got := c.told(event.VRRPWithdrawn); !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		first := "vrrp.withdrawn instance=VI_1 reason=the speaker is not back within 50ms"
		second := "vrrp.withdrawn instance=VI_2 reason=the speaker is not back within 1s"
		c.postAlways(func() { c.speakerDied(1, "exit status 2") })
		wait(40 * time.Millisecond)
		wait(20*time.Millisecond, first)
		c.postAlways(func() { c.speakerDied(2, "exit status 2") }) // one that had not said a word
		wait(900*time.Millisecond, first)
		wait(50*time.Millisecond, first, second)
		c.postAlways(c.speakerIsBack)
		wait(10*time.Second, first, second)
		untold := c.told(event.VRRPSendFailed) // there are no interfaces to tell the peers by
		if len(untold) != 2 || !strings.Contains(untold[0], "instance=VI_1") || !strings.Contains(untold[1], "instance=VI_2") {
			t.Errorf("told of peers %q, want both that were withdrawn", untold)
		}
		if in := c.instances["VI_3"]; in.role != vrrp.Master {
			t.Errorf("VI_3 is %s", in.role)
		}
	})
}

// TestWithdrawnIsNotShownAsMaster: what the dead speaker said last is not what
// status says of addresses that are gone.
func TestWithdrawnIsNotShownAsMaster(t *testing.T) {
	atWork(t, func(dir string) *conf.Config { return masters(dir, time.Second, 2*time.Second) }, func(c *core) {
		var facts speakerFacts
		for _, vi := range c.cfg.Instances {
			facts.Instances = append(facts.Instances, vrrp.Status{Config: vi, Role: vrrp.Master, Reason: "preempted a lower priority", Link: true, Handover: true,
				Master: netip.MustParseAddr("192.168.16.102"), MasterPriority: 150, EffectivePriority: 150, Sent: 7})
		}
		c.postAlways(func() { c.gotStatus(facts); c.speakerDied(1, "exit status 2") })
		<-time.After(1100 * time.Millisecond)
		synctest.Wait()
		st, err := c.Status(context.Background()) // t's is of outside the bubble
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"FAULT: the speaker died, the master is  0, sent 7", "MASTER: preempted a lower priority, the master is 192.168.16.102 150, sent 7"} {
			in := st.Instances[i]
			if got := fmt.Sprintf("%s: %s, the master is %s %d, sent %d", in.State, in.Reason, in.Master, in.MasterPriority, in.Sent); got != want {
				t.Errorf("%s is %s\nwant %s", in.Name, got, want)
			}
		}
	})
}

// TestTimeToStopFollowsReloads: a speaker that hands over is not killed because it
// needed less time when it was started, and what a reload takes out has its time.
func TestTimeToStopFollowsReloads(t *testing.T) {
	dir := t.TempDir()
	c := testCore(t, masters(dir, time.Second))
	speaker, err := c.speakerChild()
	if err != nil {
		t.Fatal(err)
	}
	before := speaker.StopWithin()
	c.install(masters(dir, 40*time.Second), time.Now())
	if got := speaker.StopWithin(); got < before+3*40*time.Second {
		t.Errorf("it may take %v, before %v", got, before)
	}
	long := speaker.StopWithin()
	c.install(masters(dir, time.Second), time.Now())
	if got := speaker.StopWithin(); got != long {
		t.Errorf("it may take %v, want %v", got, long)
	}
}

// TestProberBackoff: a prober that dies at once is soon back, and one that keeps
// dying costs a start in half a minute.
func TestProberBackoff(t *testing.T) {
	want := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond, 3200 * time.Millisecond, 6400 * time.Millisecond, 12800 * time.Millisecond, 25600 * time.Millisecond, 30 * time.Second}
	for i, d := range want {
		if got := proberBackoff(i + 1); got != d {
			t.Errorf("restart %d waits %v, want %v", i+1, got, d)
		}
	}
	if got := proberBackoff(1 << 30); got != 30*time.Second {
		t.Errorf("after very many: %v", got)
	}
}
