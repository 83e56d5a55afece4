package ipvs

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// maxPasses bounds a Reconcile against an outside editor that never rests.
// One pass applies, one confirms; the others are for races.
const maxPasses = 6

// Reconciler makes a Kernel agree with a desired table. It is used by one
// goroutine.
type Reconciler struct {
	kernel Kernel
	last   Table // what was desired when the kernel last agreed: tells drift from change
}

// NewReconciler returns a Reconciler for the kernel.
func NewReconciler(k Kernel) *Reconciler { return &Reconciler{kernel: k} }

// Result is what one Reconcile found and did. It is valid, as far as it got,
// beside an error too.
type Result struct {
	Applied  []Op         // in order, with those that had to be repeated because of a race
	Drift    []Op         // the part of Applied that repaired what somebody else had changed
	Adopted  []ServiceKey // desired, already in the kernel, not owned before
	Foreign  []ServiceKey // in the kernel, neither desired nor owned: untouched
	Observed Table        // the last reading, with counters; nil if there was none
	Owned    Ownership    // to be recorded: what is desired, and what should go but is still there
	Passes   int          // readings of the kernel
}

// Reconcile reads the kernel, plans and applies, until a reading agrees with
// desired. Every pass starts from a new reading, and whoever edits the table
// at the same time costs a pass, not an error. An operation that the kernel
// refuses is not tried again within the call; the others go on. Returned are
// all refusals joined, ErrNotConverged when the table still moves after the
// last pass, and at once the errors after which nothing can work: a reading
// that failed, EPERM, ErrNoIPVS, ErrHung, ctx.
func (r *Reconciler) Reconcile(ctx context.Context, desired Table, owned Ownership) (Result, error) {
	u := run{desired: desired.canonical(), refused: map[string]struct{}{}, broken: map[ServiceKey]struct{}{}}
	u.ours = owned.With(u.desired)
	u.res.Owned = u.ours
	err := r.passes(ctx, &u, owned)
	if err == nil {
		r.last = u.desired.without(u.failed)
	}
	return u.res, errors.Join(append(u.errs, err)...)
}

// run is the state of one Reconcile.
type run struct {
	desired Table
	ours    Ownership
	res     Result
	errs    []error
	failed  []Op
	refused map[string]struct{}     // by Op.String
	broken  map[ServiceKey]struct{} // could not be created: its servers cannot either
	race    error                   // the last one
}

func (r *Reconciler) passes(ctx context.Context, u *run, owned Ownership) error {
	for {
		observed, err := r.kernel.Read(ctx)
		if err != nil {
			return fmt.Errorf("read ipvs table: %w", err)
		}
		u.see(observed, owned)
		todo := u.remaining(plan(u.desired, observed, u.ours))
		if len(todo) == 0 {
			return nil
		}
		if u.res.Passes == maxPasses {
			err := fmt.Errorf("%w: %d operations remain after %d passes, first: %s", ErrNotConverged, len(todo), maxPasses, todo[0])
			return errors.Join(err, u.race)
		}
		for _, op := range todo {
			if u.hopeless(op) {
				continue
			}
			if err := r.apply(ctx, op, u); err != nil {
				return err
			}
		}
	}
}

// apply performs one operation; its error ends the Reconcile.
func (r *Reconciler) apply(ctx context.Context, op Op, u *run) error {
	err := r.kernel.Apply(ctx, op)
	if err == nil {
		u.res.Applied = append(u.res.Applied, op)
		if r.drifted(op, u.desired) {
			u.res.Drift = append(u.res.Drift, op)
		}
		return nil
	}
	told := fmt.Errorf("%s %s: %w", op.Kind, op.Object(), err)
	switch {
	case fatal(ctx, err):
		return told
	case raced(op.Kind, err):
		u.race = told
		return nil
	}
	u.errs = append(u.errs, told)
	u.failed = append(u.failed, op)
	u.refused[op.String()] = struct{}{}
	if op.Kind == AddService {
		u.broken[op.Service.Key] = struct{}{}
	}
	return nil
}

// see takes over what a reading says.
func (u *run) see(observed Table, owned Ownership) {
	u.res.Passes++
	u.res.Observed = observed
	u.res.Foreign = u.res.Foreign[:0]
	for _, k := range observed.Keys() {
		_, wanted := u.desired[k]
		switch {
		case !u.ours.Has(k):
			u.res.Foreign = append(u.res.Foreign, k)
		case wanted && !owned.Has(k) && u.res.Passes == 1:
			u.res.Adopted = append(u.res.Adopted, k)
		}
	}
	u.res.Owned = make(Ownership, len(u.ours))
	for k := range u.ours {
		_, wanted := u.desired[k]
		_, there := observed[k]
		if wanted || there {
			u.res.Owned[k] = struct{}{}
		}
	}
}

func (u *run) remaining(ops []Op) []Op {
	if len(u.refused) == 0 {
		return ops
	}
	var left []Op
	for _, op := range ops {
		if _, refused := u.refused[op.String()]; !refused && !u.hopeless(op) {
			left = append(left, op)
		}
	}
	return left
}

func (u *run) hopeless(op Op) bool {
	_, broken := u.broken[op.Service.Key]
	return broken && op.Kind == AddServer
}

// drifted says whether op repairs something for which desired has not changed
// since the kernel last agreed.
func (r *Reconciler) drifted(op Op, desired Table) bool {
	if r.last == nil {
		return false
	}
	was, wasThere := r.last[op.Service.Key]
	is, isThere := desired[op.Service.Key]
	switch op.Kind {
	case AddService, UpdateService:
		return wasThere == isThere && was.Service == is.Service
	case DeleteService: // its end was desired, now or by the process before
		return false
	}
	if !wasThere || !isThere {
		return false
	}
	a, hadServer := was.Servers[op.Server.Key]
	b, hasServer := is.Servers[op.Server.Key]
	return hadServer == hasServer && a.Equal(b)
}

// raced says whether an error only means that the reading was out of date, or
// that the kernel was short of memory for a moment. The next pass sees.
// ENOENT for a service is no race: its scheduler is missing.
func raced(k OpKind, err error) bool {
	for _, transient := range []error{syscall.ESRCH, syscall.ENOBUFS, syscall.EAGAIN, syscall.EINTR} {
		if errors.Is(err, transient) {
			return true
		}
	}
	switch k {
	case AddService, AddServer:
		return errors.Is(err, syscall.EEXIST)
	case UpdateServer, DeleteServer:
		return errors.Is(err, syscall.ENOENT)
	}
	return false
}

// fatal says whether every further operation would end the same way.
func fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, syscall.EPERM) || errors.Is(err, ErrNoIPVS) || errors.Is(err, ErrHung)
}
