package director

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/mark"
	"baton/internal/metrics"
	"baton/internal/track"
)

// RunProber is the prober process: it checks and watches what the director
// tells it to and sends verdicts and states back. It holds no privilege, for it
// reads what strangers send.
func RunProber(ctx context.Context) error {
	ignoreTerminalSignals(swallow)
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGABRT) // as in the speaker
	defer stop()
	conn, err := ipc.Inherited()
	if err != nil {
		return err
	}
	out := ipc.NewOutbox(factsBound)
	var say teller = func(n event.Name, fields ...event.Field) {
		out.Put(kindEvent, "", event.New("prober", n, fields...))
	}
	for _, err := range []error{keepCapabilities(nil), noNewPrivileges()} {
		if err != nil {
			say(event.ChildLimited, event.F(event.Child, "prober"), event.F(event.Reason, err),
				event.F(event.Detail, "the prober keeps privileges that it does not need"))
		}
	}
	records, err := ipc.InheritedRecords()
	if err != nil {
		return err
	}
	defer records.Close()
	// What is kept is the checks themselves, and attempts leave little behind: the
	// collector has time for ten times as many rounds.
	debug.SetGCPercent(10)
	traced := &bucket{size: tracedAttempts}
	sched := healthcheck.NewScheduler(healthcheck.Options{
		// A verdict replaces an unsent one of the same check: none is lost, and
		// a director that does not read costs no more than one for each check.
		Notify:    func(v healthcheck.Verdict) { out.Put(kindVerdict, v.ID, v) },
		Overload:  func(o healthcheck.Overload) { tellOverload(say, o) },
		Failed:    func(f healthcheck.Failure) { tellFailure(say, f) },
		Hinted:    func(h healthcheck.Hint) { tellHint(say, h) },
		Attempted: func(a healthcheck.Attempt) { tellAttempt(say, traced, a) },
		Run:       programs(),
		Mark:      mark.NewClient(records).Mark,
	})
	watcher := track.NewScheduler(track.Options{
		Changed: func(key string, s track.State) { out.Put(kindTracked, "track "+key, trackFact{key, s}) },
		Trouble: func(t track.Trouble) { tellTrouble(say, t) },
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan error, 1)
	go func() { watched <- watcher.Run(ctx) }()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// The reader notices a broken connection.
		_ = out.Run(ctx, conn, func(err error) {
			say(event.ChildLimited, event.F(event.Child, "prober"), event.F(event.Reason, err), event.F(event.Detail, "the director does not hear of it"))
		})
	}()
	ran := make(chan error, 1)
	go func() { ran <- sched.Run(ctx) }()
	out.Put(kindHello, "", os.Getpid())

	lost := make(chan error, 1)
	go func() { lost <- serveProber(conn, out, say, sched, watcher) }()
	select {
	case err = <-lost:
		if errors.Is(err, io.EOF) {
			err = nil
		}
		cancel()
		err = errors.Join(err, <-ran)
	case err = <-ran:
		cancel()
	}
	err = errors.Join(err, <-watched)
	<-sent
	return err
}

// teller sends an event.
type teller = func(event.Name, ...event.Field)

// serveProber acts on messages until the director says stop or is gone.
func serveProber(conn *ipc.Conn, out *ipc.Outbox, say teller, sched *healthcheck.Scheduler, watcher *track.Scheduler) error {
	for fresh := true; ; {
		m, err := conn.Receive()
		if err != nil {
			return err
		}
		switch m.Kind {
		case kindApply:
			if err := applyState(m, say, fresh, sched, watcher); err != nil {
				return err
			}
			fresh = false
			// The message of 10,000 checks is several times what is kept of it, and
			// there may be no other for a year.
			m = ipc.Message{}
			debug.FreeOSMemory()
		case kindTrace:
			var on bool
			if err := m.Decode(&on); err != nil {
				return err
			}
			sched.SetTracing(on)
		case kindTrigger:
			var hints []hint
			if err := m.Decode(&hints); err != nil {
				return err
			}
			trigger(say, sched, hints)
		case kindInspect:
			var i inspection
			if err := m.Decode(&i); err != nil {
				return err
			}
			i.Reports = sched.Reports(i.IDs...)
			out.Put(kindInspect, fmt.Sprint("inspect ", i.Number), i)
		case kindAlive:
			isAlive(out)
		case kindChecks:
			out.Put(kindChecks, string(kindChecks), proberFacts{metrics.Checks{Kinds: sched.Kinds(), Stats: sched.Stats()}, usage()})
		case kindStop:
			return nil
		}
	}
}

// applyState takes up the whole desired state; fresh: it is this process's first.
func applyState(m ipc.Message, say teller, fresh bool, sched *healthcheck.Scheduler, watcher *track.Scheduler) error {
	var st proberState
	if err := m.Decode(&st); err != nil {
		return err
	}
	if fresh {
		sched.Resume(st.Verdicts)
	}
	sched.Doubt(st.Doubted)
	tellUnfit(say, sched.Apply(st.Checks, st.Unheard...))
	watcher.Apply(st.Track, st.Known)
	return nil
}

// maxUnfit bounds the checks that tellUnfit names.
const maxUnfit = 20

// tellUnfit says which checks cannot be made as they are configured, for want
// of a file as a rule. They stay unknown, all others go on.
func tellUnfit(say teller, err error) {
	var list []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	} else if err != nil {
		list = []error{err}
	}
	for i, err := range list {
		id, detail := "", err.Error()
		var se *healthcheck.SpecError
		if errors.As(err, &se) {
			id, detail = se.ID, fmt.Sprintf("%s (%s)", se.Problem, se.Remedy)
		}
		if i == maxUnfit {
			id, detail = "", fmt.Sprintf("and %s more", plural(len(list)-i, "check"))
		}
		say(event.ServerUnknown, event.F(event.Check, id), event.F(event.Reason, healthcheck.Config), event.F(event.Detail, detail))
		if i == maxUnfit {
			return
		}
	}
}

// tellFailure tells an attempt that failed and did not bring its server down.
func tellFailure(say func(event.Name, ...event.Field), f healthcheck.Failure) {
	detail := f.Detail
	if f.Omitted > 0 {
		detail += fmt.Sprintf("; %s before it left out", plural(f.Omitted, "failure"))
	}
	say(event.CheckFailed, event.F(event.Check, f.ID), event.F(event.Reason, f.Reason), event.F(event.Detail, detail),
		event.F(event.Count, fmt.Sprintf("%d of %d", f.Attempts, f.Retry+1)), event.F(event.Took, round(f.Latency)))
}

// tellOverload says that this machine, not a server, is the trouble.
func tellOverload(say func(event.Name, ...event.Field), o healthcheck.Overload) {
	if o.Late > 0 {
		say(event.CheckLate, event.F(event.Count, o.Late), event.F(event.Took, o.MaxLateness.Round(time.Millisecond)))
	}
	if o.Needed > o.Descriptors {
		say(event.ChildLimited, event.F(event.Child, "prober"),
			event.F(event.Reason, fmt.Sprintf("%d checks but only %d descriptors", o.Needed, o.Descriptors)),
			event.F(event.Detail, "raise LimitNOFILE of the unit, or ulimit -n"))
	}
	if o.Unknown > 0 {
		say(event.ServerUnknown, event.F(event.Check, o.ID), event.F(event.Reason, o.Reason),
			event.F(event.Detail, fmt.Sprintf("%s; %d attempts without an outcome", o.Detail, o.Unknown)))
	}
}
