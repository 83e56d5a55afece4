package conf

import (
	"net/netip"
	"testing"

	"baton/ipvs"
)

// TestMergerRefusesWhatIsInTheWay: a text that is read in part is not seen
// beside the others, so their names and addresses are held against one another.
func TestMergerRefusesWhatIsInTheWay(t *testing.T) {
	at := func(name string, ports ...uint16) VirtualServer {
		vs := VirtualServer{Name: name}
		for _, p := range ports {
			vs.Keys = append(vs.Keys, ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), p)))
		}
		return vs
	}
	m := merger{names: map[string]bool{}, keys: map[ipvs.ServiceKey]bool{}}
	if !m.takes(at("group web", 80, 443)) || !m.takes(at("tcp 192.0.2.1:81", 81)) {
		t.Fatal("two services apart are refused")
	}
	if m.takes(at("group web", 8080)) {
		t.Error("a name twice")
	}
	if m.takes(at("tcp 192.0.2.1:443", 443)) {
		t.Error("an address that a group has already")
	}
	for len(m.keys) < maxAllKeys {
		m.keys[ipvs.FWMarkKey(uint32(len(m.keys)+1), ipvs.IPv4)] = true
	}
	if m.takes(at("tcp 192.0.2.1:82", 82)) {
		t.Error("more services than there may be")
	}
}
