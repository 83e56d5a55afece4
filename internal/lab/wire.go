package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Wire is what passed between the router and the LAN during a scenario, by the
// time stamps of the kernel: unlike the client's own clock it does not count
// the time for which nobody let the client run.
type Wire struct {
	// Answers counts the SYN-ACKs of the virtual service, LongestGap is the
	// longest time between two consecutive ones and GapStart when it began. What
	// follows the last one counts as a gap, too.
	Answers    int           `json:"answers"`
	LongestGap time.Duration `json:"longest_gap_ns"`
	GapStart   time.Time     `json:"gap_start"`
	// Fault is when the scenario began to break something.
	Fault time.Time `json:"fault"`
	// Announced is the first gratuitous ARP for the VIP after the fault, and
	// Across the gap around it: from LastBefore to FirstAfter, which is the zero
	// time if no answer followed. Without an announcement these are not set.
	Announced  time.Time     `json:"announced,omitzero"`
	LastBefore time.Time     `json:"last_before,omitzero"`
	FirstAfter time.Time     `json:"first_after,omitzero"`
	Across     time.Duration `json:"across_ns,omitempty"`
	// FirstRequest is the first new SYN after the announcement, sent again not
	// counted, and Requests is how many there were between LastBefore and
	// FirstAfter: without any nobody waited, the client was not there to ask.
	FirstRequest time.Time `json:"first_request,omitzero"`
	Requests     int       `json:"requests"`
	// Limit is the expectation for Across on a machine that is not slowed down:
	// VRRP's arithmetic and wireSlack. It is told, not judged. 0 without one.
	Limit time.Duration `json:"limit_ns,omitempty"`
}

// wireSlack is what noticing, programming and announcing may take beyond VRRP's
// own arithmetic.
const wireSlack = 50 * time.Millisecond

// Held says whether the gap across the fault is within its limit.
func (w *Wire) Held() bool { return !w.FirstAfter.IsZero() && w.Across <= w.Limit }

// watch captures where a service's requests and announcements pass, and where
// its answers do if that is elsewhere.
type watch []*Capture

func (l *Lab) watchOpenings(service netip.AddrPort) (watch, error) {
	requests := place{RouterNode, LANInterface}
	places := []place{requests}
	if answers := l.Topology().layout().answers; answers != requests {
		places = append(places, answers)
	}
	var w watch
	for _, p := range places {
		c, err := l.capture(p.node, p.iface, openingsFilter(service))
		if err != nil {
			_, closeErr := w.close()
			return nil, errors.Join(err, closeErr)
		}
		w = append(w, c)
	}
	return w, nil
}

// close ends the captures and returns what they saw in the order of time. A SYN
// that passed both is there twice, an answer once: only one of the places has it.
func (w watch) close() ([]Frame, error) {
	var (
		frames []Frame
		errs   []error
	)
	for _, c := range w {
		errs = append(errs, c.Close())
		frames = append(frames, c.Frames()...)
	}
	slices.SortStableFunc(frames, func(a, b Frame) int { return a.Time.Compare(b.Time) })
	return frames, errors.Join(errs...)
}

// segment is a TCP segment that opens a connection, as it stood on the wire.
type segment struct {
	source, destination netip.AddrPort
	sequence            uint32
	ack                 bool // the answer to a SYN
}

// connection names a SYN: one that is sent again has the same name.
type connection struct {
	source   netip.AddrPort
	sequence uint32
}

// wireOf adds up what was captured from start to end, in which something was
// broken at fault.
func wireOf(frames []Frame, service netip.AddrPort, start, fault, end time.Time) Wire {
	w := Wire{Fault: fault}
	gap := func(from, to time.Time) {
		if d := to.Sub(from); d > w.LongestGap {
			w.LongestGap, w.GapStart = d, from
		}
	}
	last := start
	for _, f := range frames {
		if f.Time.Before(start) || f.Time.After(end) {
			continue
		}
		if w.Announced.IsZero() && f.Time.After(fault) && f.ARP.Gratuitous(service.Addr()) {
			w.Announced, w.LastBefore = f.Time, last
		}
		if s := f.tcp; s != nil && s.ack && s.source == service {
			w.Answers++
			gap(last, f.Time)
			last = f.Time
			if !w.Announced.IsZero() && w.FirstAfter.IsZero() {
				w.FirstAfter = f.Time
			}
		}
	}
	gap(last, end)
	if w.Announced.IsZero() {
		return w
	}
	until := w.FirstAfter
	if until.IsZero() {
		until = end
	}
	w.Across = until.Sub(w.LastBefore)
	w.requests(frames, service, until)
	return w
}

func (w *Wire) requests(frames []Frame, service netip.AddrPort, until time.Time) {
	seen := map[connection]bool{}
	for _, f := range frames {
		s := f.tcp
		if s == nil || s.ack || s.destination != service {
			continue
		}
		c := connection{s.source, s.sequence}
		again := seen[c]
		seen[c] = true
		if again {
			continue
		}
		if f.Time.After(w.LastBefore) && !f.Time.After(until) {
			w.Requests++
		}
		if w.FirstRequest.IsZero() && f.Time.After(w.Announced) {
			w.FirstRequest = f.Time
		}
	}
}

// lines tell it to a person.
func (w *Wire) lines() []string {
	if w == nil {
		return nil
	}
	text := "on the wire: longest gap " + inMS(w.LongestGap)
	if w.Announced.IsZero() {
		return []string{text}
	}
	text += ", across the fault " + inMS(w.Across)
	if w.Limit > 0 {
		verdict := "held"
		if !w.Held() {
			verdict = "not held"
		}
		text += fmt.Sprintf(" (3 adverts, skew and %s are %s: %s)", inMS(wireSlack), inMS(w.Limit), verdict)
	}
	after := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return fmt.Sprintf("%+.1f ms", float64(t.Sub(w.Fault))/float64(time.Millisecond))
	}
	return []string{text, fmt.Sprintf("from the fault: last answer before %s, gratuitous ARP %s, next new SYN %s, first answer after %s; %d new SYNs in the gap",
		after(w.LastBefore), after(w.Announced), after(w.FirstRequest), after(w.FirstAfter), w.Requests)}
}
