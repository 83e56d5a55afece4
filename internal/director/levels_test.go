package director

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/ipc"
	"baton/ipvs"
)

// childOf connects a child that only listens.
func childOf(t *testing.T, l *link) *ipc.Conn {
	t.Helper()
	a, b := net.Pipe()
	child := ipc.NewConn(b)
	if err := b.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil { // of a test that fails
		t.Fatal(err)
	}
	l.connect(1, ipc.NewConn(a), func(err error) { t.Error(err) })
	t.Cleanup(func() { l.disconnect(); a.Close(); b.Close() })
	return child
}

// nextTrace is the next order to trace or not that a child gets.
func nextTrace(t *testing.T, child *ipc.Conn) bool {
	t.Helper()
	for {
		m, err := child.Receive()
		if err != nil {
			t.Fatal(err)
		}
		var on bool
		if m.Kind != kindTrace {
			continue
		}
		if err := m.Decode(&on); err != nil {
			t.Fatal(err)
		}
		return on
	}
}

// setLog is what baton log does.
func (c *core) setLog(levels map[string]string, within string) control.Log {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { (<-c.inbox)() }()
	out, err := c.SetLog(ctx, control.LogRequest{Levels: levels, For: within})
	if err != nil {
		panic(err)
	}
	return out
}

