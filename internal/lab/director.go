package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"baton/internal/control"
)

// StartDirector runs `baton run` in a node and returns when it answers on its
// control socket.
func (l *Lab) StartDirector(ctx context.Context, node string) error {
	if !isDirector(node) {
		return fmt.Errorf("start director in %s: the lab has %s and %s", node, LVSA, LVSB)
	}
	p, err := l.startDaemon(node, kindDirector, l.opts.Env, "run", "-c", l.state.Config, "--node", node)
	if err != nil {
		return err
	}
	c, err := l.Director(node)
	if err != nil {
		return err
	}
	defer c.Close()
	err = await(ctx, l.opts.Patience, func() (string, error) {
		if !p.alive() {
			return "", errors.New("it ended")
		}
		// Not the status: of ten thousand servers it is work that a measurement would count.
		if _, err := c.Log(ctx); err != nil {
			return "the control socket is silent: " + err.Error(), nil
		}
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("start director %s: %w; its log ends:\n%s", node, err, lastLines(p.Log, 20))
	}
	return nil
}

// SignalDirector sends a signal to a director's main process.
func (l *Lab) SignalDirector(node string, sig syscall.Signal) error {
	p, ok := l.process(node)
	if !ok || !p.alive() {
		return fmt.Errorf("signal director %s: it is not running", node)
	}
	if err := syscall.Kill(p.PID, sig); err != nil {
		return fmt.Errorf("signal director %s: %w", node, err)
	}
	return nil
}

// StopDirector sends SIGTERM and returns when every process of that director
// has ended.
func (l *Lab) StopDirector(ctx context.Context, node string) error {
	if err := l.SignalDirector(node, syscall.SIGTERM); err != nil {
		return err
	}
	return l.awaitEnd(ctx, node)
}

// KillDirector kills every process of a director with SIGKILL, all at once.
func (l *Lab) KillDirector(ctx context.Context, node string) error {
	p, ok := l.process(node)
	if !ok || !p.alive() {
		return fmt.Errorf("kill director %s: it is not running", node)
	}
	if err := p.killFamily(); err != nil {
		return err
	}
	return l.awaitEnd(ctx, node)
}

func (l *Lab) awaitEnd(ctx context.Context, node string) error {
	p, _ := l.process(node)
	err := await(ctx, l.opts.Patience, func() (string, error) {
		members, err := p.family()
		if err != nil || len(members) == 0 {
			return "", err
		}
		return fmt.Sprintf("%d processes live on", len(members)), nil
	})
	if err != nil {
		return fmt.Errorf("end director %s: %w", node, err)
	}
	return nil
}

// Running says whether the lab's process in a node is alive.
func (l *Lab) Running(node string) bool {
	p, ok := l.process(node)
	return ok && p.alive()
}

// PID is the process id of the director or real server in a node, 0 without
// one.
func (l *Lab) PID(node string) int {
	p, ok := l.process(node)
	if !ok || !p.alive() {
		return 0
	}
	return p.PID
}

// Masters returns the running directors that say MASTER of any instance.
func (l *Lab) Masters(ctx context.Context) []string {
	var masters []string
	for _, node := range []string{LVSA, LVSB} {
		st, err := l.DirectorStatus(ctx, node)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(st.Instances, func(i control.Instance) bool { return i.State == "MASTER" }) {
			masters = append(masters, node)
		}
	}
	return masters
}

// AwaitMaster returns when node is the only master and no handover is going on.
func (l *Lab) AwaitMaster(ctx context.Context, node string) error {
	err := await(ctx, l.opts.Patience, func() (string, error) {
		st, err := l.DirectorStatus(ctx, node)
		if err != nil {
			return err.Error(), nil
		}
		for _, i := range st.Instances {
			if i.State != "MASTER" || i.Handover {
				return fmt.Sprintf("%s is %s there (%s)", i.Name, i.State, i.Reason), nil
			}
		}
		if m := l.Masters(ctx); !slices.Equal(m, []string{node}) {
			return fmt.Sprintf("masters are %v", m), nil
		}
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("await %s as master: %w", node, err)
	}
	return nil
}

// Settle returns when the lab is as it should be at rest: every running
// director is ready and has all services programmed with every server up, and
// one of them is master; with preemption the one of the highest priority.
func (l *Lab) Settle(ctx context.Context) error {
	var running []string
	for _, node := range []string{LVSA, LVSB} {
		if l.Running(node) {
			running = append(running, node)
		}
	}
	if len(running) == 0 {
		return errors.New("settle lab: no director runs")
	}
	err := await(ctx, l.opts.Patience, func() (string, error) {
		for _, node := range running {
			st, err := l.DirectorStatus(ctx, node)
			if err != nil {
				return node + ": " + err.Error(), nil
			}
			if missing := unsettled(st); missing != "" {
				return node + ": " + missing, nil
			}
		}
		masters := l.Masters(ctx)
		if len(masters) != 1 {
			return fmt.Sprintf("masters are %v", masters), nil
		}
		if want := l.preferred(running); !l.opts.NoPreempt && want != masters[0] {
			return fmt.Sprintf("%s is master, not yet %s", masters[0], want), nil
		}
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("settle lab: %w", err)
	}
	return nil
}

func unsettled(st control.Status) string {
	for _, i := range st.Instances {
		if !i.Ready {
			return fmt.Sprintf("%s is not ready: %s", i.Name, i.NotReady)
		}
		if i.Handover {
			return i.Name + " is being handed over"
		}
		if i.State != "MASTER" && i.State != "BACKUP" {
			return fmt.Sprintf("%s is %s (%s)", i.Name, i.State, i.Reason)
		}
	}
	for _, s := range st.Services {
		if !s.Programmed {
			return s.Name + " is not programmed"
		}
		for _, rs := range s.Servers {
			if rs.State != "up" || rs.Kernel == nil {
				return fmt.Sprintf("%s of %s is %s %s", rs.Address, s.Name, rs.State, rs.Reason)
			}
		}
	}
	return ""
}

func (l *Lab) preferred(running []string) string {
	return slices.MaxFunc(running, func(a, b string) int { return l.opts.Priorities[a] - l.opts.Priorities[b] })
}

// Bound is what VRRP's arithmetic allows for a takeover by a node: 3 ×
// interval + its skew (RFC 9568 §6.1; RFC 3768 §6.1 for version 2, whose
// interval is counted in seconds).
func (l *Lab) Bound(successor string) time.Duration {
	interval := l.opts.AdvertInterval
	below := time.Duration(256 - l.opts.Priorities[successor])
	skew := below * interval / 256
	if l.opts.Version == 2 {
		skew = below * time.Second / 256
	}
	return 3*interval + skew
}

// EventLog is what a director has logged since the lab was built.
func (l *Lab) EventLog(node string) ([]Entry, error) {
	return readLog(l.Paths(node).Log, node)
}

func joinNodes(nodes []string) string {
	if len(nodes) == 0 {
		return "nobody"
	}
	return strings.Join(nodes, " and ")
}
