package sim

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/vrrp"
)

var update = flag.Bool("update", false, "write the transcripts of testdata anew")

// alone is one director, and a second that only sends what Inject says.
func alone(priority uint8, length time.Duration, faults ...Fault) *Scenario {
	s := pairOf(priority, priority, faults...)
	s.Directors[1].Absent = true
	s.Length = length
	return s
}

func with(s *Scenario, change func(*Scenario)) *Scenario {
	change(s)
	return s
}

func each(change func(*vrrp.Config)) func(*Scenario) {
	return func(s *Scenario) {
		for i := range s.Directors {
			change(&s.Directors[i].Config)
		}
	}
}

func lasting(length time.Duration) func(*Scenario) {
	return func(s *Scenario) { s.Length = length }
}

// aLater starts the better director when the other is master.
func aLater(s *Scenario) { s.Directors[0].Start = 10 * time.Second }

// grouped has two networks, and a sync group of the instances on them.
func grouped(s *Scenario) { s.LANs, s.Group = 2, true }

func noPreempt(c *vrrp.Config) { c.Preempt = false }

func delayed(c *vrrp.Config) { c.PreemptDelay = 20 * time.Second }

func tracking(weight int) func(*vrrp.Config) {
	return func(c *vrrp.Config) {
		c.Track = []vrrp.Track{{Kind: vrrp.TrackScript, Name: script, Weight: weight}}
	}
}

// a and b, and faults of theirs.
const a, b = 0, 1

const year = 365 * 24 * 3600 // seconds

var at10 = 10 * time.Second

