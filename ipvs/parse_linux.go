package ipvs

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attr is the value of one netlink attribute. The getters return 0 for one
// that is too short, so that no answer of a kernel can end the process.
type attr []byte

func (a attr) u8() uint8 {
	if len(a) < 1 {
		return 0
	}
	return a[0]
}

func (a attr) u16() uint16 {
	if len(a) < 2 {
		return 0
	}
	return binary.NativeEndian.Uint16(a)
}

func (a attr) be16() uint16 {
	if len(a) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(a)
}

func (a attr) u32() uint32 {
	if len(a) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(a)
}

// number is a counter: 32 bits in STATS (bytes: 64), 64 in STATS64.
func (a attr) number() uint64 {
	if len(a) < 8 {
		return uint64(a.u32())
	}
	return binary.NativeEndian.Uint64(a)
}

func (a attr) text() string {
	s, _, _ := bytes.Cut(a, []byte{0})
	return string(s)
}

// nlaTypeMask is NLA_TYPE_MASK of linux/netlink.h: without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const nlaTypeMask = 0x3fff

// eachAttr walks attributes (struct nlattr: length, type, value, padding).
func eachAttr(b []byte, each func(kind uint16, value attr)) error {
	for len(b) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > len(b) {
			return errMalformed
		}
		each(binary.NativeEndian.Uint16(b[2:])&nlaTypeMask, attr(b[unix.SizeofRtAttr:length]))
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// nested finds one attribute behind the generic netlink header.
func nested(payload []byte, kind uint16) (attr, error) {
	if len(payload) < nl.SizeofGenlmsg {
		return nil, errMalformed
	}
	var found attr
	err := eachAttr(payload[nl.SizeofGenlmsg:], func(k uint16, v attr) {
		if k == kind {
			found = v
		}
	})
	if err == nil && found == nil {
		err = errMalformed
	}
	return found, err
}

// parseService reads IPVS_CMD_ATTR_SERVICE.
func parseService(payload []byte) (Entry, error) {
	body, err := nested(payload, attrService)
	if err != nil {
		return Entry{}, err
	}
	var (
		af, proto, port       uint16
		mark, flags, timeout  uint32
		mask                  uint32
		addr, stats, extended attr
		s                     Service
	)
	err = eachAttr(body, func(kind uint16, v attr) {
		switch kind {
		case svcAF:
			af = v.u16()
		case svcProtocol:
			proto = v.u16()
		case svcAddr:
			addr = v
		case svcPort:
			port = v.be16()
		case svcFWMark:
			mark = v.u32()
		case svcSchedName:
			s.Scheduler = v.text()
		case svcFlags:
			flags = v.u32() // struct ip_vs_flags: flags, mask
		case svcTimeout:
			timeout = v.u32()
		case svcNetmask:
			mask = v.u32()
		case svcPEName:
			s.PersistenceEngine = v.text()
		case svcStats:
			stats = v
		case svcStats64:
			extended = v
		}
	})
	if err != nil {
		return Entry{}, err
	}
	f := familyNumber(af)
	if mark != 0 {
		s.Key = FWMarkKey(mark, f)
	} else {
		a, err := addrOf(addr, f)
		if err != nil {
			return Entry{}, err
		}
		s.Key = ServiceKey{Protocol: protocolOf(proto), Address: a, Port: port}
	}
	s.SchedFlags = SchedFlags(flags>>svcSchedShift) & (SchedFlag1 | SchedFlag2 | SchedFlag3)
	s.OnePacket = flags&svcOnePacket != 0
	if flags&svcPersistent != 0 {
		s.Persistence = time.Duration(timeout) * time.Second
		s.PersistenceMask = maskOf(mask, f)
	}
	c, err := parseCounters(stats, extended)
	return Entry{Service: s, Counters: c}, err
}

func familyNumber(af uint16) Family {
	if af == unix.AF_INET6 {
		return IPv6
	}
	return IPv4
}

// parseServer reads IPVS_CMD_ATTR_DEST, what counts apart. Kernels before 3.18 do
// not tell the family; there it is the service's.
func parseServer(payload []byte, f Family) (Server, ServerStats, error) {
	body, err := nested(payload, attrDest)
	if err != nil {
		return Server{}, ServerStats{}, err
	}
	var (
		s                     Server
		st                    ServerStats
		t                     Tunnel
		addr, stats, extended attr
		port                  uint16
	)
	err = eachAttr(body, func(kind uint16, v attr) {
		switch kind {
		case destAddrFamily:
			f = familyNumber(v.u16())
		case destAddr:
			addr = v
		case destPort:
			port = v.be16()
		case destFwdMethod:
			s.Forward = forwardOf(v.u32())
		case destWeight:
			s.Weight = int(int32(v.u32()))
		case destUThresh:
			s.UpperThreshold = v.u32()
		case destLThresh:
			s.LowerThreshold = v.u32()
		case destActiveConns:
			st.Active = v.u32()
		case destInactConns:
			st.Inactive = v.u32()
		case destPersistConns:
			st.Persistent = v.u32()
		case destTunType:
			t.Type = TunnelType(v.u8())
		case destTunPort:
			t.Port = v.be16()
		case destTunFlags:
			t.Flags = TunnelFlags(v.u16())
		case destStats:
			stats = v
		case destStats64:
			extended = v
		}
	})
	if err != nil {
		return Server{}, ServerStats{}, err
	}
	a, err := addrOf(addr, f)
	if err != nil {
		return Server{}, ServerStats{}, err
	}
	s.Key = ServerKey{Address: a, Port: port}
	if s.Forward == TUN {
		s.Tunnel = t
	}
	st.Counters, err = parseCounters(stats, extended)
	return s, st, err
}

// parseCounters reads STATS64 where the kernel has it (since 4.1), else STATS.
func parseCounters(stats, extended attr) (c Counters, err error) {
	if extended != nil {
		stats = extended
	}
	fields := [...]*uint64{ // IPVS_STATS_ATTR_CONNS … IPVS_STATS_ATTR_OUTBPS
		&c.Connections, &c.PacketsIn, &c.PacketsOut, &c.BytesIn, &c.BytesOut,
		&c.ConnectionRate, &c.PacketInRate, &c.PacketOutRate, &c.ByteInRate, &c.ByteOutRate}
	err = eachAttr(stats, func(kind uint16, v attr) {
		if i := int(kind) - 1; i >= 0 && i < len(fields) {
			*fields[i] = v.number()
		}
	})
	return c, err
}
