package pool

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

// drawPool draws a configuration with servers that share one check each.
func drawPool(t *rapid.T) conf.VirtualServer {
	vs := web()
	for i := range rapid.IntRange(0, 5).Draw(t, "servers") {
		rs := server(fmt.Sprintf("10.0.0.%d:80", i+1), rapid.IntRange(0, 9).Draw(t, "weight"))
		if rapid.IntRange(0, 4).Draw(t, "checked") > 0 {
			rs.Checks = []healthcheck.Spec{{ID: fmt.Sprint(i)}}
		}
		rs.InhibitOnFailure = rapid.Bool().Draw(t, "inhibit_on_failure")
		rs.SlowStart = time.Duration(rapid.IntRange(0, 3).Draw(t, "slow_start")) * 10 * time.Second
		vs.Servers = append(vs.Servers, rs)
	}
	vs.Alpha = rapid.Bool().Draw(t, "alpha")
	vs.DrainTimeout = time.Duration(rapid.IntRange(0, 1).Draw(t, "drain_timeout")) * time.Minute
	vs.Quorum = rapid.IntRange(1, 12).Draw(t, "quorum")
	vs.Hysteresis = rapid.IntRange(0, vs.Quorum-1).Draw(t, "hysteresis")
	if rapid.Bool().Draw(t, "sorry") {
		vs = withSorry(vs)
		vs.SorryInhibit = rapid.Bool().Draw(t, "sorry_server_inhibit")
	}
	return vs
}

// drawInputs draws what may be known of a pool.
func drawInputs(t *rapid.T, vs conf.VirtualServer, now time.Time) Inputs {
	in := Inputs{Verdicts: map[string]healthcheck.Verdict{}, Orders: map[ipvs.ServerKey]Order{}, Now: now}
	for i, rs := range vs.Servers {
		id := fmt.Sprint(i)
		switch rapid.IntRange(0, 4).Draw(t, "verdict") {
		case 0:
		case 1:
			in.Verdicts[id] = healthcheck.Verdict{ID: id}
		case 2:
			in.Verdicts[id] = healthcheck.Verdict{ID: id, Up: true, Weight: weight(rapid.IntRange(0, 9).Draw(t, "dynamic"))}
		default:
			in.Verdicts[id] = healthcheck.Verdict{ID: id, Up: true}
		}
		var o Order
		switch rapid.IntRange(0, 8).Draw(t, "order") {
		case 0:
			o.Weight = weight(rapid.IntRange(0, 9).Draw(t, "override"))
		case 1:
			o.Drain = &Drain{}
		case 2:
			o.Drain = &Drain{Done: epoch}
		}
		in.Orders[rs.Server.Key] = o
	}
	return in
}

// drawTable draws what the kernel may hold at the start.
func drawTable(t *rapid.T, vs conf.VirtualServer) ipvs.Table {
	if rapid.Bool().Draw(t, "empty") {
		return nil
	}
	var there []conf.RealServer
	all := vs.Servers
	if vs.Sorry != nil {
		all = append(append([]conf.RealServer{}, all...), *vs.Sorry)
	}
	for _, rs := range all {
		if rapid.Bool().Draw(t, "there") {
			rs.Server.Weight = rapid.IntRange(0, 9).Draw(t, "weight there")
			there = append(there, rs)
		}
	}
	return holding(there...)
}

// TestPoolProperties: whatever happens, clients have somebody to talk to as
// long as there is one; weights stay within their bounds; nothing moves by
// itself but ramps, which only rise.
func TestPoolProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := drawPool(t)
		now, was := epoch, State{}
		table := drawTable(t, vs)
		for i := range rapid.IntRange(1, 6).Draw(t, "steps") {
			in := drawInputs(t, vs, now)
			in.Start, in.Table = i == 0, table
			is := Next(vs, was, in)
			judge(t, vs, in, is)

			again := Next(vs, is, in)
			if !reflect.DeepEqual(again.Entry(vs, webKey), is.Entry(vs, webKey)) || again.Quorum != is.Quorum || again.Sorry != is.Sorry {
				t.Fatalf("a second look changes\n%+v into\n%+v", is, again)
			}
			later := in
			later.Now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			if is.Look.After(later.Now) && !reflect.DeepEqual(Next(vs, is, later).Entry(vs, webKey), is.Entry(vs, webKey)) {
				t.Fatalf("it changes before it wants to be looked at: %+v", is)
			}
			now = later.Now
			rising := Next(vs, is, later)
			for i, s := range rising.Servers {
				if s.Weight < is.Servers[i].Weight {
					t.Fatalf("%s falls from %+v to %+v with time", s.Key, is.Servers[i], s)
				}
			}
			was = rising
		}
	})
}

