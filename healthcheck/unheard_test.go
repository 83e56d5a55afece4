package healthcheck

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestVerdictThatIsNotKnownIsToldAgain: of a check that has answered, and of none
// that has its first attempt before it.
func TestVerdictThatIsNotKnownIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass := func(context.Context) error { return nil }
		slow := func(context.Context) error { <-time.After(900 * ms); return nil }
		r := newRig(t, Options{}, map[string]checkFunc{"a": pass, "b": pass, "slow": slow})
		defer r.stop()
		specs := []Spec{spec("a"), spec("b"), spec("slow")}
		r.Apply(specs)
		r.after(500 * ms)
		if err := r.Apply(specs, "b", "slow", "unknown"); err != nil {
			t.Error(err)
		}
		r.after(sec)
		want := []string{"0s a up=true first", "0s b up=true first", "500ms b up=true first", "900ms slow up=true first"}
		if got := slices.Sorted(slices.Values(r.told())); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// TestChangedCheckOfAFailedServerNeedsRise: what is asked of a server that is down
// changes, and with it nothing about the server. Of one that is up the first answer
// decides, and a check that did not change goes on.
func TestChangedCheckOfAFailedServerNeedsRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, map[string]checkFunc{"down": script(errRefused, nil), "up": passes, "as it was": passes, "another": passes, "later": passes})
		defer r.stop()
		rising := func(interval time.Duration, ids ...string) (specs []Spec) {
			for _, id := range ids {
				specs = append(specs, spec(id, func(s *Spec) { s.Interval, s.Rise = interval, 3 }))
			}
			return specs
		}
		r.Apply(rising(sec, "down", "up", "as it was"))
		r.after(500 * ms)
		r.Doubt([]string{"down", "another", "as it was"})
		r.Apply(append(rising(2*sec, "down", "up", "another"), rising(sec, "as it was")...))
		r.after(sec)
		for _, st := range r.Status() {
			if want := st.ID == "down" || st.ID == "another"; st.Doubted != want || want && (st.State != Unknown || st.Passes != 1) {
				t.Errorf("status: %+v", st)
			}
		}
		r.Apply(rising(2*sec, "down", "up", "another", "later", "as it was"))
		r.after(5 * sec)
		wantStrings(t, r.told(), "0s down up=false first refused", "0s up up=true first", "0s as it was up=true first",
			"500ms up up=true first", "1.5s later up=true first", "1.5s as it was up=true first", "4.5s down up=true first", "4.5s another up=true first")
	})
}
