package lab

import (
	"context"
	"fmt"
	"slices"
	"syscall"

	"baton/internal/control"
	"baton/internal/event"
)

// Scenarios returns every scenario, in the order in which they are run.
func Scenarios() []Scenario {
	return []Scenario{
		linkDown(), stop(), failover(), kill(), nodeGone(), recovery(), partition(), oneWay(), stall(), stallSpeaker(), clock(),
		realServerDown(), proberKill(),
	}
}

// answersAgain is how many answers say that an unplanned takeover is over:
// requests that were begun before may still fail.
const answersAgain = 20

func linkDown() Scenario {
	return Scenario{
		Name: "link-down", Faults: "1", Sentence: "The master's cable is pulled.",
		Expect: "the backup takes over after 3 adverts and its skew; whoever asks meanwhile waits or fails, nobody later",
		run: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("pull the cable of "+b.master, func() error { return b.lab.Cut(b.master) }),
				b.step("wait for "+b.backup+" to be master", func() error { return b.awaitState(ctx, b.backup, "MASTER") }),
				b.step("wait for "+b.master+" to notice", func() error { return b.awaitState(ctx, b.master, "FAULT") }),
				b.answers(ctx, answersAgain))
		},
		judge: func(b *bench, r *Result) { r.takeover(b, b.backup) },
		restore: func(ctx context.Context, b *bench) error {
			return b.step("plug the cable of "+b.master, func() error { return b.lab.Plug(b.master) })()
		},
	}
}

func stop() Scenario {
	return Scenario{
		Name: "stop", Faults: "2", Sentence: "The master's director is stopped (SIGTERM), as for an upgrade.",
		Expect: "the backup takes over and no request fails",
		run: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("send SIGTERM to "+b.master, func() error { return b.lab.SignalDirector(b.master, syscall.SIGTERM) }),
				b.step("wait for "+b.master+" to end", func() error { return b.lab.awaitEnd(ctx, b.master) }),
				b.step("wait for "+b.backup+" to be master", func() error { return b.lab.AwaitMaster(ctx, b.backup) }))
		},
		judge:   func(b *bench, r *Result) { r.planned(b, b.backup) },
		restore: startAgain,
	}
}

func failover() Scenario {
	return Scenario{
		Name: "failover", Faults: "2", Sentence: "The operator hands the VIP to the backup (baton failover).",
		Expect: "the backup takes over, no request fails, and the VIP stays there",
		run: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("baton failover on "+b.master, func() error { return b.lab.FailOver(ctx, b.master) }),
				b.step("wait for "+b.backup+" to be master", func() error { return b.lab.AwaitMaster(ctx, b.backup) }))
		},
		judge: func(b *bench, r *Result) { r.planned(b, b.backup) },
		restore: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("baton failover on "+b.backup, func() error { return b.lab.FailOver(ctx, b.backup) }),
				b.step("wait for "+b.master+" to be master", func() error { return b.lab.AwaitMaster(ctx, b.master) }))
		},
	}
}

func kill() Scenario {
	return Scenario{
		Name: "kill", Faults: "3", Sentence: "Every process of the master's director is killed (SIGKILL) at once.",
		Expect: "the backup takes over after 3 adverts and its skew; the dead director's kernel goes on balancing meanwhile",
		run: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("kill all processes of "+b.master, func() error { return b.lab.KillDirector(ctx, b.master) }),
				b.step("wait for "+b.backup+" to be master", func() error { return b.awaitState(ctx, b.backup, "MASTER") }),
				b.answers(ctx, answersAgain))
		},
		judge:   func(b *bench, r *Result) { r.takeover(b, b.backup) },
		restore: startAgain,
	}
}

func recovery() Scenario {
	return Scenario{
		Name: "recover", Faults: "5", Sentence: "The preferred director, stopped before, comes back.",
		Expect: "it takes the VIP over only when it is ready, and no request fails; with nopreempt it stays backup",
		run: func(ctx context.Context, b *bench) error {
			return inOrder(
				b.step("stop "+b.master, func() error { return b.lab.StopDirector(ctx, b.master) }),
				b.step("wait for "+b.backup+" to be master", func() error { return b.lab.AwaitMaster(ctx, b.backup) }),
				b.mark(ctx, phaseBack),
				b.step("start "+b.master, func() error { return b.lab.StartDirector(ctx, b.master) }),
				b.step("wait for the lab to settle", func() error { return b.lab.Settle(ctx) }))
		},
		judge: func(b *bench, r *Result) {
			want := b.master
			if b.lab.opts.NoPreempt {
				want = b.backup
			}
			if r.After != want {
				r.problem("%s is master at the end, not %s", orNobody(r.After), want)
			}
			r.nothingLost(b)
			r.bothAnswer()
		},
	}
}

const phaseBack = "back"

func startAgain(ctx context.Context, b *bench) error {
	return b.step("start "+b.master, func() error { return b.lab.StartDirector(ctx, b.master) })()
}

