package director

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"baton/internal/event"
	"baton/internal/metrics"
)

var (
	metricName = regexp.MustCompile(`\b(?:baton|keepalived)_[a-z0-9_]+\b`)
	selector   = regexp.MustCompile(`\b((?:baton|keepalived)_[a-z0-9_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*=~?\s*"([^"]*)"`)
	oneJob     = regexp.MustCompile(`job\s*=\s*"[^$"]*"`)
	alertName  = regexp.MustCompile(`alertname: *([A-Za-z]+)`)
	shortRange = regexp.MustCompile(`\[(?:[0-9]+s|[1-3]m)\]`)
)

// blind says what in a query finds nothing with some users: each pair has a job
// of its own name, and a range with less than two scrapes in it has no rate. Who
// leaves Prometheus's default has one a minute; four are left room for.
func blind(query string) (wrong []string) {
	for _, m := range oneJob.FindAllString(query, -1) {
		wrong = append(wrong, "only one pair has "+m)
	}
	for _, m := range shortRange.FindAllString(query, -1) {
		wrong = append(wrong, m+" is shorter than four scrapes")
	}
	return wrong
}

// asked says what in a query there is not: metrics, labels, events and states
// that Baton does not have. A query with such a name is no error to Prometheus;
// it just never finds anything.
func asked(query string) (wrong []string) {
	of := func(name string) *metrics.Family {
		for _, f := range metrics.Families() {
			if f.Name == name || f.Type == metrics.Histogram && slices.Contains([]string{f.Name + "_bucket", f.Name + "_sum", f.Name + "_count"}, name) {
				return f
			}
		}
		return nil
	}
	for _, name := range metricName.FindAllString(query, -1) {
		if of(name) == nil {
			wrong = append(wrong, "there is no metric "+name)
		}
	}
	for _, sel := range selector.FindAllStringSubmatch(query, -1) {
		f := of(sel[1])
		for _, m := range matcher.FindAllStringSubmatch(sel[2], -1) {
			if f != nil && !slices.Contains(append([]string{"job", "instance"}, f.Labels...), m[1]) {
				wrong = append(wrong, fmt.Sprintf("%s has no label %s", sel[1], m[1]))
			}
			for _, v := range strings.Split(m[2], "|") {
				if m[1] == "event" && !slices.ContainsFunc(event.Catalogue, func(s event.Spec) bool { return string(s.Name) == v }) {
					wrong = append(wrong, "there is no event "+v)
				}
				if m[1] == "state" && !slices.Contains([]string{"MASTER", "BACKUP", "INIT", "FAULT", "up", "down", "unknown", "draining", "drained"}, v) {
					wrong = append(wrong, "there is no state "+v)
				}
			}
		}
	}
	return wrong
}

// TestExamplesAskForWhatThereIs: alert rules and dashboard.
func TestExamplesAskForWhatThereIs(t *testing.T) {
	rules, err := os.ReadFile("../../examples/prometheus-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range append(asked(string(rules)), blind(string(rules))...) {
		t.Errorf("examples/prometheus-rules.yml: %s", w)
	}
	alerts := strings.Split(string(rules), "- alert:")[1:]
	if len(alerts) < 20 {
		t.Errorf("examples/prometheus-rules.yml has %d alerts", len(alerts))
	}
	for _, a := range alerts {
		for _, part := range []string{"expr:", "severity:", "summary:", "description:"} {
			if !strings.Contains(a, part) {
				t.Errorf("examples/prometheus-rules.yml: alert %s has no %s", strings.Fields(a)[0], part)
			}
		}
	}

	cases, err := os.ReadFile("../../examples/prometheus-rules-test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range asked(string(cases)) {
		t.Errorf("examples/prometheus-rules-test.yml: %s", w)
	}
	tested := alertName.FindAllStringSubmatch(string(cases), -1)
	if len(tested) < 10 {
		t.Errorf("examples/prometheus-rules-test.yml looks at %d alerts", len(tested))
	}
	for _, m := range tested {
		if !slices.ContainsFunc(alerts, func(a string) bool { return strings.Fields(a)[0] == m[1] }) {
			t.Errorf("examples/prometheus-rules-test.yml: there is no alert %s", m[1])
		}
	}

	raw, err := os.ReadFile("../../examples/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Annotations struct {
			List []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Query string }
		}
		Panels []struct {
			ID                       int
			Type, Title, Description string
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	check := func(where, query string) {
		for _, w := range append(asked(query), blind(query)...) {
			t.Errorf("examples/grafana-dashboard.json: %s: %s", where, w)
		}
	}
	for _, a := range board.Annotations.List {
		check("annotation", a.Expr)
	}
	for _, v := range board.Templating.List {
		check("variable", v.Query)
	}
	seen := map[int]bool{}
	for _, p := range board.Panels {
		if seen[p.ID] || p.Type != "row" && (len(p.Targets) == 0 || p.Description == "") {
			t.Errorf("examples/grafana-dashboard.json: panel %d %q is there twice, or asks for nothing, or explains nothing", p.ID, p.Title)
		}
		seen[p.ID] = true
		for _, q := range p.Targets {
			if !strings.Contains(q.Expr, "baton_") {
				t.Errorf("examples/grafana-dashboard.json: panel %q asks for %q", p.Title, q.Expr)
			}
			check(p.Title, q.Expr)
		}
	}
}

// TestAsked: what the test above would find.
func TestAsked(t *testing.T) {
	for query, want := range map[string]string{
		`rate(baton_vrrp_lateness_seconds_bucket{job="x"}[5m])`:         "",
		`rate(baton_vrrp_lateness_bucket[5m])`:                          "no metric baton_vrrp_lateness_bucket",
		`baton_vrrp_state{state="Master"}`:                              "no state Master",
		`baton_vrrp_state{name="x"}`:                                    "no label name",
		`baton_events_total{event=~"server.down|server.upp"}`:           "no event server.upp",
		`baton_server_up == 0 and on (job) baton_checks_bucket`:         "no metric baton_checks_bucket",
		`keepalived_vrrp_state{iname="VI_1"} or keepalived_vrrp_status`: "no metric keepalived_vrrp_status",
	} {
		if got := strings.Join(asked(query), "; "); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// TestBlind: the same of the other one.
func TestBlind(t *testing.T) {
	for query, want := range map[string]string{
		`up{job="baton"} == 0`:                                      `only one pair has job="baton"`,
		`up{job=~"baton.*"} == 0`:                                   "",
		`rate(baton_check_attempts_total{job="$job"}[1m])`:          "[1m] is shorter",
		`rate(baton_check_attempts_total[30s])`:                     "[30s] is shorter",
		`rate(baton_check_attempts_total[$__rate_interval])`:        "",
		`increase(baton_check_attempts_total{job="$job"}[15m]) > 0`: "",
	} {
		if got := strings.Join(blind(query), "; "); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}
