package netif

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// watchBuffer holds the kernel's messages while report is busy: about 4,000.
const watchBuffer = 1 << 20

// resubscribePause is how long Watch waits after a subscription failed, so
// that a lasting fault does not take a CPU.
const resubscribePause = 50 * time.Millisecond

// FactKind says what a Fact reports.
type FactKind uint8

// The kinds of facts.
const (
	LinkChanged    FactKind = iota + 1 // Link is new or differs from the last report of it
	LinkGone                           // Link.Name is gone: deleted, renamed or moved away
	AddressAdded                       // Prefix appeared on Link
	AddressRemoved                     // Prefix disappeared from Link
	Listed                             // everything that exists has been reported; Err says why a listing after the first was needed
)

func (k FactKind) String() string {
	switch k {
	case LinkChanged:
		return "link changed"
	case LinkGone:
		return "link gone"
	case AddressAdded:
		return "address added"
	case AddressRemoved:
		return "address removed"
	case Listed:
		return "listed"
	}
	return fmt.Sprintf("fact kind %d", uint8(k))
}

// Fact is one observation of the kernel's network configuration.
type Fact struct {
	Kind   FactKind
	Link   LinkState // as of after the change
	Prefix netip.Prefix
	Owned  bool // of an address: it carries our tag or stands in our record
	Err    error
}

// Watch reports every link and address to report, first what is there, then
// each change, until ctx is done; it returns nil then. report is called from
// one goroutine, in the kernel's order, and may take its time: if the kernel's
// queue overflows meanwhile, Watch subscribes anew, lists everything and
// reports the differences.
//
// An error is returned only if the first subscription or listing fails.
func (m *Manager) Watch(ctx context.Context, report func(Fact)) error {
	t := newTracker(report)
	var cause error
	for first := true; ; first = false {
		err := m.watchOnce(ctx, t, cause)
		if ctx.Err() != nil {
			return nil
		}
		if first && !t.listed {
			return fmt.Errorf("watch network interfaces: %w", err)
		}
		cause = err
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(resubscribePause):
		}
	}
}

// watchOnce reports until its subscription ends, and returns why it did.
func (m *Manager) watchOnce(ctx context.Context, t *tracker, cause error) error {
	s, err := m.subscribe()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	// Listed after subscribing, so that no change falls in between. Messages
	// about changes that the listing already has tell nothing new.
	if err := m.listAll(t); err != nil {
		return err
	}
	t.report(Fact{Kind: Listed, Err: cause})
	for {
		msgs, from, err := s.Receive()
		if err != nil {
			return fmt.Errorf("receive from route netlink socket: %w", err)
		}
		if from.Pid != nl.PidKernel {
			continue // another process may write to our socket; it is not believed
		}
		for i := range msgs {
			if err := m.apply(t, msgs[i].Header.Type, msgs[i].Data); err != nil {
				return err
			}
		}
	}
}

func (m *Manager) subscribe() (*nl.NetlinkSocket, error) {
	// One socket for all groups keeps the kernel's order between them.
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribe to route netlink socket: %w", err)
	}
	size, force := watchBuffer, true
	if m.opts.watchBuffer > 0 {
		size, force = m.opts.watchBuffer, false
	}
	if err := s.SetReceiveBufferSize(size, force); err != nil {
		// Without CAP_NET_ADMIN within the system's limit; an overrun is
		// noticed and mended in any case.
		if err := s.SetReceiveBufferSize(size, false); err != nil {
			s.Close()
			return nil, fmt.Errorf("set buffer of route netlink socket: %w", err)
		}
	}
	return s, nil
}

func (m *Manager) listAll(t *tracker) error {
	links, err := m.h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	addrs, err := m.h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	states := make([]LinkState, 0, len(links))
	names := make(map[int]string, len(links))
	for _, l := range links {
		states = append(states, linkState(l.Attrs()))
		names[l.Attrs().Index] = l.Attrs().Name
	}
	byLink := make(map[int][]address, len(links))
	for i := range addrs {
		if a, ok := fromMessage(&addrs[i]); ok {
			a.ours = m.owns(names[addrs[i].LinkIndex], a)
			byLink[addrs[i].LinkIndex] = append(byLink[addrs[i].LinkIndex], a)
		}
	}
	t.replace(states, byLink)
	return nil
}

func (m *Manager) owns(iface string, a address) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return a.tag == Tag || m.record.has(iface, a.prefix)
}

// apply takes one of the kernel's messages in.
func (m *Manager) apply(t *tracker, kind uint16, data []byte) error {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(data) < unix.SizeofIfInfomsg {
			return fmt.Errorf("link message of %d bytes is too short", len(data))
		}
		if nl.DeserializeIfInfomsg(data).Family != unix.AF_UNSPEC {
			return nil // a bridge's port table: its DELLINK deletes no link
		}
		link, err := netlink.LinkDeserialize(nil, data)
		if err != nil {
			return fmt.Errorf("decode link message: %w", err)
		}
		if kind == unix.RTM_DELLINK {
			t.deleteLink(link.Attrs().Index)
			return nil
		}
		t.setLink(linkState(link.Attrs()))
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		index, a, ok, err := decodeAddress(data)
		if err != nil || !ok {
			return err
		}
		if kind == unix.RTM_DELADDR {
			t.deleteAddress(index, a.prefix)
			return nil
		}
		a.ours = m.owns(t.name(index), a)
		t.setAddress(index, a)
	}
	return nil
}

// decodeAddress reads the body of an RTM_NEWADDR or RTM_DELADDR
// (linux/if_addr.h). The library's reader of these messages drops the tag.
func decodeAddress(data []byte) (index int, a address, ok bool, err error) {
	if len(data) < unix.SizeofIfAddrmsg {
		return 0, address{}, false, fmt.Errorf("address message of %d bytes is too short", len(data))
	}
	head := nl.DeserializeIfAddrmsg(data)
	// The library's own reader of attributes panics at an unaligned end.
	attrs, err := mdnetlink.NewAttributeDecoder(data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return 0, address{}, false, fmt.Errorf("decode address message: %w", err)
	}
	flags := uint32(head.Flags)
	var local, peer []byte
	for attrs.Next() {
		switch attrs.Type() {
		case unix.IFA_LOCAL:
			local = attrs.Bytes()
		case unix.IFA_ADDRESS:
			peer = attrs.Bytes()
		case unix.IFA_FLAGS:
			flags = attrs.Uint32()
		case netlink.IFA_PROTO:
			a.tag = int(attrs.Uint8())
		}
	}
	if err := attrs.Err(); err != nil {
		return 0, address{}, false, fmt.Errorf("decode address message: %w", err)
	}
	bits := int(head.Prefixlen)
	switch {
	case local == nil:
		local = peer
	case peer != nil && string(local) != string(peer):
		bits = 8 * len(local) // of a point-to-point link the prefix is the peer's
	}
	ip, isIP := netip.AddrFromSlice(local)
	if !isIP || bits > ip.BitLen() {
		return 0, address{}, false, nil
	}
	a.prefix = netip.PrefixFrom(ip, bits)
	a.secondary = ip.Is4() && flags&unix.IFA_F_SECONDARY != 0
	a.tentative = tentative(ip, int(flags))
	a.scope = int(head.Scope)
	return int(head.Index), a, true, nil
}
