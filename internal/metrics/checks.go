package metrics

import (
	"maps"
	"slices"

	"baton/healthcheck"
)

// checkFigures are those of the prober's scheduler.
var checkFigures = []figure[Checks]{
	{gauge("baton_checks", "Health checks that are configured."),
		func(w *writer, c *Checks) { w.int(c.Stats.Checks) }},
	{gauge("baton_checks_in_flight", "Attempts under way."),
		func(w *writer, c *Checks) { w.int(c.Stats.InFlight) }},
	{gauge("baton_checks_waiting", "Attempts that are due and wait for a descriptor or for one of the goroutines that talk."),
		func(w *writer, c *Checks) { w.int(c.Stats.Waiting) }},
	{gauge("baton_checks_descriptors_limit", "Most attempts at a time that the limit of open files allows."),
		func(w *writer, c *Checks) { w.int(c.Stats.Descriptors) }},
	{counter("baton_check_attempts_total", "Attempts that have ended.", "kind"),
		ofKind(func(w *writer, kind string, k *healthcheck.KindStats) { w.uint(k.Attempts, kind) })},
	{counter("baton_check_failures_total", "Attempts that did not pass.", "kind", "reason"),
		ofKind(func(w *writer, kind string, k *healthcheck.KindStats) {
			for _, r := range slices.Sorted(maps.Keys(k.Reasons)) {
				w.uint(k.Reasons[r], kind, string(r))
			}
		})},
	{histogram("baton_check_latency_seconds", "How long attempts took, those that failed included.", "kind"),
		ofKind(func(w *writer, kind string, k *healthcheck.KindStats) {
			w.histogram(healthcheck.LatencyBuckets[:], k.Latencies[:], k.Took, kind)
		})},
	{histogram("baton_check_lateness_seconds", "How late attempts began: what is wrong with this machine, not with a server."),
		func(w *writer, c *Checks) {
			w.histogram(healthcheck.LatenessBuckets[:], c.Stats.Lateness[:], c.Stats.LatenessSum)
		}},
}

// ofKind writes what is known of each kind of check.
func ofKind(write func(w *writer, kind string, k *healthcheck.KindStats)) func(*writer, *Checks) {
	return func(w *writer, c *Checks) {
		for _, kind := range slices.Sorted(maps.Keys(c.Kinds)) {
			k := c.Kinds[kind]
			write(w, string(kind), &k)
		}
	}
}
