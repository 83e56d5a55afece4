package ipvs

import (
	"encoding/json"
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

// With returns o and every service of the desired table.
func (o Ownership) With(desired Table) Ownership {
	w := make(Ownership, len(o)+len(desired))
	maps.Copy(w, o)
	for k := range desired {
		w[k.canonical()] = struct{}{}
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
