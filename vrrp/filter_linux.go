package vrrp

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Opcodes of classic BPF (linux/filter.h) that are used here.
const (
	bpfLoadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
	bpfLoadHalf = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
	bpfLoadWord = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	bpfEqual    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	bpfAtLeast  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	bpfReturn   = unix.BPF_RET | unix.BPF_K

	// Where the headers stand, from linux/filter.h: SKF_NET_OFF, SKF_LL_OFF.
	networkHeader = 1<<32 - 0x100000
	linkHeader    = 1<<32 - 0x200000

	takeAll = 1 << 18 // more bytes than any packet has
)

// attach lets the socket receive only what the program returns a length for.
func (o *options) attach(program []unix.SockFilter) {
	o.add("SO_ATTACH_FILTER", unix.SetsockoptSockFprog(o.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}))
}

// onlyGroup6 takes unicast and what is sent to the group. A raw IPv6 socket
// gets what is sent to any group that somebody on this host has joined,
// whatever IPV6_MULTICAST_ALL says, so that two groups on one interface would
// hear one another.
func onlyGroup6(group netip.Addr) []unix.SockFilter {
	const destination = networkHeader + 24 // in the IPv6 header
	words := group.As16()
	word := func(i int) uint32 { return binary.BigEndian.Uint32(words[4*i:]) }
	return []unix.SockFilter{
		{Code: bpfLoadWord, K: destination},
		{Code: bpfAtLeast, K: 0xff000000, Jf: 7}, // no multicast: take
		{Code: bpfEqual, K: word(0), Jf: 7},
		{Code: bpfLoadWord, K: destination + 4},
		{Code: bpfEqual, K: word(1), Jf: 5},
		{Code: bpfLoadWord, K: destination + 8},
		{Code: bpfEqual, K: word(2), Jf: 3},
		{Code: bpfLoadWord, K: destination + 12},
		{Code: bpfEqual, K: word(3), Jf: 1},
		{Code: bpfReturn, K: takeAll},
		{Code: bpfReturn, K: 0},
	}
}

// onlyFrom takes VRRP in frames that come from a MAC address: what else arrives
// on a VMAC, the clients' traffic above all, costs two instructions.
func onlyFrom(mac [6]byte, family Family) []unix.SockFilter {
	protocol := uint32(networkHeader + 9)
	if family == IPv6 {
		protocol = networkHeader + 6
	}
	return []unix.SockFilter{
		{Code: bpfLoadByte, K: protocol},
		{Code: bpfEqual, K: Protocol, Jf: 5},
		{Code: bpfLoadWord, K: linkHeader + 6},
		{Code: bpfEqual, K: binary.BigEndian.Uint32(mac[:]), Jf: 3},
		{Code: bpfLoadHalf, K: linkHeader + 10},
		{Code: bpfEqual, K: uint32(binary.BigEndian.Uint16(mac[4:])), Jf: 1},
		{Code: bpfReturn, K: takeAll},
		{Code: bpfReturn, K: 0},
	}
}
