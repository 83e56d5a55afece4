package announce

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

var (
	broadcast = ethernet.Broadcast
	unset     = net.HardwareAddr{0, 0, 0, 0, 0, 0}
)

// garpFrames are the request and the reply that announce vip at mac.
func garpFrames(vip netip.Addr, mac net.HardwareAddr) ([][]byte, error) {
	if !vip.Is4() {
		return nil, fmt.Errorf("address %s: gratuitous arp is for ipv4", vip)
	}
	// RFC 5227 §2.3: in an announcement the target hardware address is not
	// meaningful and should be zero.
	request, err := arpFrame(arp.OperationRequest, vip, mac, vip, unset)
	if err != nil {
		return nil, err
	}
	// RFC 5944 §4.6: a gratuitous reply carries the announced address as
	// target too. Linux overrides a fresh neighbour entry only then
	// (arp_is_garp in net/ipv4/arp.c).
	reply, err := arpFrame(arp.OperationReply, vip, mac, vip, mac)
	if err != nil {
		return nil, err
	}
	return [][]byte{request, reply}, nil
}

// probe4 has no sender (RFC 5227 §1.1): nobody learns anything from it.
func probe4(vip netip.Addr, mac net.HardwareAddr) ([]byte, error) {
	return arpFrame(arp.OperationRequest, netip.IPv4Unspecified(), mac, vip, unset)
}

func arpFrame(op arp.Operation, sender netip.Addr, mac net.HardwareAddr, target netip.Addr, targetMAC net.HardwareAddr) ([]byte, error) {
	p, err := arp.NewPacket(op, mac, sender, targetMAC, target)
	if err != nil {
		return nil, fmt.Errorf("build arp packet: %w", err)
	}
	body, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("build arp packet: %w", err)
	}
	frame := ethernet.Frame{Destination: broadcast, Source: mac, EtherType: ethernet.EtherTypeARP, Payload: body}
	b, err := frame.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("build ethernet frame: %w", err)
	}
	return b, nil
}
