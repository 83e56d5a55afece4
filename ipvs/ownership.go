package ipvs

import (
	"encoding/json"
	"iter"
	"maps"
)

// Ownership is the set of services that are ours because we once programmed
// or adopted them. A service in the kernel that is neither in it nor desired
// is foreign and never touched. The caller keeps it across restarts: record
// [Ownership.With] the desired table before a Reconcile, so that a crash in
// the middle orphans nothing, and [Result].Owned after it. Its JSON form is
// the sorted list of keys.
type Ownership map[ServiceKey]struct{}

// Has says whether the service is ours.
func (o Ownership) Has(k ServiceKey) bool { _, ok := o[k]; return ok }

// With returns o and every service of the desired table. It is o itself if
// there is nothing to add.
func (o Ownership) With(desired Table) Ownership {
	w, shared := o, o != nil
	for k := range desired {
		if k = k.canonical(); w.Has(k) {
			continue
		}
		if shared || w == nil {
			w, shared = make(Ownership, len(o)+len(desired)), false
			maps.Copy(w, o)
		}
		w[k] = struct{}{}
	}
	if w == nil {
		w = Ownership{}
	}
	return w
}

// without returns o less those of the keys for which gone holds, o itself if
// there are none.
func (o Ownership) without(keys iter.Seq[ServiceKey], gone func(ServiceKey) bool) Ownership {
	var out []ServiceKey
	for k := range keys {
		if o.Has(k) && gone(k) {
			out = append(out, k)
		}
	}
	if out == nil {
		return o
	}
	w := maps.Clone(o)
	for _, k := range out {
		delete(w, k)
	}
	return w
}

// Keys returns the services in the order of [ServiceKey.Compare].
func (o Ownership) Keys() []ServiceKey {
	return sortedKeys(o, ServiceKey.Compare)
}

// MarshalJSON returns the sorted list of keys.
func (o Ownership) MarshalJSON() ([]byte, error) {
	return json.Marshal(o.Keys())
}

// UnmarshalJSON reads a list of keys.
func (o *Ownership) UnmarshalJSON(b []byte) error {
	var keys []ServiceKey
	if err := json.Unmarshal(b, &keys); err != nil {
		return err
	}
	*o = make(Ownership, len(keys))
	for _, k := range keys {
		(*o)[k] = struct{}{}
	}
	return nil
}
