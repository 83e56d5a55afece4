package ipvs

import (
	"slices"
	"strings"
)

// Table is a whole IPVS table, desired or observed.
type Table map[ServiceKey]Entry

// Entry is a service with its real servers.
type Entry struct {
	Service  Service
	Counters Counters // observed; not compared
	Servers  Servers
}

// Keys returns the services in the order of [ServiceKey.Compare].
func (t Table) Keys() []ServiceKey {
	return sortedKeys(t, ServiceKey.Compare)
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(K, K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}

// Clone returns a copy that shares nothing with t.
func (t Table) Clone() Table {
	c := make(Table, len(t))
	for k, e := range t {
		e.Servers = slices.Clone(e.Servers)
		c[k] = e
	}
	return c
}

// canonical returns a copy in which what the kernel cannot tell apart is
// equal, under constructor-made keys. Of two keys that become one the first in
// the order of Keys stays.
func (t Table) canonical() Table {
	c := make(Table, len(t))
	for raw, e := range t {
		k := raw.canonical()
		if _, twice := c[k]; twice { // rare, so only now sorted
			k.keepFirst(t, c)
			continue
		}
		c[k] = e.canonical(k)
	}
	return c
}

// keepFirst makes c's entry at k that of the first key of t that becomes k.
func (k ServiceKey) keepFirst(t, c Table) {
	for _, raw := range t.Keys() {
		if raw.canonical() == k {
			c[k] = t[raw].canonical(k)
			return
		}
	}
}

func (e Entry) canonical(k ServiceKey) Entry {
	return Entry{Service: e.Service.canonical(k), Servers: e.Servers.canonical()}
}

// without is as if the given operations had not been wanted, in place; the
// servers of an entry may be somebody else's, too.
func (t Table) without(ops []Op) Table {
	for _, op := range ops {
		switch op.Kind {
		case AddService, UpdateService:
			delete(t, op.Service.Key)
		case AddServer, UpdateServer, DeleteServer:
			if e, there := t[op.Service.Key]; there {
				e.Servers = slices.Clone(e.Servers)
				e.Servers.Delete(op.Server.Key)
				if op.Kind == DeleteServer {
					e.Servers.Put(*op.WasServer)
				}
				t[op.Service.Key] = e
			}
		}
	}
	return t
}

// String prints the table in the format of ipvsadm-save(8) -n, sorted,
// thresholds included and without the tunnel words that are defaults
// (--tun-type ipip, --tun-nocsum), so that any ipvsadm -R can read it.
func (t Table) String() string {
	var b strings.Builder
	for _, k := range t.Keys() {
		e := t[k]
		b.WriteString("-A ")
		writeService(&b, e.Service.canonical(k))
		b.WriteByte('\n')
		for _, s := range e.Servers {
			b.WriteString("-a ")
			writeKey(&b, k)
			writeServer(&b, s.canonical(s.Key))
			b.WriteByte('\n')
		}
	}
	return b.String()
}
