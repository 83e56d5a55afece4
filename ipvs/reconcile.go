package ipvs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	agreed bool  // the last call left what was desired; else all has to be read
}

// NewReconciler returns a Reconciler for the kernel.
func NewReconciler(k Kernel) *Reconciler { return &Reconciler{kernel: k} }

// List returns the services that are in the kernel's table, in no order.
func (r *Reconciler) List(ctx context.Context) ([]ServiceKey, error) { return r.kernel.List(ctx) }

// Result is what one call found and did. It is valid, as far as it got, beside
// an error too, and stays so: nothing in it is changed by later calls. Observed
// is the caller's, the rest he must not change either.
type Result struct {
	Applied  []Op         // in order, with those that had to be repeated because of a race
	Drift    []Op         // the part of Applied that repaired what somebody else had changed
	Adopted  []ServiceKey // desired, already in the kernel, not owned before
	Whole    bool         // Foreign and Observed are of the whole table, else of Keys
	Keys     []ServiceKey // what was read, where that was not the whole, sorted; nil: nothing
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
	u := &run{kernel: r.kernel, read: r.kernel.Read, last: r.last, desired: desired.canonical(), res: Result{Whole: true}}
	err := u.passes(ctx, owned)
	if err == nil {
		r.last = u.desired.without(u.failed)
	}
	r.agreed = err == nil && u.clean()
	return u.res, errors.Join(append(u.errs, err)...)
}

// run is the state of one call: of the whole table or, in a Change, of some services.
type run struct {
	kernel  Kernel
	read    func(context.Context) (Table, error)
	last    Table
	desired Table
	only    []ServiceKey // those that this is about; nil: all
	ours    Ownership
	res     Result
	errs    []error
	failed  []Op
	refused map[string]struct{}     // by Op.String
	broken  map[ServiceKey]struct{} // could not be created: its servers cannot either
	race    error                   // the last one
}

// clean says whether there was neither a refusal nor a race.
func (u *run) clean() bool { return len(u.errs) == 0 && u.race == nil }

func (u *run) passes(ctx context.Context, owned Ownership) error {
	u.ours = owned.With(u.desired)
	u.res.Owned = u.ours
	for {
		observed, err := u.read(ctx)
		if err != nil {
			return fmt.Errorf("read ipvs table: %w", err)
		}
		u.see(observed, owned)
		todo := u.remaining(plan(u.desired, observed, u.ours))
		if len(todo) == 0 {
			return nil
		}
		if u.res.Applied == nil {
			u.res.Applied = todo[:0] // those that succeed move up: no second list of ten thousand
		}
		if u.res.Passes == maxPasses {
			err := fmt.Errorf("%w: %d operations remain after %d passes, first: %s", ErrNotConverged, len(todo), maxPasses, todo[0])
			return errors.Join(err, u.race)
		}
		// A service that cannot be created must not have its servers tried.
		creations := slices.IndexFunc(todo, func(op Op) bool { return op.Kind != AddService })
		if creations < 0 {
			creations = len(todo)
		}
		if err := u.apply(ctx, todo[:creations]); err != nil {
			return err
		}
		if err := u.apply(ctx, u.remaining(todo[creations:])); err != nil {
			return err
		}
	}
}

// apply performs operations; its error ends the call.
func (u *run) apply(ctx context.Context, ops []Op) error {
	if len(ops) == 0 {
		return nil
	}
	for i, err := range u.kernel.Apply(ctx, ops) {
		if err := u.took(ctx, ops[i], err); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// took takes over the answer to an operation.
func (u *run) took(ctx context.Context, op Op, err error) error {
	if err == nil {
		u.res.Applied = append(u.res.Applied, op)
		if u.drifted(op) {
			u.res.Drift = append(u.res.Drift, op)
		}
		return nil
	}
	told := fmt.Errorf("%s %s: %w", op.Kind, op.Object(), err)
	switch {
	case ctx.Err() != nil || Fatal(err):
		return told
	case raced(op.Kind, err):
		u.race = told
		return nil
	}
	u.errs = append(u.errs, told)
	u.failed = append(u.failed, op)
	if u.refused == nil {
		u.refused, u.broken = map[string]struct{}{}, map[ServiceKey]struct{}{}
	}
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
	u.res.Foreign = nil
	for k := range observed {
		_, wanted := u.desired[k]
		switch {
		case !u.ours.Has(k):
			u.res.Foreign = append(u.res.Foreign, k)
		case wanted && !owned.Has(k) && u.res.Passes == 1:
			u.res.Adopted = append(u.res.Adopted, k)
		}
	}
	slices.SortFunc(u.res.Foreign, ServiceKey.Compare)
	slices.SortFunc(u.res.Adopted, ServiceKey.Compare)
	gone := func(k ServiceKey) bool {
		_, wanted := u.desired[k]
		_, there := observed[k]
		return !wanted && !there
	}
	if u.only == nil {
		u.res.Owned = u.ours.without(maps.Keys(u.ours), gone)
	} else {
		u.res.Owned = u.ours.without(slices.Values(u.only), gone)
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
func (u *run) drifted(op Op) bool {
	if u.last == nil {
		return false
	}
	was, wasThere := u.last[op.Service.Key]
	is, isThere := u.desired[op.Service.Key]
	switch op.Kind {
	case AddService, UpdateService:
		return wasThere == isThere && was.Service == is.Service
	case DeleteService: // its end was desired, now or by the process before
		return false
	}
	if !wasThere || !isThere {
		return false
	}
	a, hadServer := was.Servers.Get(op.Server.Key)
	b, hasServer := is.Servers.Get(op.Server.Key)
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
