package doctor

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"baton/vrrp"
)

// maxHeard bounds the virtual routers that are remembered of one interface.
const maxHeard = 256

// listener takes down who sends adverts on an interface.
type listener struct {
	own       []netip.Addr // our addresses: what comes from them is no stranger's
	instances []*vrrp.Config
	source    func(*vrrp.Config) netip.Addr // that an instance sends from

	mu    sync.Mutex
	heard []Heard
}

// message takes down one VRRP message as it was on the wire.
func (l *listener) message(message []byte, meta vrrp.Meta, mac net.HardwareAddr) {
	a, ok := read(message, meta)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(meta.Source, a.VRID, mac.String())
	if h == nil {
		return
	}
	h.Version, h.Priority, h.Interval, h.Drop = uint8(a.Version), a.Priority, a.Interval, ""
	h.Count++
	h.Addresses = h.Addresses[:0]
	for i := range a.Len() {
		h.Addresses = append(h.Addresses, a.Address(i))
	}
	for _, i := range l.instances {
		if i.VRID != a.VRID || (i.Family() == vrrp.IPv6) != meta.Source.Is6() {
			continue
		}
		want := i.Wanted(l.source(i))
		if _, drop := vrrp.Parse(message, meta, &want); drop != vrrp.DropNone {
			h.Drop = drop.String()
		}
	}
}

// delivered takes down that the kernel's IP has passed a message on.
func (l *listener) delivered(message []byte, meta vrrp.Meta) {
	if len(message) < 2 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.heard {
		if l.heard[i].Source == meta.Source && l.heard[i].VRID == message[1] {
			l.heard[i].Delivered++
		}
	}
}

// find returns the place of a router, a new one if there is room. The lock is
// held.
func (l *listener) find(source netip.Addr, vrid uint8, mac string) *Heard {
	for _, a := range l.own {
		if a == source {
			return nil
		}
	}
	for i := range l.heard {
		if h := &l.heard[i]; h.Source == source && h.VRID == vrid && h.MAC == mac {
			return h
		}
	}
	if len(l.heard) == maxHeard {
		return nil
	}
	l.heard = append(l.heard, Heard{Source: source, MAC: mac, VRID: vrid})
	return &l.heard[len(l.heard)-1]
}

// read reads an advert as whoever it is for would: of each check that depends on
// the receiver it takes what the message says.
func read(message []byte, meta vrrp.Meta) (vrrp.Advert, bool) {
	if len(message) < 8 {
		return vrrp.Advert{}, false
	}
	as := vrrp.Config{Version: vrrp.Version(message[0] >> 4), VRID: message[1], Group: meta.Destination}
	if !meta.Destination.IsMulticast() {
		as.Peers = []netip.Addr{meta.Source}
	}
	want := as.Wanted(netip.Addr{})
	a, drop := vrrp.Parse(message, meta, &want)
	switch drop {
	case vrrp.DropTooShort, vrrp.DropType:
		return a, false
	}
	if a.Interval == 0 && as.Version == vrrp.V2 { // it was not looked at
		a.Interval = time.Duration(message[5]) * time.Second
	}
	return a, as.Version == vrrp.V2 || as.Version == vrrp.V3
}

// parseFrame takes the VRRP message out of an Ethernet frame.
func parseFrame(f []byte) (message []byte, meta vrrp.Meta, mac net.HardwareAddr, ok bool) {
	const head = 14
	if len(f) < head+20 {
		return nil, meta, nil, false
	}
	mac, ip := net.HardwareAddr(f[6:12]), f[head:]
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0800:
		n := int(ip[0]&0x0f) * 4
		total := int(binary.BigEndian.Uint16(ip[2:]))
		if ip[0]>>4 != 4 || n < 20 || total < n || len(ip) < total || ip[9] != vrrp.Protocol || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
			return nil, meta, nil, false // of a fragment there is no advert
		}
		meta = vrrp.Meta{Source: netip.AddrFrom4([4]byte(ip[12:])), Destination: netip.AddrFrom4([4]byte(ip[16:])), TTL: ip[8]}
		return ip[n:total], meta, mac, true
	case 0x86dd:
		if len(ip) < 40 || ip[0]>>4 != 6 || ip[6] != vrrp.Protocol {
			return nil, meta, nil, false
		}
		end := 40 + int(binary.BigEndian.Uint16(ip[4:]))
		if len(ip) < end {
			return nil, meta, nil, false
		}
		meta = vrrp.Meta{Source: netip.AddrFrom16([16]byte(ip[8:])), Destination: netip.AddrFrom16([16]byte(ip[24:])), TTL: ip[7]}
		return ip[40:end], meta, mac, true
	}
	return nil, meta, nil, false
}
