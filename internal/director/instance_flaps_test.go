package director

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/internal/event"
	"baton/vrrp"
)

// TestFlappingInstance: a loose cable is told as one, not as a thousand
// transitions, and a drill has all of its lines.
func TestFlappingInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCore(t, &conf.Config{Instances: []vrrp.Config{instanceOn("192.168.16.200/24")}, Global: conf.Global{StartupDelayMax: time.Second}})
		name := c.cfg.Instances[0].Name
		change := func(n int) {
			for i := range n {
				to := []vrrp.Role{vrrp.Master, vrrp.Fault}[i%2]
				c.noticed(vrrp.Notice{Kind: vrrp.NoticeTransition, Instance: name, From: []vrrp.Role{vrrp.Fault, vrrp.Master}[i%2], To: to, Reason: "link"})
				<-time.After(time.Second)
				c.look(time.Now())
			}
		}
		lines := func(n event.Name) []string { return c.told(n) }
		change(5)
		if got := lines(event.VRRPFlapping); len(got) != 0 {
			t.Errorf("five changes are told as %q", got)
		}
		change(1000)
		if got := lines(event.VRRPFlapping); len(got) != 2 || !strings.Contains(got[0], "count=6 took=5s reason=link") || !strings.Contains(got[1], "took=10m5s") {
			t.Errorf("1,005 changes are told as %q", got)
		}
		if got := len(lines(event.VRRPTransition)); got != flapLines {
			t.Errorf("%d transitions have a line, want %d", got, flapLines)
		}
		if role := c.instances[name].role; role != vrrp.Fault {
			t.Errorf("what has no line has no effect: the role is %v", role)
		}
		for range 61 {
			<-time.After(time.Second)
			c.look(time.Now())
		}
		if got := lines(event.VRRPSteady); len(got) != 1 || !strings.Contains(got[0], "to=FAULT count=1005") {
			t.Errorf("a minute later: %q", got)
		}
		change(1)
		if got := len(lines(event.VRRPTransition)); got != flapLines+1 {
			t.Errorf("after it has become steady, %d lines", got)
		}
	})
}
