package ipvs

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// Change is Reconcile at the price of what differs: only services whose desired
// entry is not that of the call before are read and planned, and those in also.
// The others are taken for what the kernel held when it last agreed, so what
// somebody else edited there is found by the next Reconcile. Result is of the
// whole table: Observed and Foreign have the rest as it was read last.
//
// It is a Reconcile if there was none yet, if most of the table differs, and
// after a call that met an error or a race.
func (r *Reconciler) Change(ctx context.Context, desired Table, owned Ownership, also ...ServiceKey) (Result, error) {
	if r.agreed == nil {
		return r.Reconcile(ctx, desired, owned)
	}
	part, removed := r.changed(desired)
	for _, k := range also {
		if e, wanted := desired[k]; wanted {
			part[k] = e.canonical(k)
		} else if _, twice := slices.BinarySearchFunc(removed, k, ServiceKey.Compare); !twice {
			removed = append(removed, k)
		}
	}
	keys := append(part.Keys(), removed...)
	if len(keys) == 0 {
		return Result{Foreign: r.agreed.foreign, Observed: r.agreed.observed, Owned: owned.With(nil)}, nil
	}
	if 2*len(keys) > len(desired)+len(removed) && len(keys) > fewServices {
		return r.Reconcile(ctx, desired, owned)
	}
	u := &run{kernel: r.kernel, last: r.last, desired: part, only: keys}
	u.read = func(ctx context.Context) (Table, error) { return r.kernel.ReadServices(ctx, keys) }
	err := u.passes(ctx, owned)
	before := r.agreed
	r.agreed = nil
	u.res.Observed = before.merge(keys, u.res.Observed)
	u.res.Foreign = before.stillForeign(keys, u.res.Foreign)
	if err == nil {
		for _, k := range keys {
			delete(r.last, k)
		}
		maps.Copy(r.last, part.without(u.failed))
	}
	if err == nil && u.clean() {
		r.agreed = &view{u.res.Observed, u.res.Foreign}
	}
	return u.res, errors.Join(append(u.errs, err)...)
}

// fewServices are read one by one whatever part of the table they are.
const fewServices = 8

// changed returns the desired entries that are not those of the last call, and
// the services that were desired then and are no longer.
func (r *Reconciler) changed(desired Table) (part Table, removed []ServiceKey) {
	part = Table{}
	same := 0
	for raw, e := range desired {
		k := raw.canonical()
		was, known := r.last[k]
		if known {
			same++
		}
		if !known || was.Service != e.Service.canonical(k) || !sameServers(was, e) {
			part[raw] = e
		}
	}
	if same < len(r.last) {
		wanted := desired.canonicalKeys()
		for k := range r.last {
			if !wanted.Has(k) {
				removed = append(removed, k)
			}
		}
		slices.SortFunc(removed, ServiceKey.Compare)
	}
	return part.canonical(), removed
}

// canonicalKeys returns the services under the keys that the kernel has.
func (t Table) canonicalKeys() Ownership { return Ownership(nil).With(t) }

// merge returns what was observed with the given services read anew. observed
// is nil if they could not be read.
func (v *view) merge(keys []ServiceKey, observed Table) Table {
	if observed == nil {
		return v.observed
	}
	t := maps.Clone(v.observed)
	for _, k := range keys {
		if e, there := observed[k]; there {
			t[k] = e
		} else {
			delete(t, k)
		}
	}
	return t
}

// stillForeign returns the foreign services, of which those among keys were read anew.
func (v *view) stillForeign(keys, foreign []ServiceKey) []ServiceKey {
	kept := slices.DeleteFunc(slices.Clone(v.foreign), func(k ServiceKey) bool { return slices.Contains(keys, k) })
	kept = append(kept, foreign...)
	slices.SortFunc(kept, ServiceKey.Compare)
	return kept
}
