package healthcheck

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestHysteresis feeds attempts, one letter each: p passes, f fails, u is
// unknown. The wanted string has a letter for what follows: U and D a verdict,
// r a retry after the retry delay, "." the next interval.
func TestHysteresis(t *testing.T) {
	for _, tc := range []struct {
		name        string
		retry, rise int
		feed, want  string
	}{
		{"pass at once", 0, 0, "ppp", "U.."},
		{"down at once without retry", 0, 1, "ff", "D."},
		{"retry before the first verdict", 2, 1, "fff", "rrD"},
		{"retry again after a pass between", 2, 1, "pffpfff", "Urr.rrD"},
		{"no retry when already down", 3, 1, "ffffff", "rrrD.."},
		{"rise", 0, 3, "pfppp", "UD..U"},
		{"a failure restarts the rise", 0, 2, "fpfpp", "D...U"},
		{"the first pass ever needs no rise", 0, 5, "p", "U"},
		{"unknown moves nothing", 1, 2, "ufuufupup", "rrrrDr.rU"},
		{"flapping without retry", 0, 1, "pfpf", "UDUD"},
		{"flapping is swallowed by retry", 1, 1, "pfpfpf", "Ur.r.r"},
		{"doubted, the first pass does not suffice", 1, 3, "ppfuppp", "..rr..U"},
		{"doubted, until it is down", 1, 2, "pffpp", ".rD.U"},
		{"doubted, until it was up", 0, 2, "ppfp", ".UD."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			y := Hysteresis{Retry: tc.retry, Rise: tc.rise}
			h := Health{Doubted: strings.HasPrefix(tc.name, "doubted")}
			var got strings.Builder
			for i, c := range tc.feed {
				r := map[rune]Reason{'p': "", 'f': Refused, 'u': Resources}[c]
				var d Decision
				h, d = y.Next(h, r)
				switch {
				case d.Changed && h.State == Up:
					got.WriteByte('U')
				case d.Changed && h.State == Down:
					got.WriteByte('D')
				case d.Retry:
					got.WriteByte('r')
				default:
					got.WriteByte('.')
				}
				if first := strings.IndexAny(got.String(), "UD") == i; d.First != first {
					t.Errorf("attempt %d: First = %v, want %v", i, d.First, first)
				}
			}
			if got.String() != tc.want {
				t.Errorf("%s\n got %s\nwant %s", tc.feed, got.String(), tc.want)
			}
		})
	}
}

// TestHysteresisNeedsAsManyAsItSays: no verdict comes with fewer answers in a
// row than configured, and verdicts alternate.
func TestHysteresisNeedsAsManyAsItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := Hysteresis{Retry: rapid.IntRange(0, 4).Draw(t, "retry"), Rise: rapid.IntRange(0, 4).Draw(t, "rise")}
		h := Health{Doubted: rapid.Bool().Draw(t, "doubted")}
		doubted := h.Doubted
		passes, fails := 0, 0
		for range 60 {
			r := rapid.SampledFrom([]Reason{"", "", Refused, Timeout, Resources, Config}).Draw(t, "reason")
			was := h.State
			var d Decision
			h, d = y.Next(h, r)
			switch {
			case r.Unknown():
				if d.Changed || h.State != was && was != "" {
					t.Fatalf("unknown outcome %q moved %q to %q", r, was, h.State)
				}
				continue
			case r == "":
				passes, fails = passes+1, 0
			default:
				passes, fails = 0, fails+1
			}
			switch {
			case d.Changed != (was != h.State && !(was == "" && h.State == Unknown)):
				t.Fatalf("%q to %q with Changed = %v", was, h.State, d.Changed)
			case d.Changed && h.State == Down && (fails != y.Retry+1 || d.Attempts != fails):
				t.Fatalf("down after %d failures (%+v)", fails, d)
			case d.Changed && h.State == Up && was == Down && (passes != max(1, y.Rise) || d.Attempts != passes):
				t.Fatalf("up after %d passes (%+v)", passes, d)
			case d.Changed && h.State == Up && d.First && doubted && passes < y.Rise:
				t.Fatalf("up after %d passes although in doubt", passes)
			case h.State == Up && fails > y.Retry:
				t.Fatalf("still up after %d failures", fails)
			case h.State == Down && passes >= max(1, y.Rise):
				t.Fatalf("still down after %d passes", passes)
			}
		}
	})
}
