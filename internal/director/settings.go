package director

import (
	"context"
	"errors"
	"time"

	"baton/conf"
	"baton/internal/atomicfile"
	"baton/internal/event"
	"baton/internal/settings"
)

// steward is the one writer of what concerns IPVS as a whole: sysctls,
// time-outs and synchronisation daemons. Like the programmer of the table it
// takes the whole of what is wanted and reports each pass.
type steward struct {
	*latest[conf.IPVS]
	rec    *settings.Reconciler
	resync time.Duration
	report func(settled)
}

// settled is the outcome of one pass of the steward.
type settled struct {
	seq  uint64 // of what was wanted
	want conf.IPVS
	res  settings.Result
	err  error
}

// newSteward goes on from what an earlier run has recorded in the runtime
// directory. A record that cannot be read is no reason not to start: its error
// is told with the first pass.
func newSteward(m settings.Machine, runtimeDir string, resync time.Duration, report func(settled)) *steward {
	file := settings.RecordFile(runtimeDir)
	rec, unread := settings.ReadRecord(file)
	s := &steward{latest: newLatest[conf.IPVS](), resync: resync, report: func(p settled) {
		p.err, unread = errors.Join(p.err, unread), nil
		report(p)
	}}
	s.rec = settings.NewReconciler(m, rec, func(r settings.Record) error {
		raw, err := r.Encode()
		if err != nil {
			return err
		}
		return atomicfile.Write(file, raw, 0o600)
	})
	return s
}

func (s *steward) run(ctx context.Context, ready func()) error {
	return s.each(ctx, s.resync, ready, s.once)
}

func (s *steward) once(ctx context.Context) error {
	want, seq := s.get()
	if seq == 0 {
		return nil
	}
	res, err := s.rec.Reconcile(ctx, want)
	if ctx.Err() != nil {
		return nil
	}
	s.report(settled{seq, want, res, err})
	return err
}

// gotSettled takes over the report of the steward.
func (c *core) gotSettled(p settled) {
	if p.err == nil {
		c.settleErr = ""
	} else if c.settleErr != p.err.Error() {
		// Told once, not with each attempt.
		c.settleErr = p.err.Error()
		c.say(event.IPVSSettingFailed, event.F(event.Err, p.err))
	}
	drift := map[string]bool{}
	for _, op := range p.res.Drift {
		drift[op.String()] = true
	}
	for _, op := range p.res.Applied {
		name, reason := event.IPVSSettingApplied, op.Reason
		if drift[op.String()] {
			name = event.IPVSSettingDrift
			if reason == settings.Configured {
				reason = "somebody else changed it"
			}
		}
		c.say(name, event.F(event.Command, op), event.F(event.From, op.From), event.F(event.Reason, reason))
	}
	known := map[string]bool{}
	for _, f := range p.res.Foreign {
		if known[f] = true; !c.foreignDaemons[f] {
			c.say(event.IPVSDaemonForeign, event.F(event.Detail, f), event.F(event.Reason, "not in the configuration, left alone"))
		}
	}
	c.foreignDaemons, c.settled = known, p
	c.settleWaiters = release(c.settleWaiters, p.seq, p.err)
}
