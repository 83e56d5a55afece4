package pool

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"baton/conf"
	"baton/ipvs"
)

// TestQuorum is keepalived's rule: gained at quorum + hysteresis, lost below
// quorum − hysteresis.
func TestQuorum(t *testing.T) {
	vs := conf.VirtualServer{Alpha: true, Quorum: 5, Hysteresis: 2}
	trusting := vs
	trusting.Alpha = false
	for _, tc := range []struct {
		vs   conf.VirtualServer
		was  Quorum
		w    Weights
		want Quorum
	}{
		{vs, Lost, Weights{Alive: 6}, Lost},
		{vs, Lost, Weights{Alive: 7}, Gained},
		{vs, Gained, Weights{Alive: 3}, Gained},
		{vs, Gained, Weights{Alive: 2}, Lost},
		{vs, Gained, Weights{Alive: 1, Serving: 2}, Gained},
		{vs, Lost, Weights{Alive: 6, Serving: 9}, Lost},
		{trusting, Lost, Weights{Alive: 6, Serving: 9}, Gained},
		{vs, Undecided, Weights{Alive: 7}, Gained},
		{vs, Undecided, Weights{Alive: 3, Waiting: 4}, Undecided},
		{vs, Undecided, Weights{Alive: 3, Serving: 1, Waiting: 3}, Undecided},
		{vs, Undecided, Weights{Alive: 3, Waiting: 3}, Lost},
		{trusting, Undecided, Weights{Serving: 7}, Gained},
		{conf.VirtualServer{Quorum: 1}, Undecided, Weights{}, Lost},
		{conf.VirtualServer{Quorum: 1}, Gained, Weights{Alive: 1}, Gained},
		{conf.VirtualServer{Quorum: 2, Hysteresis: 1}, Gained, Weights{}, Lost},
	} {
		if got := tc.was.next(tc.vs, tc.w); got != tc.want {
			t.Errorf("quorum %d hysteresis %d alpha %v: %q with %+v is %q, want %q", tc.vs.Quorum, tc.vs.Hysteresis, tc.vs.Alpha, tc.was, tc.w, got, tc.want)
		}
	}
}

// step is one look of a story: what is known and what the table must be then.
type step struct {
	what string
	in   Inputs
	want string // "a3 b0 S1": who has an entry, with its weight; S is the sorry server
}

// tell runs a story and compares the pool after each step.
func tell(t *testing.T, vs conf.VirtualServer, steps ...step) State {
	t.Helper()
	return goOn(t, vs, State{}, steps...)
}

// goOn is tell from a state on.
func goOn(t *testing.T, vs conf.VirtualServer, st State, steps ...step) State {
	t.Helper()
	names := map[string]string{"192.168.16.103:80": "a", "192.168.16.104:80": "b", "192.168.16.105:80": "c", "192.168.16.99:80": "S"}
	for _, s := range steps {
		if s.in.Now.IsZero() {
			s.in.Now = epoch
		}
		st = Next(vs, st, s.in)
		var have []string
		for _, s := range st.Entry(vs, webKey).Servers {
			have = append(have, fmt.Sprintf("%s%d", names[s.Key.String()], s.Weight))
		}
		if got := strings.Join(have, " "); got != s.want {
			t.Errorf("%s: the pool is %q, want %q (%+v)", s.what, got, s.want, st)
		}
	}
	return st
}

func withSorry(vs conf.VirtualServer) conf.VirtualServer {
	s := server("192.168.16.99:80", 1)
	vs.Sorry = &s
	return vs
}

