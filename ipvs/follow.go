package ipvs

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// Follow is Change without a reading, where only servers come, go or change: it
// performs what leads from the table desired before, with which the kernel agreed, to
// this one, and takes what the kernel acknowledges for done. A server that fails then
// costs one request, not two readings of all servers of its service. What somebody
// else has edited is found by the next Reconcile, or by a Change that looks there; where
// his edit makes an operation fail, this call is a Change from there on.
//
// Services that come, go or change make it a Change from the beginning: what of their
// attributes a kernel does not know shows only in a reading.
func (r *Reconciler) Follow(ctx context.Context, desired Table, owned Ownership, keys ...ServiceKey) (Result, error) {
	if !r.agreed {
		return r.Reconcile(ctx, desired, owned)
	}
	u, ops := r.foretell(desired, owned, keys)
	if slices.ContainsFunc(ops, func(op Op) bool { return !op.Kind.ofServer() }) {
		return r.Change(ctx, desired, owned, keys...)
	}
	u.res = Result{Owned: u.ours, Applied: ops[:0]}
	err := u.apply(ctx, ops)
	if err == nil && !u.clean() {
		err = r.lookAt(ctx, u, owned)
	}
	return r.end(u, err)
}

// foretell is the call that Follow makes of a change, and its operations.
func (r *Reconciler) foretell(desired Table, owned Ownership, keys []ServiceKey) (*run, []Op) {
	u := r.part(desired, keys)
	was := make(Table, len(u.only))
	for _, k := range u.only {
		if e, there := r.last[k]; there {
			was[k] = e
		}
	}
	u.ours = owned.With(u.desired)
	return u, plan(u.desired, was, u.ours)
}

// part is a call about the services of some keys.
func (r *Reconciler) part(desired Table, keys []ServiceKey) *run {
	keys = slices.Compact(slices.SortedFunc(slices.Values(keys), ServiceKey.Compare))
	u := &run{kernel: r.kernel, last: r.last, desired: make(Table, len(keys)), only: keys}
	for _, k := range keys {
		if e, wanted := desired[k]; wanted {
			u.desired[k] = e.canonical(k)
		}
	}
	return u
}

// end takes over how a call about some services has ended.
func (r *Reconciler) end(u *run, err error) (Result, error) {
	if err == nil {
		for _, k := range u.only {
			delete(r.last, k)
		}
		maps.Copy(r.last, u.desired.without(u.failed))
	}
	r.agreed = err == nil && u.clean()
	return u.res, errors.Join(append(u.errs, err)...)
}
