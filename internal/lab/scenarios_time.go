package lab

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/event"
)

const phaseContinued = "continue"

func stall() Scenario {
	return stalled(Scenario{
		Name: "stall", Faults: "9", Sentence: "Every process of the master's director is stopped (SIGSTOP) for longer than the backup waits, then continued.",
	}, func(_ context.Context, b *bench, sig syscall.Signal) error { return b.lab.SignalFamily(b.master, sig) })
}

func stallSpeaker() Scenario {
	return stalled(Scenario{
		Name: "stall-speaker", Faults: "9", Sentence: "The master's speaker, which runs VRRP, is stopped (SIGSTOP) for longer than the backup waits, then continued.",
	}, func(ctx context.Context, b *bench, sig syscall.Signal) error {
		// Asking for it takes a second while it is stopped.
		if b.speaker == 0 {
			speaker, err := b.lab.child(ctx, b.master, "speaker")
			if err != nil {
				return err
			}
			b.speaker = speaker.PID
		}
		return syscall.Kill(b.speaker, sig)
	})
}

func stalled(s Scenario, signal func(context.Context, *bench, syscall.Signal) error) Scenario {
	s.Expect = "the backup takes over; the stalled director says nothing on the wire before it has heard it"
	s.run = func(ctx context.Context, b *bench) (err error) {
		if b.capture, err = b.lab.Capture(SwitchNode, b.master); err != nil {
			return err
		}
		return inOrder(
			b.step("stop "+b.master, func() error { return signal(ctx, b, syscall.SIGSTOP) }),
			b.step("wait for "+b.backup+" to be master", func() error { return b.awaitState(ctx, b.backup, "MASTER") }),
			b.wait(ctx, b.lab.opts.AdvertInterval),
			b.step(phaseContinued, func() error { return signal(ctx, b, syscall.SIGCONT) }),
			b.step("wait for the lab to settle", func() error { return b.lab.Settle(ctx) }),
			b.capture.Close)
	}
	s.judge = func(b *bench, r *Result) {
		// That the stalled one noticed its stall is as it should be.
		r.Stalls = 0
		for _, e := range r.Timeline {
			if e.Event == event.VRRPStalled && e.Node != b.master {
				r.Stalls++
			}
		}
		if b.lab.opts.NoPreempt {
			r.oneMaster(b.backup)
		} else {
			r.oneMaster(b.master, b.backup, b.master)
		}
		r.bothAnswer()
		if p, ok := r.Load.Phase(phaseAfter); !ok || p.Failed() > 0 {
			r.problem("%d requests failed afterwards", p.Failed())
		}
		if f, spoke := spokeUnheard(b.capture.Frames(), r.stepped(phaseContinued)); spoke {
			r.problem("%s spoke before it had listened: %s", b.master, f)
		}
	}
	s.restore = func(ctx context.Context, b *bench) error { return signal(ctx, b, syscall.SIGCONT) }
	return s
}

// spokeUnheard looks, on the switch's port of a stalled master, for an advert
// or an announcement that it sent after a time and before it was sent an advert
// itself.
func spokeUnheard(frames []Frame, since time.Time) (Frame, bool) {
	for _, f := range frames {
		switch {
		case f.Time.Before(since):
		case f.Sent && f.Advert != nil:
			return Frame{}, false
		case !f.Sent && (f.Advert != nil || f.ARP.Gratuitous(VIP)):
			return f, true
		}
	}
	return Frame{}, false
}

// clock is not among the scenarios that are run without being named: the
// namespaces share the machine's clock.
func clock() Scenario {
	const hour, year = time.Hour, 365 * 24 * time.Hour
	return Scenario{
		Name: "clock", Faults: "10", OnRequest: true, Sentence: "This machine's clock jumps by an hour and by a year, forward and back; only if named.",
		Expect: "nothing happens",
		run: func(ctx context.Context, b *bench) error {
			was, sinceBoot, err := clocks()
			if err != nil {
				return err
			}
			b.setClock = func(by time.Duration) error {
				_, now, err := clocks()
				if err != nil {
					return err
				}
				to := unix.NsecToTimespec(int64(was + now - sinceBoot + by))
				if err := unix.ClockSettime(unix.CLOCK_REALTIME, &to); err != nil {
					return fmt.Errorf("set clock: %w", err)
				}
				return nil
			}
			for _, by := range []time.Duration{hour, -hour, year, -year, 0} {
				err := inOrder(
					b.step(fmt.Sprintf("set the clock %+g hours off", by.Hours()), func() error { return b.setClock(by) }),
					b.wait(ctx, b.lab.Bound(b.backup)), b.answers(ctx, 50))
				if err != nil {
					return err
				}
			}
			return nil
		},
		judge: func(b *bench, r *Result) {
			r.noTransition()
			r.noFailures()
			r.bothAnswer()
			if r.Stalls > 0 {
				r.problem("a change of the clock was taken for a stall")
			}
		},
		restore: func(_ context.Context, b *bench) error {
			if b.setClock == nil {
				return nil
			}
			return b.setClock(0)
		},
	}
}

// clocks are the time of day and the time since the machine was started.
func clocks() (real, boot time.Duration, err error) {
	var r, m unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &r); err != nil {
		return 0, 0, fmt.Errorf("read clock: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &m); err != nil {
		return 0, 0, fmt.Errorf("read clock: %w", err)
	}
	return time.Duration(r.Nano()), time.Duration(m.Nano()), nil
}
