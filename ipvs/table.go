package ipvs

import (
	"maps"
	"slices"
	"strings"
)

// Table is a whole IPVS table, desired or observed.
type Table map[ServiceKey]Entry

// Entry is a service with its real servers.
type Entry struct {
	Service  Service
	Counters Counters // observed; not compared
	Servers  map[ServerKey]Server
}

// Keys returns the services in the order of [ServiceKey.Compare].
func (t Table) Keys() []ServiceKey {
	return sortedKeys(t, ServiceKey.Compare)
}

// Keys returns the servers in the order of [ServerKey.Compare].
func (e Entry) Keys() []ServerKey {
	return sortedKeys(e.Servers, ServerKey.Compare)
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
		e.Servers = maps.Clone(e.Servers)
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

// canonical shares the servers of an entry that is so already, as those of the
// director are: a copy of ten thousand would cost as much as all else that is
// known of them.
func (e Entry) canonical(k ServiceKey) Entry {
	if e.isCanonical() {
		return Entry{Service: e.Service.canonical(k), Servers: e.Servers}
	}
	servers := make(map[ServerKey]Server, len(e.Servers))
	for raw, s := range e.Servers {
		sk := raw.canonical()
		if _, twice := servers[sk]; !twice {
			servers[sk] = s.canonical(sk)
			continue
		}
		for _, first := range e.Keys() {
			if first.canonical() == sk {
				servers[sk] = e.Servers[first].canonical(sk)
				break
			}
		}
	}
	return Entry{Service: e.Service.canonical(k), Servers: servers}
}

func (e Entry) isCanonical() bool {
	for k, s := range e.Servers {
		if k != k.canonical() || s != s.canonical(k) {
			return false
		}
	}
	return e.Servers != nil
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
				e.Servers = maps.Clone(e.Servers)
				delete(e.Servers, op.Server.Key)
				if op.Kind == DeleteServer {
					e.Servers[op.Server.Key] = *op.WasServer
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
		for _, sk := range e.Keys() {
			b.WriteString("-a ")
			writeKey(&b, k)
			writeServer(&b, e.Servers[sk].canonical(sk))
			b.WriteByte('\n')
		}
	}
	return b.String()
}
