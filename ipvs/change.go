package ipvs

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// Change is Reconcile at the price of what differs: only the services of keys
// are read and planned, which are all whose desired entry is not that of the
// call before, and any others that are to be looked at. Both desired and keys
// have them as [AddressKey] and [FWMarkKey] make them. What somebody else
// edited elsewhere is found by the next Reconcile. [Result.Over] brings what was
// observed before up to date.
//
// It is a Reconcile if there was none yet, if most of the table differs, and
// after a call that met an error or a race.
func (r *Reconciler) Change(ctx context.Context, desired Table, owned Ownership, keys ...ServiceKey) (Result, error) {
	keys = slices.Compact(slices.SortedFunc(slices.Values(keys), ServiceKey.Compare))
	part := make(Table, len(keys))
	for _, k := range keys {
		if e, wanted := desired[k]; wanted {
			part[k] = e.canonical(k)
		}
	}
	gone := len(keys) - len(part)
	switch {
	case !r.agreed, 2*len(keys) > len(desired)+gone && len(keys) > fewServices:
		return r.Reconcile(ctx, desired, owned)
	case len(keys) == 0:
		return Result{Owned: owned.With(nil)}, nil
	}
	u := &run{kernel: r.kernel, last: r.last, desired: part, only: keys, res: Result{Keys: keys}}
	u.read = func(ctx context.Context) (Table, error) { return r.kernel.ReadServices(ctx, keys) }
	err := u.passes(ctx, owned)
	if err == nil {
		for _, k := range keys {
			delete(r.last, k)
		}
		maps.Copy(r.last, part.without(u.failed))
	}
	r.agreed = err == nil && u.clean()
	return u.res, errors.Join(append(u.errs, err)...)
}

// fewServices are read one by one whatever part of the table they are.
const fewServices = 8

// Over returns before, what was observed until r, with what r has read anew. It
// changes before.
func (r Result) Over(before Table) Table {
	switch {
	case r.Whole:
		return r.Observed
	case r.Observed == nil: // they could not be read
		return before
	case before == nil:
		before = Table{}
	}
	for _, k := range r.Keys {
		if e, there := r.Observed[k]; there {
			before[k] = e
		} else {
			delete(before, k)
		}
	}
	return before
}