// TestLevelsAreSetToldAndTakenBack: of one subsystem, for a time, in the child
// that it concerns, and back by itself.
func TestLevelsAreSetToldAndTakenBack(t *testing.T) {
	c := testCore(t, &conf.Config{})
	speaker, prober := childOf(t, &c.speaker), childOf(t, &c.prober)

	out := c.setLog(map[string]string{"vrrp": "debug", "ipvs": "error"}, "90s")
	if !nextTrace(t, speaker) {
		t.Error("the speaker does not trace")
	}
	var got []string
	for _, l := range out.Subsystems {
		got = append(got, l.Subsystem+" "+l.Level)
		if on := l.Level != "info"; on == l.Until.IsZero() {
			t.Errorf("%s is %s until %v", l.Subsystem, l.Level, l.Until)
		}
	}
	if text := strings.Join(got, ", "); text != "director info, config info, vrrp debug, checks info, ipvs error" || out.Level != "info" {
		t.Errorf("answer is %s of %s", text, out.Level)
	}
	c.expireLevels(time.Now().Add(80 * time.Second))
	if !c.levels.debug(event.VRRP) {
		t.Error("taken back before its time")
	}
	c.expireLevels(time.Now().Add(100 * time.Second))
	if nextTrace(t, speaker) {
		t.Error("the speaker still traces")
	}

	c.setLog(map[string]string{"checks": "debug"}, "0s")
	if !nextTrace(t, prober) {
		t.Error("the prober does not trace")
	}
	c.expireLevels(time.Now().Add(1000 * time.Hour))
	c.setLog(map[string]string{"checks": control.DefaultLevel}, "")
	if nextTrace(t, prober) {
		t.Error("the prober still traces")
	}
	c.install(&conf.Config{Global: conf.Global{LogLevel: "debug"}}, time.Now())
	if !nextTrace(t, speaker) || !nextTrace(t, prober) {
		t.Error("log_level debug is not for the children")
	}
	want := []string{
		"log.level subsystem=vrrp from=info to=debug reason=baton log for 1m30s",
		"log.level subsystem=ipvs from=info to=error reason=baton log for 1m30s",
		"log.level subsystem=vrrp from=debug to=info reason=its time is over",
		"log.level subsystem=ipvs from=error to=info reason=its time is over",
		"log.level subsystem=checks from=info to=debug reason=baton log",
		"log.level subsystem=checks from=debug to=info reason=baton log for 10m0s",
		"log.level subsystem=director from=info to=debug reason=log_level",
		"log.level subsystem=config from=info to=debug reason=log_level",
		"log.level subsystem=vrrp from=info to=debug reason=log_level",
		"log.level subsystem=checks from=info to=debug reason=log_level",
		"log.level subsystem=ipvs from=info to=debug reason=log_level",
	}
	if got := c.told(event.LogLevel); !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLevelsFilterTheLogAndNotTheJournal: what is traced is for the log and for
// who follows, all else is in the journal whatever the level.
func TestLevelsFilterTheLogAndNotTheJournal(t *testing.T) {
	c := testCore(t, &conf.Config{})
	name := t.TempDir() + "/log"
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c.log = newLogger(f, "json")
	ctx, cancel := context.WithCancel(t.Context())
	live := c.Follow(ctx)
	all := func() {
		for _, n := range []event.Name{event.VRRPAdvertSent, event.VRRPTransition, event.LinkDown, event.VRRPWithdrawn, event.ServerUp} {
			c.say(n, event.F(event.Reason, "x"))
		}
	}
	all()
	c.levels.set[event.VRRP] = levelSet{level: event.LevelError}
	all()
	c.levels.set[event.VRRP] = levelSet{level: event.LevelDebug}
	all()
	c.log.close()
	cancel()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var logged, shown []string
	for line := range strings.Lines(string(raw)) {
		_, rest, _ := strings.Cut(line, `"msg":"`)
		msg, _, _ := strings.Cut(rest, `"`)
		logged = append(logged, msg)
	}
	for e := range live {
		shown = append(shown, string(e.Name))
	}
	want := []string{
		"vrrp.transition", "link.down", "vrrp.withdrawn", "server.up",
		"vrrp.withdrawn", "server.up",
		"vrrp.advert.sent", "vrrp.transition", "link.down", "vrrp.withdrawn", "server.up",
	}
	if !slices.Equal(logged, want) {
		t.Errorf("logged %q, want %q", logged, want)
	}
	if n := len(shown); n != 13 || shown[8] != "vrrp.advert.sent" {
		t.Errorf("followers saw %q", shown)
	}
	if got := c.told(event.VRRPAdvertSent); len(got) != 0 {
		t.Errorf("the journal keeps %q", got)
	}
	if got := c.told(event.LinkDown, event.ServerUp); len(got) != 6 {
		t.Errorf("the journal has %q", got)
	}
}

// TestTracedIsBounded: so many a second, and the next one has the count of those
// that were left out.
func TestTracedIsBounded(t *testing.T) {
	b := &bucket{size: 2}
	var got []string
	say := func(n event.Name, fields ...event.Field) {
		got = append(got, strings.TrimSpace(fields[0].Value+" "+fields[4].Value))
	}
	begin := time.Now()
	for i, at := range []time.Duration{0, 0, 0, 999 * time.Millisecond, time.Second, time.Second, 3 * time.Second} {
		tellAttempt(say, b, healthcheck.Attempt{ID: string(rune('a' + i)), At: begin.Add(at)})
	}
	if text := strings.Join(got, ", "); text != "a, b, e 2, f, g" {
		t.Errorf("told %s", text)
	}
	if _, ok := b.room(begin.Add(-time.Hour)); !ok {
		t.Error("a clock that was set back silences it")
	}
}

// TestTracedOperationsAndChanges are what debug adds in the director.
func TestTracedOperationsAndChanges(t *testing.T) {
	c := testCore(t, &conf.Config{})
	key := ipvs.ServiceKey{Protocol: ipvs.TCP, Address: netip.MustParseAddr("192.168.16.200"), Port: 80}
	ops := []ipvs.Op{{Kind: ipvs.DeleteService, Service: ipvs.Service{Key: key}}}
	live := c.Follow(t.Context())
	tell := func() {
		c.traceOps(ops, map[string]bool{ops[0].String(): true})
		c.traceChanges([]string{"priority 100 → 150"})
	}
	tell()
	c.levels.set[event.IPVS], c.levels.set[event.Config] = levelSet{level: event.LevelDebug}, levelSet{level: event.LevelDebug}
	tell()
	if e := <-live; e.Name != event.IPVSOperation || e.Get(event.Command) != "ipvsadm -D -t 192.168.16.200:80" || e.Get(event.Reason) != "drift" {
		t.Errorf("operation is told as %+v", e)
	}
	if e := <-live; e.Name != event.ConfigChange || e.Get(event.Detail) != "priority 100 → 150" {
		t.Errorf("change is told as %+v", e)
	}
}

// TestProblemsInTheLogAreBounded: a file with thousands of mistakes is refused with
// all of them, and told with the first.
func TestProblemsInTheLogAreBounded(t *testing.T) {
	c := testCore(t, &conf.Config{})
	problems := make(conf.Problems, 12_500)
	for i := range problems {
		problems[i].Message = "wrong"
	}
	if r := c.reject(problems); r.OK || len(r.Problems) != len(problems) {
		t.Errorf("refused with %d problems", len(r.Problems))
	}
	got := c.told(event.ConfigRejected, event.ConfigProblem)
	if last := got[len(got)-1]; len(got) != 2+maxProblems || !strings.Contains(got[0], "count=12500") || !strings.Contains(last, "and 12450 problems more; baton check prints all") {
		t.Errorf("told in %d lines, the last %s", len(got), last)
	}
}

// TestLostLinesAreTold: at once, and then once a minute.
func TestLostLinesAreTold(t *testing.T) {
	c := testCore(t, &conf.Config{})
	now := time.Now()
	for _, at := range []time.Duration{0, 59 * time.Second, 60 * time.Second, 200 * time.Second} {
		if at < 200*time.Second {
			c.log.out.dropped.Add(3)
		}
		c.tellLost(now.Add(at))
	}
	if got := strings.Join(c.told(event.LogDropped), ", "); got != "log.dropped count=3, log.dropped count=6" {
		t.Errorf("told %s", got)
	}
}
