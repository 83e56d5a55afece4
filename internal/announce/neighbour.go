package announce

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

var (
	allNodes    = netip.IPv6LinkLocalAllNodes()
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1} // RFC 2464 §7
)

// ndHopLimit tells a receiver that no router has passed the message on
// (RFC 4861 §7.1.2).
const ndHopLimit = 255

// naFrames is the advertisement that announces vip at mac.
func naFrames(vip netip.Addr, mac net.HardwareAddr, router bool) ([][]byte, error) {
	if !vip.Is6() || vip.Is4In6() {
		return nil, fmt.Errorf("address %s: a neighbour advertisement is for ipv6", vip)
	}
	// RFC 4861 §4.4: the source is an address of the sending interface. The
	// announced one is, and needs no other to be there.
	body, err := ndp.MarshalMessageChecksum(&ndp.NeighborAdvertisement{
		Router:        router,
		Override:      true,
		TargetAddress: vip,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac}},
	}, vip, allNodes)
	if err != nil {
		return nil, fmt.Errorf("build neighbour advertisement: %w", err)
	}
	out, err := icmpFrame(vip, allNodes, mac, allNodesMAC, body)
	return [][]byte{out}, err
}

// probe6 is the solicitation of duplicate address detection.
func probe6(vip netip.Addr, mac net.HardwareAddr) ([]byte, error) {
	return solicitation(vip, netip.IPv6Unspecified(), mac)
}

// solicit is the solicitation of a host that wants to send something to vip.
func solicit(vip, own netip.Addr, mac net.HardwareAddr) ([]byte, error) {
	if !own.Is6() {
		return nil, fmt.Errorf("build neighbour solicitation: %s is no address to ask from", own)
	}
	return solicitation(vip, own, mac, &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: mac})
}

func solicitation(vip, from netip.Addr, mac net.HardwareAddr, options ...ndp.Option) ([]byte, error) {
	group, err := ndp.SolicitedNodeMulticast(vip)
	if err != nil {
		return nil, fmt.Errorf("build neighbour solicitation: %w", err)
	}
	body, err := ndp.MarshalMessageChecksum(&ndp.NeighborSolicitation{TargetAddress: vip, Options: options}, from, group)
	if err != nil {
		return nil, fmt.Errorf("build neighbour solicitation: %w", err)
	}
	g := group.As16()
	return icmpFrame(from, group, mac, net.HardwareAddr{0x33, 0x33, g[12], g[13], g[14], g[15]}, body)
}

// icmpFrame puts the headers before a message of neighbour discovery.
func icmpFrame(from, to netip.Addr, mac, toMAC net.HardwareAddr, body []byte) ([]byte, error) {
	const headLen = 40 // RFC 8200 §3
	b := make([]byte, headLen, headLen+len(body))
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b[6], b[7] = unix.IPPROTO_ICMPV6, ndHopLimit
	src, dst := from.As16(), to.As16()
	copy(b[8:], src[:])
	copy(b[24:], dst[:])
	frame := ethernet.Frame{Destination: toMAC, Source: mac, EtherType: ethernet.EtherTypeIPv6, Payload: append(b, body...)}
	out, err := frame.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("build ethernet frame: %w", err)
	}
	return out, nil
}
