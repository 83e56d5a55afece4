package pathcheck

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	take = 1 << 18
	drop = 0
)

// filter passes, of one protocol, what may answer a question from one of the
// addresses. More than a few there never are: an interface's own.
func filter(proto uint16, own []netip.Addr) []bpf.Instruction {
	switch proto {
	case unix.ETH_P_ARP:
		return when(etherLen+6, 2, 2, bpf.RetConstant{Val: take}) // replies
	case unix.ETH_P_IP:
		return filterTCP(own, 9, 16, []bpf.Instruction{
			bpf.LoadAbsolute{Off: etherLen + 6, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 0x1fff, SkipTrue: 1},
			bpf.RetConstant{Val: drop}, // not the first fragment
			bpf.LoadMemShift{Off: etherLen},
			bpf.LoadIndirect{Off: etherLen + 2, Size: 2},
		})
	}
	advertisement := append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: etherLen + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 4},
	}, when(etherLen+ip6Len, 1, 136, bpf.RetConstant{Val: take})...)
	return append(advertisement, filterTCP(own, 6, 24, []bpf.Instruction{
		bpf.LoadAbsolute{Off: etherLen + ip6Len + 2, Size: 2},
	})...)
}

// when is then where a field has the value, else nothing passes.
func when(off uint32, size int, value uint32, then bpf.Instruction) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: off, Size: size},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: 1},
		bpf.RetConstant{Val: drop},
		then,
	}
}

// filterTCP passes TCP to our ports of an address of ours. protoAt and toAt are
// the fields' places in the IP header; loadPort loads the destination port.
func filterTCP(own []netip.Addr, protoAt, toAt uint32, loadPort []bpf.Instruction) []bpf.Instruction {
	port := append(loadPort,
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: firstPort, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: firstPort + portCount, SkipTrue: 1},
		bpf.RetConstant{Val: take},
		bpf.RetConstant{Val: drop},
	)
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: etherLen + protoAt, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 1},
		bpf.RetConstant{Val: drop},
	}
	for _, a := range own {
		b := a.AsSlice()
		words := len(b) / 4
		for i := range words {
			prog = append(prog, bpf.LoadAbsolute{Off: etherLen + toAt + uint32(4*i), Size: 4},
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(b[4*i:]), SkipTrue: uint8(2*(words-1-i) + len(port))})
		}
		prog = append(prog, port...)
	}
	return append(prog, bpf.RetConstant{Val: drop})
}
