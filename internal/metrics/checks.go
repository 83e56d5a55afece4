package metrics

import (
	"maps"
	"slices"

	"baton/healthcheck"
)

var (
	checkCount       = gauge("baton_checks", "Health checks that are configured.")
	checkInFlight    = gauge("baton_checks_in_flight", "Attempts under way.")
	checkWaiting     = gauge("baton_checks_waiting", "Attempts that are due and wait for a descriptor or for one of the goroutines that talk.")
	checkDescriptors = gauge("baton_checks_descriptors_limit", "Most attempts at a time that the limit of open files allows.")
	checkAttempts    = counter("baton_check_attempts_total", "Attempts that have ended.", "kind")
	checkFailures    = counter("baton_check_failures_total", "Attempts that did not pass.", "kind", "reason")
	checkLatency     = histogram("baton_check_latency_seconds", "How long attempts took, those that failed included.", "kind")
	checkLateness    = histogram("baton_check_lateness_seconds", "How late attempts began: what is wrong with this machine, not with a server.")
)

func (w *writer) checks(s *Snapshot) {
	if s.Checks == nil {
		return
	}
	st := &s.Checks.Stats
	w.begin(checkCount)
	w.int(st.Checks)
	w.begin(checkInFlight)
	w.int(st.InFlight)
	w.begin(checkWaiting)
	w.int(st.Waiting)
	w.begin(checkDescriptors)
	w.int(st.Descriptors)
	kinds := slices.Sorted(maps.Keys(s.Checks.Kinds))
	w.begin(checkAttempts)
	for _, k := range kinds {
		w.uint(s.Checks.Kinds[k].Attempts, string(k))
	}
	w.begin(checkFailures)
	for _, k := range kinds {
		reasons := s.Checks.Kinds[k].Reasons
		for _, r := range slices.Sorted(maps.Keys(reasons)) {
			w.uint(reasons[r], string(k), string(r))
		}
	}
	w.begin(checkLatency)
	for _, k := range kinds {
		of := s.Checks.Kinds[k]
		w.histogram(healthcheck.LatencyBuckets[:], of.Latencies[:], of.Took, string(k))
	}
	w.begin(checkLateness)
	w.histogram(healthcheck.LatenessBuckets[:], st.Lateness[:], st.LatenessSum)
}
