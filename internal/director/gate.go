package director

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/vrrp"
)

// The ready gate keeps an instance from becoming master before this director
// could serve its addresses: keepalived puts unchecked servers into the table,
// so that a rebooting preferred director takes the VIP and sends clients to
// dead ones. An instance that was ready once stays ready.

// gateWaits says what the gate of an instance still waits for, "" when it may
// open. Elapsed counts from the start of the daemon, or from the reload that
// brought the instance.
func gateWaits(vi vrrp.Config, services []conf.VirtualServer, verdicts map[string]healthcheck.Verdict, programmed bool, elapsed, limit time.Duration) string {
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
	tracks := func(vs conf.VirtualServer) bool {
		return slices.ContainsFunc(vi.Track, func(t vrrp.Track) bool {
			return t.Kind == vrrp.TrackVirtualServer && t.Name == vs.Name
		})
	}
	waiting, first := 0, ""
	for _, vs := range services {
		if !own[vs.Service.Key.Address] && !tracks(vs) {
			continue
		}
		for _, rs := range vs.Servers {
			for _, c := range rs.Checks {
				if _, answered := verdicts[c.ID]; !answered {
					if waiting++; first == "" {
						first = c.ID
					}
				}
			}
		}
	}
	if waiting > 0 {
		return fmt.Sprintf("%d health checks have not answered yet, among them %s", waiting, first)
	}
	return ""
}
