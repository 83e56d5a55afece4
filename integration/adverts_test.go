package integration

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"baton/internal/lab"
)

// heardAdvert is what a recorder keeps of one.
type heardAdvert struct {
	at       time.Time // the kernel's, when it passed the interface
	source   netip.Addr
	vrid     uint8
	priority uint8
}

// recorder notes the adverts of some sources that pass an interface, in either
// direction. It is for
// a great many: the kernel drops all else, and nothing is decoded that is not
// needed.
type recorder struct {
	tap
	seen []heardAdvert
}

// record begins to note on an interface of a node. The returned recorder is
// stopped by adverts.
func record(t testing.TB, l *lab.Lab, node, iface string, sources ...netip.Addr) *recorder {
	t.Helper()
	r := &recorder{}
	r.tap.start(t, l, node, iface, advertsOf(sources), r.heard)
	return r
}

// advertsOf is the filter that passes the adverts of some sources.
func advertsOf(sources []netip.Addr) []bpf.Instruction {
	reject := uint8(len(sources))
	program := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: reject + 3},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 112, SkipTrue: reject + 1},
		bpf.LoadAbsolute{Off: 12, Size: 4},
	}
	for i, s := range sources {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(s.AsSlice()), SkipTrue: uint8(len(sources) - i)})
	}
	return append(program, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: 64})
}

func (r *recorder) heard(at time.Time, packet []byte) error {
	header := int(packet[0]&0x0f) * 4
	if len(packet) < header+8 {
		return errors.New("a packet without advert")
	}
	r.seen = append(r.seen, heardAdvert{
		at: at, source: netip.AddrFrom4([4]byte(packet[12:])), vrid: packet[header+1], priority: packet[header+2],
	})
	return nil
}

// adverts ends the recording and returns what was seen, oldest first.
func (r *recorder) adverts(t testing.TB) []heardAdvert {
	t.Helper()
	r.tap.end(t)
	return r.seen
}
