package control

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"baton/internal/event"
)

func TestExplain(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	past := []event.Event{{Time: at, Name: event.ServerDown, Fields: []event.Field{event.F(event.Reason, "timeout")}}}
	b := &backend{explanation: Explanation{
		Name: "192.168.16.103", Time: at, More: 3,
		Instance: &InstanceExplained{Instance: Instance{Name: "VI_1"}, Why: []string{"why"}, History: past},
		Servers: []ServerExplained{{
			Service: "s", Server: Server{Address: "r", Kernel: weight(0)}, Why: []string{"a", "b"}, History: past,
			Checks: []CheckExplained{{
				Name: "c", Kind: "tcp", Target: "t", State: "down", Since: at, Interval: time.Second, Timeout: 2 * time.Second, Next: at, Attempts: 3,
				Failed: map[string]uint64{"timeout": 2}, P50: 1, P99: 2,
				Runs: []Run{{Reason: "timeout", Detail: "d", Count: 2, From: at, To: at, Latency: 3, Longest: 4}},
			}},
		}},
	}}
	c := client(t, serve(t, b))
	const name = "[fd00::1%eth0]:80 &name=x"
	got, err := c.Explain(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.explanation, got); d != "" {
		t.Errorf("explanation differs:\n%s", d)
	}
	if d := cmp.Diff([]string{"explain " + name}, b.asked); d != "" {
		t.Errorf("asked:\n%s", d)
	}

	for _, bad := range []string{"", strings.Repeat("x", maxName+1)} {
		_, err := c.Explain(t.Context(), bad)
		var e *Error
		if !errors.As(err, &e) || e.Status != http.StatusBadRequest || !strings.Contains(e.Message, "name") || e.Remedy == "" {
			t.Errorf("%.10q: %#v", bad, err)
		}
	}
	b.err = &Error{Status: http.StatusNotFound, Message: "nothing is called x", Remedy: "look"}
	var e *Error
	if _, err := c.Explain(t.Context(), "x"); !errors.As(err, &e) || e.Status != http.StatusNotFound || e.Remedy != "look" {
		t.Errorf("error is %#v", err)
	}
}
