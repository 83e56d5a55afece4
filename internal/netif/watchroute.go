package netif

import (
	"context"
	"fmt"
	"math/bits"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// WatchRoutes calls report after each deletion of a route that carries our tag
// and of any rule, and when it may have missed one, until ctx is done. Nothing
// else wakes the process: a router that takes routes in by the million may run
// beside us.
//
// An error is returned only if the first subscription fails.
func (m *Manager) WatchRoutes(ctx context.Context, report func()) error {
	for first := true; ; first = false {
		s, err := subscribeRoutes()
		if err != nil && first {
			return err
		}
		if err == nil {
			if !first {
				report()
			}
			receiveRoutes(ctx, s, report)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(resubscribePause):
		}
	}
}

func subscribeRoutes() (*nl.NetlinkSocket, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return nil, fmt.Errorf("subscribe to route netlink socket: %w", err)
	}
	if err := attachFilter(s.GetFd(), routeDeletions()); err != nil {
		s.Close()
		return nil, fmt.Errorf("set filter of route netlink socket: %w", err)
	}
	return s, nil
}

func receiveRoutes(ctx context.Context, s *nl.NetlinkSocket, report func()) {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	for {
		_, from, err := s.Receive()
		if err != nil {
			return
		}
		if from.Pid == nl.PidKernel {
			report()
		}
	}
}

// routeDeletions passes what WatchRoutes is about.
func routeDeletions() []bpf.Instruction {
	const protocolAt = unix.SizeofNlMsghdr + 5 // struct rtmsg, linux/rtnetlink.h
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: typeAt, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: filtered16(unix.RTM_DELRULE), SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: filtered16(unix.RTM_DELROUTE), SkipTrue: 3},
		bpf.LoadAbsolute{Off: protocolAt, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: RouteTag, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 18},
		bpf.RetConstant{Val: 0},
	}
}

// typeAt is where a message has its type: struct nlmsghdr, linux/netlink.h.
const typeAt = 4

// filtered16 is a number of a message as a filter loads it: the message is in
// the machine's order, the filter's loads are in the network's.
func filtered16(t uint16) uint32 {
	if nl.NativeEndian().Uint16([]byte{1, 0}) == 1 {
		t = bits.ReverseBytes16(t)
	}
	return uint32(t)
}

func attachFilter(fd int, prog []bpf.Instruction) error {
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}
