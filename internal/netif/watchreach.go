package netif

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Loss says what cannot be reached any more.
type Loss struct {
	Interface string
	Index     int
	// Neighbour did not answer the kernel's ARP request or neighbour
	// solicitation. Invalid: nothing is reached through the interface, which
	// has gone down, lost its carrier or is gone.
	Neighbour netip.Addr
}

// WatchLosses reports what was lost, from one goroutine, until ctx is done; it
// returns nil then. What was lost before is not reported. Where the kernel's
// queue overflows a failed neighbour may be missed, a lost interface is not.
//
// An error is returned only if the first subscription fails.
func (m *Manager) WatchLosses(ctx context.Context, report func(Loss)) error {
	up := map[int]string{} // interfaces by index
	for first := true; ; first = false {
		err := m.watchLosses(ctx, up, first, report)
		if ctx.Err() != nil {
			return nil
		}
		if first && err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(resubscribePause):
		}
	}
}

// watchLosses reports until its subscription ends. Of the first one it returns
// what keeps it from beginning.
func (m *Manager) watchLosses(ctx context.Context, up map[int]string, first bool, report func(Loss)) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH)
	if err != nil {
		return fmt.Errorf("subscribe to route netlink socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	if err := attachFilter(s.GetFd(), losses()); err != nil {
		return fmt.Errorf("set filter of route netlink socket: %w", err)
	}
	// Listed after subscribing, so that no change falls in between.
	links, err := m.h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	now := make(map[int]string, len(links))
	for _, l := range links {
		if st := linkState(l.Attrs()); st.Up {
			now[st.Index] = st.Name
		}
	}
	for index, name := range up {
		if now[index] == "" {
			report(Loss{Interface: name, Index: index})
		}
	}
	clear(up)
	for index, name := range now {
		up[index] = name
	}
	for {
		msgs, from, err := s.Receive()
		if err != nil {
			return nil
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for i := range msgs {
			if l, ok := lossIn(msgs[i].Header.Type, msgs[i].Data, up); ok {
				report(l)
			}
		}
	}
}

// lossIn reads one of the kernel's messages and keeps up what is up. What
// cannot be read tells of no loss.
func lossIn(kind uint16, data []byte, up map[int]string) (Loss, bool) {
	switch kind {
	case unix.RTM_NEWNEIGH:
		if len(data) < unix.SizeofNdMsg {
			return Loss{}, false
		}
		n, err := netlink.NeighDeserialize(data)
		if err != nil || n.State&netlink.NUD_FAILED == 0 {
			return Loss{}, false
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		return Loss{Interface: up[n.LinkIndex], Index: n.LinkIndex, Neighbour: ip.Unmap()}, ok
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(data) < unix.SizeofIfInfomsg || nl.DeserializeIfInfomsg(data).Family != unix.AF_UNSPEC {
			return Loss{}, false // too short, or a bridge's port table
		}
		link, err := netlink.LinkDeserialize(nil, data)
		if err != nil {
			return Loss{}, false
		}
		st := linkState(link.Attrs())
		if st.Up && kind == unix.RTM_NEWLINK {
			up[st.Index] = st.Name
			return Loss{}, false
		}
		_, was := up[st.Index]
		delete(up, st.Index)
		return Loss{Interface: st.Name, Index: st.Index}, was
	}
	return Loss{}, false
}

// losses passes what WatchLosses is about. Of neighbours that is those that
// have failed: thousands of others change their state all the time.
func losses() []bpf.Instruction {
	const stateAt = unix.SizeofNlMsghdr + 8 // struct ndmsg, linux/neighbour.h
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: typeAt, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: filtered16(unix.RTM_NEWLINK), SkipTrue: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: filtered16(unix.RTM_DELLINK), SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: filtered16(unix.RTM_NEWNEIGH), SkipTrue: 3},
		bpf.LoadAbsolute{Off: stateAt, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: filtered16(unix.NUD_FAILED), SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 18},
		bpf.RetConstant{Val: 0},
	}
}

// Path is how an address is reached.
type Path struct {
	Index   int        // of the interface
	Gateway netip.Addr // invalid: the address itself is the neighbour
}

// Path asks the kernel how addr is reached. There may be no way.
func (m *Manager) Path(addr netip.Addr) (Path, error) {
	routes, err := m.h.RouteGet(addr.WithZone("").AsSlice())
	if err != nil {
		return Path{}, fmt.Errorf("ask for the route to %s: %w", addr, err)
	}
	if len(routes) == 0 {
		return Path{}, fmt.Errorf("ask for the route to %s: no answer", addr)
	}
	r := routes[0]
	p := Path{Index: r.LinkIndex}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok {
		p.Gateway = gw.Unmap()
	} else if via, ok := r.Via.(*netlink.Via); ok {
		if gw, ok := netip.AddrFromSlice(via.Addr); ok {
			p.Gateway = gw.Unmap()
		}
	}
	return p, nil
}
