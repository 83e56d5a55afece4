package director

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/track"
)

// said is a teller that keeps its lines.
type said []string

func (s *said) tell(n event.Name, fields ...event.Field) {
	e := event.New("prober", n, event.Listed(n, fields)...)
	line := string(n)
	for _, f := range e.Fields {
		line += fmt.Sprintf(" %s=%s", f.Key, f.Value)
	}
	*s = append(*s, line)
}

func (s said) want(t *testing.T, lines ...string) {
	t.Helper()
	if got, want := strings.Join(s, "\n"), strings.Join(lines, "\n"); got != want {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
}

func TestTellOverload(t *testing.T) {
	var s said
	tellOverload(s.tell, healthcheck.Overload{Late: 3, MaxLateness: 1500 * time.Millisecond, Descriptors: 100, Needed: 100})
	tellOverload(s.tell, healthcheck.Overload{Descriptors: 100, Needed: 101, Unknown: 2, Reason: healthcheck.Resources, ID: "a", Detail: "open socket: too many open files"})
	s.want(t,
		"check.late count=3 took=1.5s",
		"child.limited child=prober reason=101 checks but only 100 descriptors detail=raise LimitNOFILE of the unit, or ulimit -n",
		"server.unknown check=a reason=resources detail=open socket: too many open files; 2 attempts without an outcome")
}

func TestTellHint(t *testing.T) {
	var s said
	tellHint(s.tell, healthcheck.Hint{Address: onLink, Checks: 2})
	tellHint(s.tell, healthcheck.Hint{Checks: 3})
	s.want(t,
		"check.triggered address=192.168.16.103 count=2 reason=another check found no way to it",
		"check.triggered count=3 reason=other checks found no way to several servers")
}

func TestTellFailure(t *testing.T) {
	var s said
	f := healthcheck.Failure{ID: "a", Reason: healthcheck.Status, Detail: "answered 503", Latency: 12340 * time.Microsecond, Attempts: 2, Retry: 3}
	tellFailure(s.tell, f)
	f.Omitted = 7
	tellFailure(s.tell, f)
	s.want(t,
		"check.failed check=a reason=status detail=answered 503 count=2 of 4 took=12ms",
		"check.failed check=a reason=status detail=answered 503; 7 failures before it left out count=2 of 4 took=12ms")
}

// TestTellUnfit: a check whose files are missing is told; the prober lives on.
func TestTellUnfit(t *testing.T) {
	var s said
	tellUnfit(s.tell, nil)
	tellUnfit(s.tell, errors.New("no idea"))
	var many []error
	for i := range maxUnfit + 5 {
		many = append(many, &healthcheck.SpecError{ID: fmt.Sprint(i), Field: "F", Problem: "is missing", Remedy: "put it there"})
	}
	tellUnfit(s.tell, errors.Join(many...))
	if len(s) != maxUnfit+2 {
		t.Fatalf("%d lines", len(s))
	}
	s[2:].want(t, append([]string(s[2:len(s)-1]), "server.unknown reason=config detail=and 5 checks more")...)
	s[:2].want(t, "server.unknown reason=config detail=no idea", "server.unknown check=0 reason=config detail=is missing (put it there)")
}

// TestProberHeedsDoubt: what the director says of failed servers counts from the
// message on that says it.
func TestProberHeedsDoubt(t *testing.T) {
	sched, watcher := healthcheck.NewScheduler(healthcheck.Options{}), track.NewScheduler(track.Options{})
	check := healthcheck.Spec{ID: "b", Kind: healthcheck.TCP, Target: netip.MustParseAddrPort("192.0.2.1:80"), Interval: time.Second, Timeout: time.Second}
	body, err := json.Marshal(proberState{Checks: []healthcheck.Spec{check}, Doubted: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	var s said
	if err := applyState(ipc.Message{Kind: kindApply, Body: body}, s.tell, true, sched, watcher); err != nil || len(s) > 0 {
		t.Fatal(err, s)
	}
	if st := sched.Status(); len(st) != 1 || !st[0].Doubted {
		t.Errorf("the check is %+v", st)
	}
}
