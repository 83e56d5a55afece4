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
