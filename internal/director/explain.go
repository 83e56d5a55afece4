package director

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
)

const (
	maxExplained = 16 // servers in one explanation
	maxHistory   = 12 // events of each
)

// Explain says why an instance or the real servers of a name are as they are.
func (c *core) Explain(ctx context.Context, name string) (control.Explanation, error) {
	st, err := c.Status(ctx)
	if err != nil {
		return control.Explanation{}, err
	}
	out := control.Explanation{Name: name, Time: st.Time}
	if i := slices.IndexFunc(st.Instances, func(i control.Instance) bool { return i.Name == name }); i >= 0 {
		err := c.ask(ctx, func() { out.Instance = c.explainInstance(st, st.Instances[i]) })
		return out, err
	}
	found := explained(st, name)
	if len(found) == 0 {
		return out, unknownName(st, name)
	}
	out.More = max(0, len(found)-maxExplained)
	out.Servers = found[:len(found)-out.More]
	checks := make([][]healthcheck.Spec, len(out.Servers))
	var ids []string
	if err := c.ask(ctx, func() {
		for i := range out.Servers {
			s := &out.Servers[i]
			checks[i] = c.checksOf(s.Service, s.Address)
			s.History = c.history(func(e event.Event) bool {
				return e.Get(event.Server) == s.Address && e.Get(event.Service) == s.Service
			})
			for _, spec := range checks[i] {
				ids = append(ids, spec.ID)
			}
		}
	}); err != nil {
		return out, err
	}
	reports, err := c.inspect(ctx, ids)
	if err != nil {
		return out, err
	}
	byID := map[string]healthcheck.Report{}
	for _, r := range reports {
		byID[r.ID] = r
	}
	for i := range out.Servers {
		explainServer(&out.Servers[i], checks[i], byID)
	}
	return out, nil
}

// explained are the servers that the name is the address of, with or without
// port, or all of the service that it names.
func explained(st control.Status, name string) []control.ServerExplained {
	var out []control.ServerExplained
	for _, s := range st.Services {
		_, address, _ := strings.Cut(s.Name, " ")
		for _, sv := range s.Servers {
			if name == s.Name || name == address || name == sv.Address || name == hostOf(sv.Address) {
				out = append(out, control.ServerExplained{Service: s.Name, Server: sv})
			}
		}
	}
	return out
}

// hostOf is the address without its port.
func hostOf(s string) string {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || !strings.ContainsAny(s, ".]") {
		return s // an IPv6 address alone
	}
	return strings.Trim(s[:i], "[]")
}

// unknownName names what could have been meant.
func unknownName(st control.Status, name string) error {
	var near []string
	for _, i := range st.Instances {
		near = append(near, i.Name)
	}
	for _, s := range st.Services {
		for _, sv := range s.Servers {
			if !slices.Contains(near, sv.Address) {
				near = append(near, sv.Address)
			}
			if len(near) > 1000 {
				break
			}
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(common(b, name), common(a, name)) })
	remedy := "the configuration has neither instances nor servers"
	if len(near) > 0 {
		remedy = "known are " + strings.Join(near[:min(len(near), 5)], ", ")
		if n := len(near) - 5; n > 0 {
			remedy += " and others; baton status shows all"
		}
	}
	return &control.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("no instance, real server or service is called %q", name), Remedy: remedy}
}

// common is how many bytes two names have in common at their beginning.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// checksOf are the checks of a server, which status has by its words.
func (c *core) checksOf(service, server string) []healthcheck.Spec {
	s := c.named[service]
	if s == nil {
		return nil
	}
	for _, rs := range s.Servers {
		if rs.Server.Key.String() == server {
			return rs.Checks
		}
	}
	return nil
}

// history are the last events that match, oldest first.
func (c *core) history(match func(event.Event) bool) []event.Event {
	var out []event.Event
	for _, e := range c.journal.Since(time.Time{}) {
		if match(e) {
			out = append(out, e)
		}
	}
	return slices.Clone(out[max(0, len(out)-maxHistory):])
}

