package lab

import (
	"slices"
	"time"

	"baton/internal/event"
)

// limit is what is judged where bound is what is expected: it tells a takeover
// that happens from one that does not, also on an emulated processor.
func limit(bound time.Duration) time.Duration { return 2*bound + 5*time.Second }

// takeover judges one that nobody planned.
func (r *Result) takeover(b *bench, successor string) {
	r.Bound = b.lab.Bound(successor)
	r.Limit = limit(r.Bound)
	if r.Wire != nil {
		r.Wire.Limit = r.Bound + wireSlack
	}
	if r.Load.LongestGap > r.Limit {
		r.problem("no answer for %s; more than %s cannot be the machine's slowness", inMS(r.Load.LongestGap), inMS(r.Limit))
	}
	r.oneMaster(successor)
	if p, ok := r.Load.Phase(phaseAfter); !ok || p.Failed() > 0 {
		r.problem("%d requests failed after the takeover", p.Failed())
	}
	r.bothAnswer()
}

// planned judges a takeover on purpose.
func (r *Result) planned(b *bench, successor string) {
	r.oneMaster(successor)
	r.nothingLost(b)
	r.bothAnswer()
}

// nothingLost judges requests during what was planned. In NAT the answers pass
// the director, so that those in flight are lost: there the requests begun
// afterwards are what counts.
func (r *Result) nothingLost(b *bench) {
	if b.lab.Topology() != NAT {
		r.noFailures()
		return
	}
	if p, ok := r.Load.Phase(phaseAfter); !ok || p.Failed() > 0 {
		r.problem("%d requests failed after the change of master", p.Failed())
	}
}

// oneMaster judges who is master at the end, and who became it meanwhile:
// without a further word want alone.
func (r *Result) oneMaster(want string, became ...string) {
	if r.After != want {
		r.problem("%s is master at the end, not %s", orNobody(r.After), want)
	}
	if len(became) == 0 {
		became = []string{want}
	}
	if got := r.became(); r.Stalls == 0 && !slices.Equal(got, became) {
		r.problem("transitions to MASTER: %s, want %s's alone", joinNodes(got), joinNodes(became))
	}
}

func (r *Result) noFailures() {
	if n := r.Load.Failed(); n > 0 {
		r.problem("%d requests failed (%s)", n, failures(r.Load))
	}
}

func (r *Result) noTransition() {
	if r.Stalls > 0 {
		return
	}
	for _, e := range r.Timeline {
		if e.Event == event.VRRPTransition {
			r.problem("%s went from %s to %s (%s)", e.Node, e.Get(event.From), e.Get(event.To), e.Get(event.Reason))
		}
	}
}

func (r *Result) bothAnswer() {
	p, _ := r.Load.Phase(phaseAfter)
	for _, server := range []string{RS1, RS2} {
		if p.Answers[server] == 0 {
			r.problem("%s did not answer at the end", server)
		}
	}
}

func orNobody(node string) string {
	if node == "" {
		return "nobody"
	}
	return node
}