func realServerDown() Scenario {
	return Scenario{
		Name: "real-server", Faults: "21", Sentence: "rs1 refuses connections, comes back, hangs, comes back.",
		Expect: "once a check has noticed, only rs2 is asked and no request fails; each time rs1 is back, both are",
		run: func(ctx context.Context, b *bench) error {
			for _, m := range []Mode{Refuse, Hang} {
				err := inOrder(
					b.mark(ctx, string(m)+": unnoticed"),
					// Nor may a request of the phase before be at rs1 still when it breaks.
					b.answers(ctx, 50),
					b.step(fmt.Sprintf("rs1 starts to %s", m), func() error { return b.lab.SetServer(ctx, RS1, m) }),
					b.step("wait for both directors to take rs1 out", func() error { return b.lab.AwaitServer(ctx, RS1, false) }),
					b.mark(ctx, string(m)+": out"), b.answers(ctx, 100),
					// What was begun while rs1 was out shall have ended before it is in.
					b.mark(ctx, string(m)+": still out"), b.answers(ctx, 50),
					b.mark(ctx, string(m)+": answering again"),
					b.step("rs1 answers again", func() error { return b.lab.SetServer(ctx, RS1, Answer) }),
					b.step("wait for both directors to take rs1 in", func() error { return b.lab.AwaitServer(ctx, RS1, true) }),
					b.mark(ctx, string(m)+": back"), b.answers(ctx, 100))
				if err != nil {
					return err
				}
			}
			return nil
		},
		judge: func(b *bench, r *Result) {
			r.noTransition()
			for _, m := range []Mode{Refuse, Hang} {
				for _, name := range []string{string(m) + ": out", string(m) + ": still out", string(m) + ": answering again", string(m) + ": back"} {
					p, ok := r.Load.Phase(name)
					if !ok || p.Failed() > 0 {
						r.problem("%s: %d requests failed", name, p.Failed())
					}
				}
				// A request whose packets were lost may be answered by rs1 when it is back.
				if p, _ := r.Load.Phase(string(m) + ": out"); p.Answers[RS1] > p.Retransmitted || p.Answers[RS2] == 0 {
					r.problem("%s: answers came from %v", p.Name, p.Answers)
				}
				if p, _ := r.Load.Phase(string(m) + ": back"); p.Answers[RS1] == 0 || p.Answers[RS2] == 0 {
					r.problem("%s: answers came from %v", p.Name, p.Answers)
				}
			}
		},
		restore: func(ctx context.Context, b *bench) error { return b.lab.SetServer(ctx, RS1, Answer) },
	}
}

func proberKill() Scenario {
	return Scenario{
		Name: "prober-kill", Faults: "3, 25", Sentence: "The master's prober, which runs the health checks, is killed (SIGKILL).",
		Expect: "it is started again; no server and no director changes its state, no request fails",
		run: func(ctx context.Context, b *bench) error {
			old, err := b.lab.child(ctx, b.master, "prober")
			if err != nil {
				return err
			}
			return inOrder(
				b.step("kill the prober of "+b.master, func() error { return syscall.Kill(old.PID, syscall.SIGKILL) }),
				b.step("wait for another prober", func() error {
					return await(ctx, b.lab.opts.Patience, func() (string, error) {
						now, err := b.lab.child(ctx, b.master, "prober")
						if err != nil || now.PID == 0 || now.PID == old.PID {
							return "there is none", nil
						}
						return "", nil
					})
				}),
				b.answers(ctx, 200))
		},
		judge: func(b *bench, r *Result) {
			r.noTransition()
			for _, e := range r.Timeline {
				if serverChanged(e) {
					r.problem("%s: %s %s", e.Node, e.Event, e.describe())
				}
			}
			r.noFailures()
			r.bothAnswer()
		},
	}
}

// serverChanged says whether an entry is about another state of a server. That
// a check could not be made for want of the machine's resources is none.
func serverChanged(e Entry) bool {
	switch e.Event {
	case event.ServerUp, event.ServerDown:
		return true
	case event.ServerUnknown:
		return e.Get(event.Reason) != "resources"
	}
	return false
}

func (l *Lab) child(ctx context.Context, node, name string) (control.Child, error) {
	st, err := l.DirectorStatus(ctx, node)
	if err != nil {
		return control.Child{}, err
	}
	i := slices.IndexFunc(st.Children, func(c control.Child) bool { return c.Name == name })
	if i < 0 || st.Children[i].PID == 0 {
		return control.Child{}, fmt.Errorf("find the %s of %s: it is not running", name, node)
	}
	return st.Children[i], nil
}

// awaitState waits for one director's instance; the other one's word does not
// count, it may be cut off or dead.
func (b *bench) awaitState(ctx context.Context, node, state string) error {
	return await(ctx, b.lab.opts.Patience, func() (string, error) {
		st, err := b.lab.DirectorStatus(ctx, node)
		if err != nil {
			return err.Error(), nil
		}
		for _, i := range st.Instances {
			if i.State != state {
				return fmt.Sprintf("%s is %s on %s (%s)", i.Name, i.State, node, i.Reason), nil
			}
		}
		return "", nil
	})
}

// AwaitServer returns when every running director has a real server up and in
// the kernel's table, or down and out of it (or there with weight 0).
func (l *Lab) AwaitServer(ctx context.Context, server string, up bool) error {
	address := l.Topology().ServerAddress(server).String()
	err := await(ctx, l.opts.Patience, func() (string, error) {
		for _, node := range []string{LVSA, LVSB} {
			if !l.Running(node) {
				continue
			}
			st, err := l.DirectorStatus(ctx, node)
			if err != nil {
				return err.Error(), nil
			}
			for _, s := range st.Services {
				for _, rs := range s.Servers {
					in := rs.Kernel != nil && *rs.Kernel > 0
					if rs.Address == address && (in != up || (rs.State == "up") != up) {
						return fmt.Sprintf("%s says that %s is %s", node, server, rs.State), nil
					}
				}
			}
		}
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("await real server %s: %w", server, err)
	}
	return nil
}