// TestJudgedAlone: what follows from some verdicts alone is what follows when all
// servers are looked at, and Same says whether the table stays.
func TestJudgedAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := drawPool(t)
		if len(vs.Servers) == 0 {
			return
		}
		in := drawInputs(t, vs, epoch)
		in.Start, in.Table = true, drawTable(t, vs)
		was := Next(vs, State{}, in)
		in.Start, in.Table = false, nil
		// A reload may leave entries behind that nothing keeps any more.
		vs.SorryInhibit = vs.SorryInhibit && rapid.Bool().Draw(t, "sorry_server_inhibit after a reload")
		for i := range vs.Servers {
			rs := &vs.Servers[i]
			rs.InhibitOnFailure = rs.InhibitOnFailure && rapid.Bool().Draw(t, "inhibit_on_failure after a reload")
		}
		was = Next(vs, was, in)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			in.Now = in.Now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			in.Judged = []int{}
			for i := range vs.Servers {
				if !rapid.Bool().Draw(t, "judged") {
					continue
				}
				in.Judged = append(in.Judged, i)
				in.Verdicts[fmt.Sprint(i)] = healthcheck.Verdict{ID: fmt.Sprint(i), Up: rapid.Bool().Draw(t, "up"), At: in.Now}
			}
			in.Room = nil
			all := in
			all.Judged = nil
			for range rapid.IntRange(0, 12).Draw(t, "room") {
				in.Room = append(in.Room, Server{Key: vs.Servers[0].Server.Key, In: true, Weight: 99, Why: Drained})
			}
			alone, whole := Next(vs, was, in), Next(vs, was, all)
			if cap(alone.Servers) > 2*len(vs.Servers) {
				t.Fatalf("%d servers are kept in room for %d", len(vs.Servers), cap(alone.Servers))
			}
			if !reflect.DeepEqual(alone, whole) {
				t.Fatalf("of the verdicts at %v alone follows\n%+v, of all\n%+v", in.Judged, alone, whole)
			}
			if same := reflect.DeepEqual(whole.Entry(vs, webKey), was.Entry(vs, webKey)); whole.Same(was) && !same {
				t.Fatalf("the same should stand in the table before and after, but it was %v and is %v", was.Entry(vs, webKey), whole.Entry(vs, webKey))
			}
			was, _ = whole.Read(func(ipvs.ServerKey) (int, bool) { return 0, !rapid.Bool().Draw(t, "finished") }, in.Now)
		}
	})
}

func judge(t *rapid.T, vs conf.VirtualServer, in Inputs, is State) {
	able, served := vs.Sorry != nil, false
	for _, rs := range vs.Servers {
		s, o := knownOf(is, rs), in.Orders[rs.Server.Key]
		if s.Health.State == healthcheck.Up && o.Drain == nil && s.Target > 0 {
			able = true
		}
		switch {
		case s.Weight < 0 || s.Weight > s.Target, !s.In && s.Weight != 0:
			t.Fatalf("weight of %+v", s)
		case s.Why == Configured && s.Weight != rs.Server.Weight:
			t.Fatalf("nothing says why the weight of %+v is not %d", s, rs.Server.Weight)
		case o.Drain != nil && s.Weight > 0:
			t.Fatalf("drained, and yet %+v", s)
		case o.Drain != nil && !o.Drain.Done.IsZero() && s.In:
			t.Fatalf("has drained, and yet %+v", s)
		}
	}
	for _, s := range is.Entry(vs, webKey).Servers {
		served = served || s.Weight > 0
	}
	if able && !served {
		t.Fatalf("the service is empty: %+v", is)
	}
	if !is.Look.IsZero() && !is.Look.After(in.Now) {
		t.Fatalf("it wants to be looked at in the past: %+v", is)
	}
}

// TestRise: from 1 to the target, never down, in a bounded number of steps that
// are foretold.
func TestRise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.IntRange(1, 65535).Draw(t, "target")
		within := time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "within"))
		var elapsed time.Duration
		last, steps := 0, 0
		for {
			w, next := rise(target, elapsed, within)
			if w <= last || w > target {
				t.Fatalf("weight %d follows %d", w, last)
			}
			if before, _ := rise(target, max(elapsed-1, 0), within); elapsed > 0 && before != last {
				t.Fatalf("at %v the weight is %d already", elapsed-1, before)
			}
			if last, steps = w, steps+1; next == 0 {
				break
			}
			if next <= elapsed {
				t.Fatalf("after %v comes %v", elapsed, next)
			}
			elapsed = next
		}
		if last != target || steps > rampSteps+1 || elapsed > within {
			t.Fatalf("ends at %d after %d steps and %v", last, steps, elapsed)
		}
	})
}

// TestDrainProperties: a drain ends once, at its deadline at the latest, and not
// while a connection is seen before that.
func TestDrainProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := NewDrain(epoch, time.Duration(rapid.IntRange(0, 20).Draw(t, "timeout"))*time.Second)
		now := epoch
		for range rapid.IntRange(1, 40).Draw(t, "readings") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			active, was := rapid.IntRange(0, 2).Draw(t, "active"), d
			d = d.Read(active, true, now)
			switch {
			case !was.Done.IsZero() && d != was:
				t.Fatalf("ended, and yet %+v becomes %+v", was, d)
			case was.Done.IsZero() && !d.Done.IsZero() && active > 0 && now.Before(d.Deadline):
				t.Fatalf("ended early: %+v", d)
			case d.Done.IsZero() && !now.Before(d.Deadline):
				t.Fatalf("goes on after its deadline: %+v", d)
			}
		}
	})
}
