package pool

import (
	"time"

	"baton/conf"
	"baton/ipvs"
)

// Order is what the operator has said of a server.
type Order struct {
	Weight *int   `json:"weight,omitempty"` // in place of the configured one, 0 … 65535; nil: none
	Drain  *Drain `json:"drain,omitempty"`  // nil: it is in service
}

// Drain is a server on its way out: weight 0, until its connections are gone or
// its time is over.
type Drain struct {
	Begun    time.Time `json:"begun"`
	Deadline time.Time `json:"deadline"`
	Done     time.Time `json:"done,omitzero"`    // when its entry was removed; zero: it still drains
	Left     int       `json:"left,omitempty"`   // active connections at that time
	Reason   string    `json:"reason,omitempty"` // why it had ended

	Active int       `json:"-"` // connections at the last reading
	read   time.Time // the last reading that counted
	idle   int       // readings in a row without an active connection
}

// NewDrain begins now and ends after within at the latest.
func NewDrain(now time.Time, within time.Duration) Drain {
	return Drain{Begun: now, Deadline: now.Add(within), read: now}
}

// A drain ends when drainReadings in a row, at least drainApart from one
// another, show no active connection: one that is still in its handshake is
// not counted as active.
const (
	drainReadings = 2
	drainApart    = 900 * time.Millisecond
)

// Read takes over a reading of the table: how many connections the server has
// there, if it is there at all. What it returns is done when the drain has
// ended.
func (d Drain) Read(active int, there bool, now time.Time) Drain {
	if !d.Done.IsZero() {
		return d
	}
	d.Active = active
	switch {
	case active > 0:
		d.idle = 0
	case now.Sub(d.read) >= drainApart:
		d.idle++
		d.read = now
	}
	switch {
	case !there || d.idle >= drainReadings:
		return d.End("no active connection", now)
	case !now.Before(d.Deadline):
		return d.End("deadline passed", now)
	}
	return d
}

// End ends the drain.
func (d Drain) End(reason string, now time.Time) Drain {
	d.Done, d.Reason, d.Left = now, reason, d.Active
	return d
}

// Leaving is a server that the configuration no longer has, on its way out of
// one IPVS service.
type Leaving struct {
	Service ipvs.Service `json:"service"` // as it was last
	Server  ipvs.Server  `json:"server"`  // as it was last
	Drain   Drain        `json:"drain"`
}

// Unwanted returns what of a table the configuration has no place for: the
// servers of services that are ours. They are to be drained.
func Unwanted(table ipvs.Table, services []conf.VirtualServer, ours func(ipvs.ServiceKey) bool) []Leaving {
	places := map[ipvs.ServiceKey]conf.VirtualServer{}
	for _, vs := range services {
		for _, k := range vs.Keys {
			places[k] = vs
		}
	}
	var out []Leaving
	for _, k := range table.Keys() {
		vs, configured := places[k]
		if !configured && !ours(k) {
			continue
		}
		leaving := table[k]
		wanted := map[ipvs.ServerKey]bool{}
		for _, rs := range vs.Servers {
			wanted[conf.ServerAt(k, rs.Server).Key] = true
		}
		if vs.Sorry != nil {
			wanted[conf.ServerAt(k, vs.Sorry.Server).Key] = true
		}
		for _, s := range leaving.Servers {
			if !wanted[s.Key] {
				out = append(out, Leaving{Service: leaving.Service, Server: s})
			}
		}
	}
	return out
}