func TestSorryServer(t *testing.T) {
	a, b := server("192.168.16.103:80", 3, "a"), server("192.168.16.104:80", 2, "b")
	swap := []step{
		{"at the start nobody is proven", Inputs{Start: true}, "S1"},
		{"the first is up", Inputs{Verdicts: up("a")}, "a3"},
		{"both are", Inputs{Verdicts: up("a", "b")}, "a3 b2"},
		{"all fail", Inputs{Verdicts: down(up(), "a", "b")}, "S1"},
		{"one is back", Inputs{Verdicts: down(up("a"), "b")}, "a3"},
	}
	t.Run("stands in without quorum", func(t *testing.T) { tell(t, withSorry(web(a, b)), swap...) })

	t.Run("inhibited keeps its entry", func(t *testing.T) {
		vs := withSorry(web(a, b))
		vs.SorryInhibit = true
		for i, want := range []string{"S1", "S0 a3", "S0 a3 b2", "S1", "S0 a3"} {
			swap[i].want = want
		}
		tell(t, vs, swap...)
	})

	t.Run("replaces also those that are up", func(t *testing.T) {
		vs := withSorry(web(a, b))
		vs.Quorum, vs.Hysteresis = 4, 1
		tell(t, vs,
			step{"enough", Inputs{Verdicts: up("a", "b")}, "a3 b2"},
			step{"3 is still tolerated", Inputs{Verdicts: down(up("a"), "b")}, "a3"},
			step{"2 is not", Inputs{Verdicts: down(up("b"), "a")}, "S1"},
			step{"4 is not enough to come back", Inputs{Verdicts: down(up("b"), "a"), Orders: map[ipvs.ServerKey]Order{b.Server.Key: {Weight: weight(4)}}}, "S1"},
			step{"5 is", Inputs{Verdicts: up("a", "b")}, "a3 b2"})
	})

	t.Run("inhibit_on_failure holds for those that it replaces", func(t *testing.T) {
		kept := b
		kept.InhibitOnFailure = true
		vs := withSorry(web(a, kept))
		vs.Quorum = 5
		tell(t, vs,
			step{"enough", Inputs{Verdicts: up("a", "b")}, "a3 b2"},
			step{"not enough", Inputs{Verdicts: down(up("b"), "a")}, "S1 b0"})
	})

	t.Run("one of weight 0 serves with 1 while it stands in", func(t *testing.T) {
		vs := withSorry(web(a))
		vs.Sorry.Server.Weight = 0
		tell(t, vs, step{"the pool fails", Inputs{Verdicts: down(up(), "a")}, "S1"})
	})

	t.Run("one that drains goes on while it stands in", func(t *testing.T) {
		draining := orders(a.Server.Key, Order{Drain: &Drain{}})
		tell(t, withSorry(web(a, b)),
			step{"both are up", Inputs{Verdicts: up("a", "b")}, "a3 b2"},
			step{"one drains", Inputs{Verdicts: up("a", "b"), Orders: draining}, "a0 b2"},
			step{"the other fails", Inputs{Verdicts: down(up("a"), "b"), Orders: draining}, "S1 a0"},
			step{"and is back", Inputs{Verdicts: up("a", "b"), Orders: draining}, "a0 b2"})
	})

	t.Run("a restart leaves it in until the quorum is decided", func(t *testing.T) {
		vs := withSorry(web(a, b))
		vs.Quorum = 4
		tell(t, vs,
			step{"the kernel has it", Inputs{Start: true, Table: holding(*vs.Sorry)}, "S1"},
			step{"one of two is up", Inputs{Verdicts: up("a")}, "S1"},
			step{"both are", Inputs{Verdicts: up("a", "b")}, "a3 b2"})
	})

	t.Run("a restart does not put it in", func(t *testing.T) {
		group := withSorry(web(a, b))
		group.Keys = append(group.Keys, ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.200:443")))
		aside := *group.Sorry
		aside.Server.Weight = 0
		table := holding(aside)
		table[group.Keys[1]] = holding(a)[webKey]
		tell(t, group,
			step{"the kernel has it aside, and the pool at another port of the group", Inputs{Start: true, Table: table}, "a3"})
		tell(t, withSorry(web(a, b)),
			step{"the kernel has the pool", Inputs{Start: true, Table: holding(a, b)}, "a3 b2"},
			step{"one fails", Inputs{Verdicts: down(up(), "a")}, "b2"},
			step{"the other too", Inputs{Verdicts: down(up(), "a", "b")}, "S1"})
	})
}

// TestQuorumLostWithoutSorryServer: who is up goes on serving, as in keepalived.
func TestQuorumLostWithoutSorryServer(t *testing.T) {
	vs := web(server("192.168.16.103:80", 3, "a"), server("192.168.16.104:80", 2, "b"))
	vs.Quorum = 5
	st := tell(t, vs, step{"not enough", Inputs{Verdicts: down(up("a"), "b")}, "a3"})
	if st.Quorum != Lost || st.Up != 1 || st.Alive != 3 {
		t.Errorf("state is %+v", st)
	}
}
