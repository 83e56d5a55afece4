package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"baton/internal/control"
)

// pools is a status in which every reason for a weight occurs.
func pools() control.Status {
	drain := func(done time.Duration, left int) *control.Drain {
		d := &control.Drain{Begun: before(40 * time.Second), Deadline: now.Add(20 * time.Second), Left: left}
		if done > 0 {
			d.Done, d.Reason = before(done), "deadline passed"
		}
		return d
	}
	return control.Status{Node: "lvs-a", Time: now, Config: control.Config{LastOK: true}, Services: []control.Service{
		{Name: "group web", Keys: []string{"tcp 192.168.16.200:80", "tcp 192.168.16.200:443", "fwmark 7"}, Scheduler: "wrr", Programmed: true, Up: 4,
			Quorum: &control.Quorum{State: "up", Since: before(time.Hour), Weight: 7, Needed: 6, Hysteresis: 1},
			Sorry:  &control.Sorry{Address: "192.168.16.99:80", Since: before(time.Hour)},
			Servers: []control.Server{
				{Address: "192.168.16.103:0", Forward: "DR", Weight: 3, Kernel: kernel(9), State: "up", Health: "up", Why: "override", Since: before(time.Hour), Active: 1},
				{Address: "192.168.16.104:0", Forward: "DR", Weight: 3, Kernel: kernel(1), State: "up", Health: "up", Why: "slow_start", Since: before(time.Second)},
				{Address: "192.168.16.105:0", Forward: "DR", Weight: 3, Kernel: kernel(0), State: "draining", Health: "up", Why: "draining", Since: before(40 * time.Second), Active: 5, Drain: drain(0, 0)},
				{Address: "192.168.16.106:0", Forward: "DR", Weight: 65535, State: "drained", Health: "up", Why: "drained", Since: before(9 * time.Second), Drain: drain(9*time.Second, 2)},
				{Address: "192.168.16.107:0", Forward: "DR", Weight: 3, State: "down", Health: "down", Why: "failed", Reason: "refused", Detail: "connection refused", Since: before(time.Second),
					Flapping: &control.Flapping{Since: before(3 * time.Minute), Changes: 41}},
				{Address: "192.168.16.108:0", Forward: "DR", Weight: 3, Kernel: kernel(0), State: "draining", Health: "unknown", Why: "draining", Leaving: true, Since: before(time.Second), Drain: drain(0, 0)},
			}},
		{Name: "tcp 192.168.16.201:80", Scheduler: "rr", Programmed: true, Up: 1,
			Quorum:   &control.Quorum{State: "down", Since: before(183 * time.Second), Weight: 1, Needed: 2},
			Sorry:    &control.Sorry{Address: "192.168.16.99:80", In: true, Since: before(183 * time.Second), Active: 12},
			Flapping: &control.Flapping{Since: before(3 * time.Minute), Changes: 6},
			Servers: []control.Server{
				{Address: "192.168.16.103:80", Forward: "DR", Weight: 1, State: "up", Health: "up", Why: "sorry", Since: before(time.Hour)},
				{Address: "192.168.16.104:80", Forward: "DR", Weight: 1, Kernel: kernel(7), State: "up", Health: "up", Why: "check", Since: before(time.Hour)},
			}},
		{Name: "tcp 192.168.16.203:80", Scheduler: "rr", Programmed: true, Up: 1,
			Quorum: &control.Quorum{State: "up", Since: before(time.Second), Weight: 1, Needed: 1},
			Sorry:  &control.Sorry{Address: "192.168.16.99:80", Since: before(time.Second), Kernel: kernel(0), Active: 1, Drain: drain(0, 0)},
			Servers: []control.Server{
				{Address: "192.168.16.103:80", Forward: "DR", Weight: 1, Kernel: kernel(1), State: "up", Health: "up", Since: before(time.Second)},
			}},
		{Name: "tcp 192.168.16.202:80", Scheduler: "rr", Programmed: true, Leaving: true, Servers: []control.Server{
			{Address: "192.168.16.103:80", Forward: "DR", Weight: 1, Kernel: kernel(0), State: "draining", Why: "draining", Leaving: true, Since: before(time.Second), Drain: drain(0, 0), Active: 1}}},
	}}
}

func TestStatusOfPools(t *testing.T) {
	text := statusTable(pools(), time.UTC, false)
	golden(t, filepath.Join("testdata", "status", "pools.txt"), text)
	for _, line := range strings.Split(text, "\n") {
		if n := utf8.RuneCountInString(line); n > columns {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}