// goldens are the scenarios whose transcripts are kept. Those that begin with
// rfc9568 are the events of section 6.4 in each of its states, in its order;
// those that begin with fault are what a cluster has to stand.
var goldens = []struct {
	name     string
	packets  bool
	scenario *Scenario
}{
	{"rfc9568-initialize-owner", false, alone(255, 10*time.Second)},
	{"rfc9568-initialize-backup", false, alone(150, 10*time.Second)},
	{"rfc9568-initialize-shutdown", false, with(alone(150, 10*time.Second, Fault{At: time.Second, Kind: Stop}),
		func(s *Scenario) { s.Directors[a].Lost = true })},
	{"rfc9568-backup-shutdown", false, alone(150, 10*time.Second, Fault{At: time.Second, Kind: Stop})},
	{"rfc9568-backup-timer", false, with(pairOf(150, 100, Fault{At: at10, Node: a, Kind: MachineDies}), lasting(20*time.Second))},
	{"rfc9568-backup-priority-0", true, alone(100, 12*time.Second,
		Fault{At: time.Second, Node: b, Kind: Inject, Value: 200}, Fault{At: 2 * time.Second, Node: b, Kind: Inject, Value: 200},
		Fault{At: 3 * time.Second, Node: b, Kind: Inject, Value: 0})},
	{"rfc9568-backup-advert-higher", true, alone(100, 12*time.Second,
		Fault{At: time.Second, Node: b, Kind: Inject, Value: 200}, Fault{At: 4 * time.Second, Node: b, Kind: Inject, Value: 200})},
	{"rfc9568-backup-advert-lower-preempt", true, alone(100, 8*time.Second,
		Fault{At: time.Second, Node: b, Kind: Inject, Value: 50}, Fault{At: 3 * time.Second, Node: b, Kind: Inject, Value: 50})},
	{"rfc9568-backup-advert-lower-nopreempt", true, with(alone(100, 12*time.Second,
		Fault{At: time.Second, Node: b, Kind: Inject, Value: 50}, Fault{At: 3 * time.Second, Node: b, Kind: Inject, Value: 50}), each(noPreempt))},
	{"rfc9568-active-timer", true, alone(150, 8*time.Second)},
	{"rfc9568-active-priority-0", true, alone(150, 13*time.Second, Fault{At: at10, Node: b, Kind: Inject, Value: 0})},
	{"rfc9568-active-advert-lower", true, alone(150, 13*time.Second, Fault{At: at10, Node: b, Kind: Inject, Value: 100})},
	{"rfc9568-active-advert-higher", true, alone(150, 20*time.Second, Fault{At: at10, Node: b, Kind: Inject, Value: 200})},
	{"rfc9568-active-advert-equal-higher-address", true, alone(150, 20*time.Second, Fault{At: at10, Node: b, Kind: Inject, Value: 150})},
	{"rfc9568-active-advert-equal-lower-address", true, with(alone(150, 13*time.Second, Fault{At: at10, Node: a, Kind: Inject, Value: 150}),
		func(s *Scenario) { s.Directors[a].Absent, s.Directors[b].Absent = true, false })},
	{"rfc9568-active-shutdown", false, with(pairOf(150, 100, Fault{At: at10, Node: a, Kind: Stop}), lasting(20*time.Second))},
	{"rfc9568-active-shutdown-no-successor", false, alone(150, 20*time.Second, Fault{At: at10, Node: a, Kind: Stop})},

	{"fault-01-link-down", false, with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: LinkDown}), lasting(time.Minute))},
	{"fault-02-stop", false, with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: Stop}), lasting(time.Minute))},
	{"fault-02-failover", false, with(pairOf(150, 100, Fault{At: at10, Node: a, Kind: Failover}), lasting(time.Minute))},
	{"fault-03-speaker-killed", false, with(pairOf(150, 100, Fault{At: at10, For: 30 * time.Millisecond, Node: a, Kind: SpeakerKilled}), lasting(time.Minute))},
	{"fault-03-speaker-killed-and-slow", false, with(pairOf(150, 100, Fault{At: at10, For: 2 * time.Second, Node: a, Kind: SpeakerKilled}), lasting(time.Minute))},
	{"fault-03-all-killed", false, with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: AllKilled}), lasting(time.Minute))},
	{"fault-04-node-gone", false, with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: MachineDies}), lasting(time.Minute))},
	{"fault-05-comes-back-preempt", false, with(with(pairOf(150, 100), aLater), lasting(time.Minute))},
	{"fault-05-comes-back-nopreempt", false, with(with(with(pairOf(150, 100), aLater), lasting(time.Minute)), each(noPreempt))},
	{"fault-05-comes-back-preempt-delay-and-reload", false, with(with(with(pairOf(150, 100,
		Fault{At: 20 * time.Second, Node: a, Kind: Addresses, Value: 2}, Fault{At: 20 * time.Second, Node: b, Kind: Addresses, Value: 2}),
		aLater), lasting(time.Minute)), each(delayed))},
	{"fault-05-comes-back-when-ready", false, with(with(with(pairOf(150, 100, Fault{At: 0, For: 30 * time.Second, Node: a, Kind: Unready}), aLater), lasting(time.Minute)), each(delayed))},
	{"fault-06-partition", false, with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Kind: Partition, Value: 1}), lasting(time.Minute))},
	{"fault-07-one-way-loss", false, with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: OneWay, Value: b}), lasting(time.Minute))},
	{"fault-09-stall", false, with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: Stall}), lasting(time.Minute))},
	{"fault-09-suspend", false, with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: Suspend}), lasting(time.Minute))},
	{"fault-09-stall-again-while-listening", false, with(pairOf(100, 254,
		Fault{At: 17 * time.Second, For: 4 * time.Second, Node: b, Kind: Suspend},
		Fault{At: 17 * time.Second, For: 4 * time.Second, Node: a, Kind: Suspend},
		Fault{At: 21500 * time.Millisecond, For: 8 * time.Second, Node: b, Kind: Suspend}), lasting(time.Minute))},
	{"fault-10-clock-jumps", false, with(pairOf(150, 100,
		Fault{At: 10 * time.Second, Node: a, Kind: WallJump, Value: 3600}, Fault{At: 12 * time.Second, Node: b, Kind: WallJump, Value: 3600},
		Fault{At: 14 * time.Second, Node: a, Kind: WallJump, Value: -3600}, Fault{At: 16 * time.Second, Node: b, Kind: WallJump, Value: -3600},
		Fault{At: 18 * time.Second, Node: a, Kind: WallJump, Value: year}, Fault{At: 20 * time.Second, Node: b, Kind: WallJump, Value: year},
		Fault{At: 22 * time.Second, Node: a, Kind: WallJump, Value: -year}, Fault{At: 24 * time.Second, Node: b, Kind: WallJump, Value: -year}), lasting(time.Minute))},
	{"fault-17-sync-group", false, with(with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, LAN: 1, Kind: LinkDown}), grouped), lasting(time.Minute))},
	{"fault-18-tracked-script-fault", false, with(with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: ScriptFails}), each(tracking(0))), lasting(time.Minute))},
	{"fault-18-tracked-script-weight", false, with(with(pairOf(150, 100, Fault{At: at10, For: 20 * time.Second, Node: a, Kind: ScriptFails}), each(tracking(-60))), lasting(time.Minute))},
}

// TestGoldens runs each scenario and compares its transcript with the kept one.
func TestGoldens(t *testing.T) {
	kept := map[string]bool{}
	for _, g := range goldens {
		file := filepath.Join("testdata", g.name+".txt")
		kept[file] = true
		t.Run(g.name, func(t *testing.T) {
			if _, bad := Run(g.scenario, Options{}); bad != nil {
				t.Error(bad)
			}
			got := Transcript(g.scenario, Options{Packets: g.packets})
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s, at %s\nwrite it anew with go test ./vrrp/sim -update", file, firstDifference(got, string(want)))
			}
		})
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !kept[f] && !strings.HasPrefix(f, "testdata/fuzz") {
			t.Errorf("%s belongs to no scenario", f)
		}
	}
}