// explainServer joins the checks' settings with what the prober knows of them
// and says what the server waits for.
func explainServer(s *control.ServerExplained, specs []healthcheck.Spec, reports map[string]healthcheck.Report) {
	s.Why = whyWeight(s.Server)
	if len(specs) == 0 && s.Drain == nil {
		s.Why = append(s.Why, "it has no check: it is in the pool whatever happens to it")
	}
	for _, spec := range specs {
		r, known := reports[spec.ID]
		check := control.CheckExplained{
			Name: spec.ID, Kind: string(spec.Kind), Target: spec.Target.String(), State: string(healthcheck.Unknown),
			Interval: spec.Interval, Timeout: spec.Timeout,
		}
		if !known {
			s.Why = append(s.Why, fmt.Sprintf("the prober does not say how %s is: it is being started, or does not answer", spec.ID))
			s.Checks = append(s.Checks, check)
			continue
		}
		check.State, check.Since, check.Next, check.Attempts = string(r.State), r.Since, r.Next, r.Attempts
		check.P50, check.P99 = quantile(r.Latencies, 0.5), quantile(r.Latencies, 0.99)
		for reason, n := range r.Reasons {
			if check.Failed == nil {
				check.Failed = map[string]uint64{}
			}
			check.Failed[string(reason)] = n
		}
		for _, run := range r.Runs {
			check.Runs = append(check.Runs, control.Run{
				Reason: string(run.Reason), Detail: run.Detail, Count: run.Count, From: run.From, To: run.To, Latency: run.Latency, Longest: run.Longest,
			})
		}
		s.Checks = append(s.Checks, check)
		s.Why = append(s.Why, outlook(spec, r.CheckStatus))
	}
}

// outlook says what would change a check's state.
func outlook(spec healthcheck.Spec, st healthcheck.CheckStatus) string {
	switch {
	case st.Reason.Unknown():
		return fmt.Sprintf("%s could not be made: this machine, not the server, is in the way (%s); its state stays", spec.ID, st.Reason)
	case st.State == healthcheck.Unknown && st.Fails > 0:
		up := "with the first that passes"
		if st.Doubted {
			up = "when it has passed " + inARow(max(1, spec.Rise))
		}
		return fmt.Sprintf("%s has failed %s; it is down after %d in a row, and up %s", spec.ID, times(st.Fails), spec.Retry+1, up)
	case st.State == healthcheck.Unknown && !st.Doubted:
		return spec.ID + " has not answered yet: the first answer decides"
	case st.State == healthcheck.Unknown, st.State == healthcheck.Down:
		back := fmt.Sprintf("%s brings it back when it has passed %s", spec.ID, inARow(max(1, spec.Rise)))
		if st.Passes > 0 {
			back += fmt.Sprintf("; it has %s", times(st.Passes))
		}
		return back
	case st.Fails > 0:
		return fmt.Sprintf("%s has failed %s; it takes it out with %d in a row", spec.ID, times(st.Fails), spec.Retry+1)
	default:
		return fmt.Sprintf("%s takes it out when it has failed %s", spec.ID, inARow(spec.Retry+1))
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func inARow(n int) string {
	if n == 1 {
		return "once"
	}
	return times(n) + " in a row"
}

// quantile is the upper end of the bucket that a share of the attempts does
// not exceed; the lower end of the last, which has none; 0 without attempts.
func quantile(l healthcheck.Latencies, q float64) time.Duration {
	var all, sum uint64
	for _, n := range l {
		all += uint64(n)
	}
	if all == 0 {
		return 0
	}
	for i, bound := range healthcheck.LatencyBuckets {
		if sum += uint64(l[i]); float64(sum) >= q*float64(all) {
			return bound
		}
	}
	return healthcheck.LatencyBuckets[len(healthcheck.LatencyBuckets)-1]
}
