package lab

import (
	"context"
	"fmt"
	"time"

	"baton/internal/event"
)

// nodeGone is a machine that loses its power: nothing of it ends in order.
func nodeGone() Scenario {
	return Scenario{
		Name: "node-gone", Faults: "4", Sentence: "The master's whole node disappears: links, kernel and processes.",
		Expect: "the backup takes over after 3 adverts and its skew",
		run: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("destroy "+b.master, func() error { return b.lab.Destroy(ctx, b.master) }),
				b.step("wait for "+b.backup+" to be master", func() error { return b.awaitState(ctx, b.backup, "MASTER") }),
				b.answers(ctx, answersAgain))
		},
		judge: func(b *bench, r *Result) { r.takeover(b, b.backup) },
		restore: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("build "+b.master+" anew", func() error { return b.lab.Rebuild(b.master) }),
				b.step("start "+b.master, func() error { return b.lab.StartDirector(ctx, b.master) }))
		},
	}
}

const phaseHealed = "healed"

// manyAdverts is how many intervals a broken network is left broken.
const manyAdverts = 10

func partition() Scenario {
	return Scenario{
		Name: "partition", Faults: "6", Sentence: "The switch passes nothing between the directors, but everything else; then it does again.",
		Expect: "two masters until it heals, told on both; one master an interval later, and the neighbours know which",
		run: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("isolate the directors from each other", func() error { return b.lab.Isolate(true) }),
				b.step("wait for "+b.backup+" to be master, too", func() error { return b.awaitState(ctx, b.backup, "MASTER") }),
				b.wait(ctx, manyAdverts*b.lab.opts.AdvertInterval),
				b.step(phaseHealed, func() error { return b.lab.Isolate(false) }),
				b.step("wait for "+b.backup+" to be backup", func() error { return b.awaitState(ctx, b.backup, "BACKUP") }),
				b.step("wait for the router to know "+b.master, func() error { return b.awaitNeighbour(ctx, b.master) }),
				// A line that was logged a moment ago is held back for some seconds.
				b.step("wait for both to tell of it", func() error { return b.awaitTold(ctx) }))
		},
		judge: func(b *bench, r *Result) {
			r.twoMasters(b)
			for _, node := range []string{LVSA, LVSB} {
				if !r.told(node, Address(other(node)).String(), r.stepped(phaseHealed)) {
					r.problem("%s did not tell of the other master when the network had healed", node)
				}
			}
		},
		restore: func(_ context.Context, b *bench) error { return b.lab.Isolate(false) },
	}
}

func oneWay() Scenario {
	return Scenario{
		Name: "one-way", Faults: "7", Sentence: "The master's adverts are lost on their way to the backup, the backup's are not; then they pass again.",
		Expect: "two masters until the adverts pass, then one; no line is logged over and over",
		run: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("pass no multicast to "+b.backup, func() error { return b.lab.Deafen(b.backup, true) }),
				b.step("wait for "+b.backup+" to be master, too", func() error { return b.awaitState(ctx, b.backup, "MASTER") }),
				b.wait(ctx, manyAdverts*b.lab.opts.AdvertInterval),
				b.step(phaseHealed, func() error { return b.lab.Deafen(b.backup, false) }),
				b.step("wait for "+b.backup+" to be backup", func() error { return b.awaitState(ctx, b.backup, "BACKUP") }),
				b.step("wait for the router to know "+b.master, func() error { return b.awaitNeighbour(ctx, b.master) }))
		},
		judge:   func(b *bench, r *Result) { r.twoMasters(b) },
		restore: func(_ context.Context, b *bench) error { return b.lab.Deafen(b.backup, false) },
	}
}

// wait lets time pass while the fault lasts.
func (b *bench) wait(ctx context.Context, d time.Duration) func() error {
	return func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
}

// awaitNeighbour waits until the router sends what is for the VIP to a node.
func (b *bench) awaitNeighbour(ctx context.Context, node string) error {
	want := HardwareAddress(node)
	return await(ctx, b.lab.opts.Patience, func() (string, error) {
		got, err := b.lab.Neighbour(RouterNode, VIP)
		if err != nil || got.String() == want.String() {
			return "", err
		}
		return fmt.Sprintf("the router sends to %s, %s is %s", got, node, want), nil
	})
}

// awaitTold waits until each director has logged something about the other one
// since the network healed.
func (b *bench) awaitTold(ctx context.Context) error {
	r := Result{Timeline: b.steps}
	healed := r.stepped(phaseHealed)
	return await(ctx, b.lab.opts.Patience, func() (string, error) {
		for _, node := range []string{LVSA, LVSB} {
			all, err := b.lab.EventLog(node)
			if err != nil {
				return "", err
			}
			if r := (Result{Timeline: all}); !r.told(node, Address(other(node)).String(), healed) {
				return node + " has not", nil
			}
		}
		return "", nil
	})
}

// mostLines is what a fault of the network may log: some lines for each change,
// none for each advert.
const mostLines = 40

// twoMasters judges a fault that makes both directors master and its end.
func (r *Result) twoMasters(b *bench) {
	healed := r.stepped(phaseHealed)
	r.oneMaster(b.master, b.backup)
	if p, ok := r.Load.Phase(phaseAfter); !ok || p.Failed() > 0 {
		r.problem("%d requests failed after the network had healed", p.Failed())
	}
	r.bothAnswer()
	lines := 0
	for _, e := range r.Timeline {
		if isDirector(e.Node) {
			lines++
		}
		if e.Node != b.backup || e.Event != event.VRRPTransition || e.Get(event.To) != "BACKUP" || e.Time.Before(healed) {
			continue
		}
		// One interval, if the machine is quick; what is judged is that it is not
		// the time after which silence counts.
		r.Settled = e.Time.Sub(healed)
		if most := limit(b.lab.opts.AdvertInterval); r.Settled > most {
			r.problem("%s stayed master for %s after the network had healed, more than %s", b.backup, inMS(r.Settled), inMS(most))
		}
	}
	if r.Settled == 0 {
		r.problem("%s did not go back to BACKUP", b.backup)
	}
	if lines > mostLines {
		r.problem("the directors logged %d lines, more than %d", lines, mostLines)
	}
}

// stepped is when a step was begun.
func (r *Result) stepped(text string) time.Time {
	for _, e := range r.Timeline {
		if e.Node == drillNode && e.Text == text {
			return e.Time
		}
	}
	return time.Time{}
}

// told says whether a director logged something about a peer after a time.
func (r *Result) told(node, peer string, after time.Time) bool {
	for _, e := range r.Timeline {
		if e.Node == node && e.Get(event.Peer) == peer && e.Time.After(after) {
			return true
		}
	}
	return false
}
