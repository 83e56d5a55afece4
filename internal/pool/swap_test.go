package pool

import (
	"slices"
	"testing"
	"time"

	"baton/conf"
	"baton/ipvs"
)

// TestSwapLetsFinish: whom the swap takes out of service in good health keeps an
// entry of weight 0, until its connections are gone; who has failed does not.
func TestSwapLetsFinish(t *testing.T) {
	a, b := server("192.168.16.103:80", 3, "a"), server("192.168.16.104:80", 2, "b")
	vs := withSorry(web(a, b))
	vs.DrainTimeout, vs.Quorum = time.Minute, 4
	enough := step{"enough", Inputs{Verdicts: up("a", "b")}, "a3 b2"}
	fewer := step{"too few", Inputs{Verdicts: down(up("b"), "a")}, "S1 b0"}

	t.Run("a server that is up", func(t *testing.T) {
		st := tell(t, vs, enough, fewer, fewer,
			step{"enough again, and the sorry server finishes", Inputs{Verdicts: up("a", "b")}, "S0 a3 b2"},
			step{"fewer again", Inputs{Verdicts: down(up("b"), "a")}, "S1 b0"},
			step{"none", Inputs{Verdicts: down(up(), "a", "b")}, "S1"},
			step{"up, but it has nothing to finish", Inputs{Verdicts: down(up("b"), "a")}, "S1"})
		if len(st.Finishing) > 0 {
			t.Errorf("%v finish", st.Finishing)
		}
	})

	t.Run("until it has no connection", func(t *testing.T) {
		st := tell(t, vs, enough, fewer)
		at := epoch
		for i, want := range []int{1, 1, 1, 0} {
			at = at.Add(time.Second)
			active := max(2-i, 0)
			var ended map[ipvs.ServerKey]Drain
			st, ended = st.Read(func(ipvs.ServerKey) (int, bool) { return active, true }, at)
			if st = Next(vs, st, Inputs{Verdicts: down(up("b"), "a"), Now: at}); len(st.Finishing) != want || len(ended) != 1-want {
				t.Fatalf("reading %d: %d finish and %d ended, want %d", i, len(st.Finishing), len(ended), want)
			}
		}
		if e := st.Entry(vs, webKey); len(e.Servers) != 1 {
			t.Errorf("the pool is %v", e.Servers)
		}
	})

	t.Run("also when it is drained meanwhile", func(t *testing.T) {
		draining := orders(b.Server.Key, Order{Drain: &Drain{}})
		st := tell(t, vs, enough, fewer, step{"the operator drains it", Inputs{Verdicts: down(up("b"), "a"), Orders: draining}, "S1 b0"})
		if sv := knownOf(st, b); sv.Why != Draining || len(st.Finishing) != 0 {
			t.Errorf("it is %+v, and %v finish", sv, st.Finishing)
		}
	})

	t.Run("only once where inhibit_on_failure keeps the entry", func(t *testing.T) {
		vs := vs
		vs.Servers = slices.Clone(vs.Servers)
		vs.Servers[1].InhibitOnFailure = true
		st := tell(t, vs, enough, fewer)
		st, _ = st.Read(func(ipvs.ServerKey) (int, bool) { return 0, true }, epoch.Add(time.Hour))
		if st = goOn(t, vs, st, fewer); len(st.Finishing) != 0 {
			t.Errorf("%v finish again", st.Finishing)
		}
	})

	t.Run("until its time is over", func(t *testing.T) {
		st := tell(t, vs, enough, fewer)
		busy := func(ipvs.ServerKey) (int, bool) { return 7, true }
		st, ended := st.Read(busy, epoch.Add(59*time.Second))
		if len(st.Finishing) != 1 || len(ended) != 0 {
			t.Errorf("after 59 s: %v, ended %v", st.Finishing, ended)
		}
		st, ended = st.Read(busy, epoch.Add(time.Minute))
		if d := ended[b.Server.Key]; len(st.Finishing) != 0 || d.Left != 7 || d.Reason != "deadline passed" {
			t.Errorf("after a minute: %v, ended %+v", st.Finishing, d)
		}
	})

	t.Run("the sorry server over a restart", func(t *testing.T) {
		aside := *vs.Sorry
		aside.Server.Weight = 0
		tell(t, vs, step{"it was finishing", Inputs{Start: true, Table: holding(a, b, aside)}, "S0 a3 b2"})
		tell(t, vs, step{"it was not there", Inputs{Start: true, Table: holding(a, b)}, "a3 b2"})
	})

	t.Run("a server over a restart", func(t *testing.T) {
		aside := b
		aside.Server.Weight = 0
		tell(t, vs,
			step{"it was finishing", Inputs{Start: true, Table: holding(*vs.Sorry, aside)}, "S1 b0"},
			step{"it is up", Inputs{Verdicts: down(up("b"), "a")}, "S1 b0"})
	})

	t.Run("a server without checks over a restart", func(t *testing.T) {
		vs, free := vs, b
		free.Checks = nil
		vs.Servers = []conf.RealServer{a, free}
		aside := free
		aside.Server.Weight = 0
		tell(t, vs,
			step{"it was finishing", Inputs{Start: true, Verdicts: down(up(), "a"), Table: holding(*vs.Sorry, aside)}, "S1 b0"},
			step{"and goes on", Inputs{Verdicts: down(up(), "a")}, "S1 b0"})
		tell(t, vs, step{"it had finished", Inputs{Start: true, Verdicts: down(up(), "a"), Table: holding(*vs.Sorry)}, "S1"})
	})

	t.Run("a server that becomes the sorry server", func(t *testing.T) {
		three := web(a, b, server("192.168.16.99:80", 1, "s"))
		st := tell(t, three, step{"it serves with the others", Inputs{Verdicts: up("a", "b", "s")}, "S1 a3 b2"})
		st = goOn(t, vs, st, step{"it stands by", Inputs{Verdicts: up("a", "b")}, "S0 a3 b2"})
		st, _ = st.Read(func(ipvs.ServerKey) (int, bool) { return 0, true }, epoch.Add(time.Minute))
		goOn(t, vs, st, step{"its connections have ended", Inputs{Verdicts: up("a", "b")}, "a3 b2"})
		tell(t, vs, step{"and after a restart with that", Inputs{Start: true, Verdicts: up("a", "b"), Table: holding(a, b, *vs.Sorry)}, "S0 a3 b2"})
	})

	// A reload ends what keeps entries of weight 0, and both had more to finish than
	// drain_timeout allowed.
	t.Run("the sorry server that sorry_server_inhibit has kept", func(t *testing.T) {
		inhibiting := vs
		inhibiting.SorryInhibit = true
		none := step{"none", Inputs{Verdicts: down(up(), "a", "b")}, "S1"}
		back := step{"both", Inputs{Verdicts: up("a", "b")}, "S0 a3 b2"}
		st := tell(t, inhibiting, none, back)
		st, _ = st.Read(func(ipvs.ServerKey) (int, bool) { return 7, true }, epoch.Add(time.Hour))
		st = goOn(t, inhibiting, st, back)
		if len(st.Finishing) != 0 {
			t.Errorf("%v finish", st.Finishing)
		}
		at := step{"switched off", Inputs{Verdicts: up("a", "b"), Now: epoch.Add(2 * time.Hour)}, "S0 a3 b2"}
		st = goOn(t, vs, st, at)
		st, ended := st.Read(func(ipvs.ServerKey) (int, bool) { return 7, true }, epoch.Add(2*time.Hour+time.Minute))
		if goOn(t, vs, st, step{"a minute later", Inputs{Verdicts: up("a", "b")}, "a3 b2"}); ended[vs.Sorry.Server.Key].Left != 7 {
			t.Errorf("ended: %+v", ended)
		}
		vs := vs
		vs.DrainTimeout = 0
		goOn(t, vs, tell(t, inhibiting, none, back), step{"it goes on", Inputs{Verdicts: up("a", "b"), Now: epoch.Add(2 * time.Hour)}, "S0 a3 b2"})
		inhibiting.DrainTimeout = 0
		goOn(t, vs, tell(t, inhibiting, none, back), step{"without drain_timeout ever", Inputs{Verdicts: up("a", "b")}, "a3 b2"})
	})

	t.Run("a server that inhibit_on_failure has kept", func(t *testing.T) {
		vs := web(a, b)
		vs.DrainTimeout = time.Minute
		inhibiting := vs
		inhibiting.Servers = slices.Clone(vs.Servers)
		inhibiting.Servers[1].InhibitOnFailure = true
		one := Inputs{Verdicts: down(up("a"), "b")}
		failed := step{"b fails", one, "a3 b0"}
		off := step{"switched off", one, "a3 b0"}
		gone := step{"no connection is left", one, "a3"}
		idle := func(st State) State {
			st, _ = st.Read(func(ipvs.ServerKey) (int, bool) { return 0, true }, epoch.Add(time.Minute))
			return st
		}

		goOn(t, vs, idle(goOn(t, vs, tell(t, inhibiting, failed), off, off)), gone, gone)
		goOn(t, vs, tell(t, inhibiting, failed), off,
			step{"it is up", Inputs{Verdicts: up("a", "b")}, "a3 b2"}, step{"and fails", one, "a3"})
		goOn(t, vs, tell(t, inhibiting, failed, step{"it is up", Inputs{Verdicts: up("a", "b")}, "a3 b2"}),
			step{"switched off", Inputs{Verdicts: up("a", "b")}, "a3 b2"}, step{"and it fails", one, "a3"})
		goOn(t, vs, tell(t, inhibiting, failed), step{"another check with that", Inputs{Verdicts: up("a")}, "a3 b0"}, failed)
		goOn(t, inhibiting, goOn(t, vs, tell(t, inhibiting, failed), off), step{"and on again", one, "a3 b0"})
		st := goOn(t, inhibiting, idle(goOn(t, inhibiting, goOn(t, vs, tell(t, inhibiting, failed), off), failed)), failed)
		if len(st.Finishing) != 0 {
			t.Errorf("%v finish", st.Finishing)
		}
		goOn(t, vs, st, off)

		vs.DrainTimeout = 0
		goOn(t, vs, tell(t, inhibiting, failed), step{"without drain_timeout", one, "a3"})
	})

	t.Run("a server that inhibit_on_failure has kept beside the sorry server", func(t *testing.T) {
		inhibiting := vs
		inhibiting.Servers = slices.Clone(vs.Servers)
		inhibiting.Servers[1].InhibitOnFailure = true
		st, _ := tell(t, inhibiting, enough, fewer).Read(func(ipvs.ServerKey) (int, bool) { return 7, true }, epoch.Add(time.Hour))
		later := fewer
		later.in.Now = epoch.Add(time.Hour)
		st = goOn(t, vs, goOn(t, inhibiting, st, later), later)
		st, ended := st.Read(func(ipvs.ServerKey) (int, bool) { return 7, true }, epoch.Add(time.Hour+time.Minute))
		if goOn(t, vs, st, step{"its time is over", later.in, "S1"}); len(ended) != 1 {
			t.Errorf("ended: %v", ended)
		}
	})

	t.Run("not without drain_timeout", func(t *testing.T) {
		vs := vs
		vs.DrainTimeout = 0
		tell(t, vs, enough,
			step{"too few", Inputs{Verdicts: down(up("b"), "a")}, "S1"},
			step{"enough again", Inputs{Verdicts: up("a", "b")}, "a3 b2"})
	})

	// Who is no longer among the pool's leaves otherwise: see Leaving.
	another := server("192.168.16.98:80", 1)
	for name, tc := range map[string]struct {
		then func(*conf.VirtualServer)
		want string
	}{
		"no sorry server":           {func(vs *conf.VirtualServer) { vs.Sorry = nil }, "a3 b2"},
		"another sorry server":      {func(vs *conf.VirtualServer) { vs.Sorry = &another }, "a3 b2"},
		"it serves with the others": {func(vs *conf.VirtualServer) { vs.Servers = append(slices.Clone(vs.Servers), *vs.Sorry) }, "S1 a3 b2"},
	} {
		t.Run(name, func(t *testing.T) {
			st := tell(t, vs, enough, fewer, step{"the sorry server finishes", Inputs{Verdicts: up("a", "b")}, "S0 a3 b2"})
			vs := vs
			tc.then(&vs)
			goOn(t, vs, st, step{"after a reload", Inputs{Verdicts: up("a", "b")}, tc.want})
		})
	}
}
