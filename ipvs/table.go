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
	return slices.SortedFunc(maps.Keys(t), ServiceKey.Compare)
}

// Keys returns the servers in the order of [ServerKey.Compare].
func (e Entry) Keys() []ServerKey {
	return slices.SortedFunc(maps.Keys(e.Servers), ServerKey.Compare)
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

// String prints the table in the format of ipvsadm-save(8) -n, thresholds
// included, so that ipvsadm -R can read it.
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
