package pool

import (
	"testing"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

func orders(k ipvs.ServerKey, o Order) map[ipvs.ServerKey]Order {
	return map[ipvs.ServerKey]Order{k: o}
}

func TestWeights(t *testing.T) {
	a := server("192.168.16.103:80", 3, "a")
	says := func(w int) map[string]healthcheck.Verdict {
		return map[string]healthcheck.Verdict{"a": {ID: "a", Up: true, Weight: &w}}
	}
	drained := Drain{Done: epoch}
	st := tell(t, web(a),
		step{"configured", Inputs{Verdicts: up("a")}, "a3"},
		step{"the check's beats it", Inputs{Verdicts: says(7)}, "a7"},
		step{"also 0, which keeps the entry", Inputs{Verdicts: says(0)}, "a0"},
		step{"the operator's beats both", Inputs{Verdicts: says(7), Orders: orders(a.Server.Key, Order{Weight: weight(9)})}, "a9"},
		step{"while it drains it is 0", Inputs{Verdicts: says(7), Orders: orders(a.Server.Key, Order{Weight: weight(9), Drain: &Drain{}})}, "a0"},
		step{"and then it is gone", Inputs{Verdicts: says(7), Orders: orders(a.Server.Key, Order{Drain: &drained})}, ""},
		step{"until it is undrained", Inputs{Verdicts: says(7)}, "a7"},
		step{"one that fails while it drains is removed at once", Inputs{Verdicts: down(up(), "a"), Orders: orders(a.Server.Key, Order{Drain: &Drain{}})}, ""})
	if st.Quorum != Lost {
		t.Errorf("state is %+v", st)
	}
}

// TestLeastWeightOfSeveralChecks counts, whichever of them names it.
func TestLeastWeightOfSeveralChecks(t *testing.T) {
	a := server("192.168.16.103:80", 9, "x", "y", "z")
	says := func(x, y int) map[string]healthcheck.Verdict {
		return map[string]healthcheck.Verdict{"x": {ID: "x", Up: true, Weight: &x}, "y": {ID: "y", Up: true, Weight: &y}, "z": {ID: "z", Up: true}}
	}
	tell(t, web(a),
		step{"the first names less", Inputs{Verdicts: says(3, 7)}, "a3"},
		step{"the second does", Inputs{Verdicts: says(7, 3)}, "a3"})
}

// TestChecksThatAreNewChangeNothing: a server whose checks have changed is what it
// was until they answer.
func TestChecksThatAreNewChangeNothing(t *testing.T) {
	a, b := server("192.168.16.103:80", 3, "a"), server("192.168.16.104:80", 2, "b")
	inhibited := b
	inhibited.InhibitOnFailure = true
	tell(t, web(a, b),
		step{"one is up, one is down", Inputs{Verdicts: down(up("a"), "b")}, "a3"},
		step{"nothing is known any more", Inputs{}, "a3"},
		step{"the other answers", Inputs{Verdicts: up("b")}, "a3 b2"})
	tell(t, web(a, inhibited),
		step{"one is up, one is down", Inputs{Verdicts: down(up("a"), "b")}, "a3 b0"},
		step{"nothing is known any more", Inputs{}, "a3 b0"})
}

// TestSinceIsWhenTheStateBegan, not the last verdict.
func TestSinceIsWhenTheStateBegan(t *testing.T) {
	a := server("192.168.16.103:80", 3, "a")
	var st State
	for _, s := range []struct {
		at       int
		verdicts map[string]healthcheck.Verdict
		since    int
	}{{0, up("a"), 0}, {10, up("a"), 0}, {20, down(up(), "a"), 20}, {30, down(up(), "a"), 20}, {40, up("a"), 40}} {
		st = Next(web(a), st, Inputs{Verdicts: s.verdicts, Now: epoch.Add(time.Duration(s.at) * time.Second)})
		if got := knownOf(st, a).Since.Sub(epoch); got != time.Duration(s.since)*time.Second {
			t.Errorf("after %d s: since %v, want %d s", s.at, got, s.since)
		}
	}
}

// TestSlowStart: from 1 to the full weight, in steps that are told beforehand.
func TestSlowStart(t *testing.T) {
	a, b := server("192.168.16.103:80", 5, "a"), server("192.168.16.104:80", 2, "b")
	a.SlowStart = 40 * time.Second
	at := func(s time.Duration) time.Time { return epoch.Add(s * time.Second) }
	st := tell(t, web(a, b),
		step{"the first pass after the start is no coming up", Inputs{Start: true, Verdicts: up("a", "b")}, "a5 b2"},
		step{"it fails", Inputs{Verdicts: down(up("b"), "a")}, "b2"},
		step{"it is back", Inputs{Verdicts: up("a", "b"), Now: at(100)}, "a1 b2"},
		step{"before the first step", Inputs{Verdicts: up("a", "b"), Now: at(109)}, "a1 b2"},
		step{"at the first step", Inputs{Verdicts: up("a", "b"), Now: at(110)}, "a2 b2"},
		step{"a clock that goes back", Inputs{Verdicts: up("a", "b"), Now: at(90)}, "a1 b2"},
		step{"after the third", Inputs{Verdicts: up("a", "b"), Now: at(131)}, "a4 b2"})
	if want := at(140); !st.Look.Equal(want) {
		t.Errorf("it wants to look at %v, want %v", st.Look, want)
	}
	if s := knownOf(st, a); s.Why != Ramping || s.Target != 5 {
		t.Errorf("server is %+v", s)
	}
	if st.Alive != 7 {
		t.Errorf("the quorum counts %d, want the full weights", st.Alive)
	}
	st = Next(web(a, b), st, Inputs{Verdicts: up("a", "b"), Now: at(140)})
	if s := knownOf(st, a); s.Weight != 5 || s.Why != Configured || !st.Look.IsZero() {
		t.Errorf("at the end: %+v", st)
	}
	st = Next(web(a, b), st, Inputs{Verdicts: up("a", "b"), Orders: orders(a.Server.Key, Order{Drain: &Drain{}}), Now: at(200)})
	st = Next(web(a, b), st, Inputs{Verdicts: up("a", "b"), Now: at(201)})
	if s := knownOf(st, a); s.Weight != 1 || s.Why != Ramping {
		t.Errorf("undrained: %+v", s)
	}
}

// TestStartGoesOnWithWeights: a weight on its way up goes on from where it is, one
// that a check has named stays until the check says another, and one that the
// configuration has lowered falls.
func TestStartGoesOnWithWeights(t *testing.T) {
	at := func(s time.Duration) time.Time { return epoch.Add(s * time.Second) }
	slow, named := server("192.168.16.103:80", 5, "a"), server("192.168.16.104:80", 9, "b")
	slow.SlowStart, named.SlowStart = 40*time.Second, 40*time.Second
	named.Checks[0].Exec = &healthcheck.ExecSpec{Dynamic: true}
	there := []conf.RealServer{slow, named}
	there[0].Server.Weight, there[1].Server.Weight = 3, 4
	four := map[string]healthcheck.Verdict{"a": {ID: "a", Up: true}, "b": {ID: "b", Up: true, Weight: weight(4)}}
	st := tell(t, web(slow, named),
		step{"nobody has answered", Inputs{Start: true, Table: holding(there...)}, "a3 b4"},
		step{"nor later", Inputs{Now: at(10)}, "a4 b4"},
		step{"both have", Inputs{Verdicts: four, Now: at(15)}, "a4 b4"},
		step{"up", Inputs{Verdicts: four, Now: at(20)}, "a5 b4"})
	if s := knownOf(st, slow); s.Why != Configured {
		t.Errorf("server is %+v", s)
	}
	goOn(t, web(slow, named), st,
		step{"its check is another", Inputs{Verdicts: up("a"), Now: at(30)}, "a5 b4"},
		step{"which names no weight", Inputs{Verdicts: up("a", "b"), Now: at(31)}, "a5 b9"})
	there[0].Server.Weight = 7
	tell(t, web(slow, named), step{"lower than it was", Inputs{Start: true, Table: holding(there...)}, "a5 b4"})
	there[0].Server.Weight = 2
	tell(t, web(slow), step{"the operator's", Inputs{Start: true, Table: holding(there[0]), Orders: orders(slow.Server.Key, Order{Weight: weight(2)})}, "a2"})
}

// TestNewServerStartsSlowly: one that a reload has brought.
func TestNewServerStartsSlowly(t *testing.T) {
	a, b := server("192.168.16.103:80", 5, "a"), server("192.168.16.104:80", 9)
	b.SlowStart = time.Minute
	st := Next(web(a), State{}, Inputs{Start: true, Verdicts: up("a"), Now: epoch})
	st = Next(web(a, b), st, Inputs{Verdicts: up("a"), Now: epoch})
	if s := knownOf(st, b); s.Weight != 1 || s.Why != Ramping {
		t.Errorf("server is %+v", s)
	}
}

func TestDrain(t *testing.T) {
	d := NewDrain(epoch, time.Minute)
	at := func(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }
	for _, r := range []struct {
		at     float64
		active int
		there  bool
		reason string
	}{
		{0.1, 0, true, ""}, // too early to count
		{1, 0, true, ""},   // the first
		{1.5, 0, true, ""}, // too near to it
		{2, 3, true, ""},   // a connection after all
		{3, 0, true, ""},   // the first again
		{4, 0, true, "no active connection"},
		{70, 9, true, "no active connection"}, // it has ended
	} {
		if d = d.Read(r.active, r.there, at(r.at)); d.Reason != r.reason {
			t.Errorf("at %v s with %d connections: %q, want %q", r.at, r.active, d.Reason, r.reason)
		}
	}
	if d := NewDrain(epoch, time.Minute).Read(0, false, at(0)); d.Done.IsZero() {
		t.Errorf("gone from the table: %+v", d)
	}
	if d := NewDrain(epoch, time.Minute).Read(7, true, at(60)); d.Left != 7 || d.Reason != "deadline passed" {
		t.Errorf("at the deadline: %+v", d)
	}
	// One that is read from the record goes on where it was.
	if d := (Drain{Begun: epoch, Deadline: at(60)}).Read(0, true, at(30)); !d.Done.IsZero() {
		t.Errorf("after one reading: %+v", d)
	}
}
