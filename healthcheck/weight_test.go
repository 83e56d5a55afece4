package healthcheck

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
)

// weighing is a Checker whose answers also weigh.
type weighing struct {
	answers []any // a weight, nil for none, or an error, in turn
	now     *int
}

func (w *weighing) Check(context.Context) error {
	a := w.answers[0]
	if len(w.answers) > 1 {
		w.answers = w.answers[1:]
	}
	switch a := a.(type) {
	case error:
		return a
	case int:
		w.now = &a
	default:
		w.now = nil
	}
	return nil
}

func (w *weighing) weight() *int { return w.now }

// TestWeightAloneIsAVerdict: a change of what a server can bear is told while
// it is up, and only then.
func TestWeightAloneIsAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &weighing{answers: []any{5, 5, 3, errRefused, 3, nil, nil, 0, errRefused, errRefused, 9, 9}}
		r := newRig(t, Options{}, nil)
		defer r.stop()
		r.opt.build = func(Spec) (Checker, []error) { return w, nil }
		if err := r.Apply([]Spec{spec("a", func(s *Spec) { s.Retry, s.RetryDelay = 1, s.Interval })}); err != nil {
			t.Fatal(err)
		}
		r.after(40 * sec)
		type said struct {
			up       bool
			weight   any
			attempts int
		}
		var got []said
		for _, v := range r.verdicts {
			s := said{v.Up, nil, v.Attempts}
			if v.Weight != nil {
				s.weight = *v.Weight
			}
			got = append(got, s)
		}
		want := []said{{true, 5, 1}, {true, 3, 1}, {true, nil, 1}, {true, 0, 1}, {false, nil, 2}, {true, 9, 1}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("verdicts %v, want %v", got, want)
		}
		if st := r.Status(); st[0].Weight == nil || *st[0].Weight != 9 {
			t.Errorf("status %+v", st[0])
		}
	})
}

// TestImpossibleCheckIsToldOnce: nobody finds out otherwise, and a line every
// interval would say no more.
func TestImpossibleCheckIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := failure(Config, "no such interface")
		r := newRig(t, Options{}, map[string]checkFunc{"a": script(nil, gone, gone, nil, gone)})
		defer r.stop()
		r.Apply([]Spec{spec("a")})
		r.after(60 * sec)
		var told []int
		for _, o := range r.overloads() {
			told = append(told, o.Unknown)
			if o.ID != "a" || o.Reason != Config || o.Detail != "no such interface" {
				t.Errorf("told %+v", o)
			}
		}
		if !reflect.DeepEqual(told, []int{1, 1}) {
			t.Errorf("told %v attempts, want one each time that it began", told)
		}
		wantStrings(t, r.told(), "0s a up=true first")
	})
}
