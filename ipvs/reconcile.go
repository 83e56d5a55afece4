package ipvs

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	Observed Table        // the last reading, with counters
	Owned    Ownership    // to be recorded: what is desired, and what is to be deleted but still there
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
	ours := owned.With(desired)
	run := run{refused: map[string]error{}, broken: map[ServiceKey]struct{}{}}
	res := Result{Owned: ours}
	for {
		observed, err := r.kernel.Read(ctx)
		if err != nil {
			return res, errors.Join(append(run.errs, fmt.Errorf("read ipvs table: %w", err))...)
		}
		res.Passes++
		res.see(desired, observed, owned)
		todo := run.remaining(Plan(desired, observed, ours))
		if len(todo) == 0 {
			break
		}
		if res.Passes == maxPasses {
			return res, errors.Join(append(run.errs, fmt.Errorf("%w: %d operations remain after %d passes, the first is: %s",
				ErrNotConverged, len(todo), maxPasses, todo[0]))...)
		}
		if err := r.apply(ctx, todo, desired, &run, &res); err != nil {
			return res, errors.Join(append(run.errs, err)...)
		}
	}
	if len(run.errs) == 0 {
		r.last = desired.Clone()
	}
	return res, errors.Join(run.errs...)
}

// run is the state of one Reconcile.
type run struct {
	errs    []error
	refused map[string]error        // by Op.String
	broken  map[ServiceKey]struct{} // could not be created: its servers cannot either
}

func (u *run) remaining(ops []Op) []Op {
	if len(u.refused) == 0 {
		return ops
	}
	var left []Op
	for _, op := range ops {
		if u.refused[op.String()] == nil && !u.hopeless(op) {
			left = append(left, op)
		}
	}
	return left
}

func (u *run) hopeless(op Op) bool {
	_, broken := u.broken[op.Service.Key]
	return broken && op.Kind == AddServer
}

func (r *Reconciler) apply(ctx context.Context, ops []Op, desired Table, u *run, res *Result) error {
	for _, op := range ops {
		if u.hopeless(op) {
			continue
		}
		switch err := r.kernel.Apply(ctx, op); {
		case err == nil:
			res.Applied = append(res.Applied, op)
			if r.drifted(op, desired) {
				res.Drift = append(res.Drift, op)
			}
		case fatal(ctx, err):
			return err
		case raced(op.Kind, err):
		default:
			u.errs = append(u.errs, err)
			u.refused[op.String()] = err
			if op.Kind == AddService {
				u.broken[op.Service.Key] = struct{}{}
			}
		}
	}
	return nil
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
	case AddService, UpdateService, DeleteService:
		return wasThere == isThere && was.Service == is.Service
	}
	if !wasThere || !isThere {
		return false
	}
	a, hadServer := was.Servers[op.Server.Key]
	b, hasServer := is.Servers[op.Server.Key]
	return hadServer == hasServer && a.Equal(b)
}

// see takes over what a reading says.
func (res *Result) see(desired, observed Table, owned Ownership) {
	res.Observed = observed
	res.Foreign = Foreign(desired, observed, owned)
	if res.Passes == 1 {
		for _, k := range desired.Keys() {
			if _, exists := observed[k]; exists && !owned.Has(k) {
				res.Adopted = append(res.Adopted, k)
			}
		}
	}
	res.Owned = maps.Clone(owned.With(desired))
	for k := range owned {
		_, stays := observed[k]
		if _, wanted := desired[k]; !wanted && !stays {
			delete(res.Owned, k)
		}
	}
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
