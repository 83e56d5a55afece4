package main

import (
	"fmt"
	"strconv"
	"time"

	"baton/internal/control"
)

// counterTable renders what has passed the services and servers, or passes in a
// second, at most 80 columns wide.
func counterTable(st control.Status, rates bool, zone *time.Location, p paint) string {
	t := &table{now: st.Time, zone: zone, p: p}
	t.head(st)
	heads := []string{"CONNS", "IN PKTS", "OUT PKTS", "IN BYTES", "OUT BYTES"}
	if rates {
		heads = []string{"CONNS/S", "IN PKT/S", "OUT PKT/S", "IN B/S", "OUT B/S"}
	}
	for _, s := range st.Services {
		t.b.WriteByte('\n')
		t.wrap(bold, "", s.Name)
		line := fmt.Sprintf("  %-21s", "SERVER")
		for _, h := range heads {
			line += fmt.Sprintf(" %10s", h)
		}
		t.line(bold, line)
		t.counters("all", s.Counters, rates)
		for _, sv := range s.Servers {
			t.counters(sv.Address, sv.Counters, rates)
		}
	}
	return t.b.String()
}

func (t *table) counters(name string, c *control.Counters, rates bool) {
	t.name("  ", name, 21)
	if c == nil {
		t.b.WriteString("  not in the kernel's table\n")
		return
	}
	r := control.Rates{Connections: c.Connections, InPackets: c.InPackets, OutPackets: c.OutPackets, InBytes: c.InBytes, OutBytes: c.OutBytes}
	if rates {
		r = c.Rates
	}
	for _, n := range []uint64{r.Connections, r.InPackets, r.OutPackets, r.InBytes, r.OutBytes} {
		fmt.Fprintf(&t.b, " %10s", short(n))
	}
	t.b.WriteByte('\n')
}

// short is a number of at most ten digits, or in thousands of as few.
func short(n uint64) string {
	unit := ""
	for _, next := range []string{"K", "M", "G", "T", "P"} {
		if n < 1e9 || unit == "" && n < 1e10 {
			break
		}
		n, unit = n/1000, next
	}
	return strconv.FormatUint(n, 10) + unit
}
