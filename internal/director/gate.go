package director

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"baton/healthcheck"
	"baton/ipvs"
	"baton/vrrp"
)

// The ready gate keeps an instance from becoming master before this director
// could serve its addresses: keepalived puts unchecked servers into the table,
// so that a rebooting preferred director takes the VIP and sends clients to
// dead ones. An instance that was ready once stays ready.

// gateWaits says what the gate of an instance still waits for, "" when it may
// open. Elapsed counts from the start of the daemon, or from the reload that
// brought the instance.
//
// A firewall mark service belongs to every instance: which addresses its
// packets have is the firewall's to say.
func gateWaits(vi vrrp.Config, services []*service, verdicts map[string]healthcheck.Verdict, programmed bool, elapsed, limit time.Duration) string {
	if elapsed >= limit {
		return ""
	}
	if !programmed {
		return "the IPVS table is not programmed yet"
	}
	own := map[netip.Addr]bool{}
	for _, a := range vi.All() {
		own[a.Prefix.Addr()] = true
	}
	concerns := func(s *service) bool {
		return slices.ContainsFunc(s.Keys, func(k ipvs.ServiceKey) bool { return k.FWMark != 0 || own[k.Address] }) ||
			slices.ContainsFunc(vi.Track, func(t vrrp.Track) bool { return t.Kind == vrrp.TrackVirtualServer && t.Name == s.Name })
	}
	waiting, first := 0, ""
	for _, s := range services {
		if s.unanswered == 0 || !concerns(s) {
			continue
		}
		if waiting == 0 {
			first = s.awaited(verdicts)
		}
		waiting += s.unanswered
	}
	if waiting > 0 {
		return fmt.Sprintf("%d health checks have not answered yet, among them %s", waiting, first)
	}
	return ""
}
