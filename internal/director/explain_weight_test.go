package director

import (
	"strings"
	"testing"
	"time"

	"baton/internal/control"
	"baton/internal/pool"
)

func TestWhyWeight(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	server := func(why pool.Why, change func(*control.Server)) control.Server {
		s := control.Server{Address: "192.168.16.103:80", Weight: 10, Effective: 4, Why: string(why)}
		change(&s)
		return s
	}
	same := func(*control.Server) {}
	for _, tt := range []struct {
		s    control.Server
		want string
	}{
		{server(pool.Configured, same), ""},
		{server(pool.Failed, same), ""}, // its checks say so
		{server(pool.Drained, same), "it has been drained: baton undrain 192.168.16.103:80 brings it back"},
		{server(pool.Drained, func(s *control.Server) { s.Leaving = true }), "it is no longer in the configuration and has been drained"},
		{server(pool.Draining, func(s *control.Server) { s.Drain = &control.Drain{Deadline: at} }),
			"it drains: new connections go elsewhere, and its entry goes with the last of its own or at 2026-01-02T03:04:05Z\nbaton undrain 192.168.16.103:80 brings it back"},
		{server(pool.Unproven, same), "it waits for the first answers of its checks before it takes connections"},
		{server(pool.Replaced, same), "the sorry server stands in for the whole pool until there is a quorum"},
		{server(pool.Ramping, same), "slow_start: its weight rises to 10 and is 4 now"},
		{server(pool.Overridden, same), "baton weight has set it to 4: baton weight 192.168.16.103:80 default goes back to 10"},
		{server(pool.Dynamic, same), "a check has named the weight 4"},
		{server(pool.Failed, func(s *control.Server) {
			s.Flapping = &control.Flapping{Since: at, Changes: 9}
			s.Path = &control.Path{State: "broken", Reason: "answers-arp", Detail: "it answers ARP", Mend: "baton realserver up 192.168.16.200"}
		}), `it is flapping: 9 changes since 2026-01-02T03:04:05Z; single ones are not logged until it has calmed down
it does not do its part for the virtual address (answers-arp): it answers ARP
on the server: baton realserver up 192.168.16.200`},
	} {
		if got := strings.Join(whyWeight(tt.s), "\n"); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.s.Why, got, tt.want)
		}
	}
}
