package lab

import (
	"context"
	"errors"
	"fmt"
)

// Temporarily builds a lab, waits until it has settled, calls f and removes
// the lab, also when f fails or ctx ends. What an earlier call left whose
// process was killed is removed first; a lab that somebody built to keep is
// not.
func Temporarily(ctx context.Context, o Options, f func(*Lab) error) (err error) {
	o, err = o.withDefaults()
	if err != nil {
		return err
	}
	if s, err := loadState(o.Dir); err == nil && s.orphaned() {
		o.Progress(fmt.Sprintf("removing the lab that process %d left", s.Builder))
		if _, err := Down(ctx, s.Name, s.Dir); err != nil {
			return fmt.Errorf("remove abandoned lab: %w", err)
		}
	}
	o.temporary = true
	l, err := Up(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Patience)
		defer cancel()
		err = errors.Join(err, l.Down(cleanup))
	}()
	o.Progress("waiting for a master and for the first health checks")
	if err := l.Settle(ctx); err != nil {
		return err
	}
	return f(l)
}

// orphaned says whether a lab was meant for one process, or never finished,
// and that process is gone.
func (s state) orphaned() bool {
	builder := process{PID: s.Builder, Start: s.BuilderStart}
	return (s.Temporary || s.Phase == phaseBuilding) && !builder.alive()
}
