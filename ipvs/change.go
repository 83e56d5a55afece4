package ipvs

import "context"

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
	u := r.part(desired, keys)
	gone := len(u.only) - len(u.desired)
	switch {
	case !r.agreed, 2*len(u.only) > len(desired)+gone && len(u.only) > fewServices:
		return r.Reconcile(ctx, desired, owned)
	case len(u.only) == 0:
		return Result{Owned: owned.With(nil)}, nil
	}
	return r.end(u, r.lookAt(ctx, u, owned))
}

// lookAt reads the services that u is about, until they are as desired.
func (r *Reconciler) lookAt(ctx context.Context, u *run, owned Ownership) error {
	u.res.Keys = u.only
	u.read = func(ctx context.Context) (Table, error) { return r.kernel.ReadServices(ctx, u.only) }
	return u.passes(ctx, owned)
}

// fewServices are read one by one whatever part of the table they are.
const fewServices = 8

// Over returns before, what was observed until r, with what r has read anew, or
// done without reading. It changes before.
func (r Result) Over(before Table) Table {
	switch {
	case r.Whole:
		return r.Observed
	case r.Observed == nil:
		return before.after(r.Applied)
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

// after performs operations on the servers of a table that was read: their counters
// stay as they were.
func (t Table) after(ops []Op) Table {
	for _, op := range ops {
		k := op.Service.Key
		e, there := t[k]
		if !there {
			continue // not read yet
		}
		switch was, _ := e.Servers.Get(op.Server.Key); op.Kind {
		case AddServer, UpdateServer:
			s := op.Server
			s.Stats = was.Stats
			e.Servers.Put(s)
		case DeleteServer:
			e.Servers.Delete(op.Server.Key)
		}
		t[k] = e
	}
	return t
}
