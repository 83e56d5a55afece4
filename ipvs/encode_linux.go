package ipvs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// encoder appends netlink messages to one buffer, which is used again and
// again: a first programming is thousands of them.
type encoder struct{ b []byte }

// message appends a request and returns where it begins; fill appends its attributes.
func (e *encoder) message(family uint16, cmd uint8, flags int, seq uint32, fill func()) {
	at := len(e.b)
	e.b = binary.NativeEndian.AppendUint32(e.b, 0) // the length
	e.b = binary.NativeEndian.AppendUint16(e.b, family)
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(flags|unix.NLM_F_REQUEST))
	e.b = binary.NativeEndian.AppendUint32(e.b, seq)
	e.b = binary.NativeEndian.AppendUint32(e.b, 0) // the port: the kernel knows
	e.b = append(e.b, cmd, genlVersion, 0, 0)      // struct genlmsghdr
	fill()
	binary.NativeEndian.PutUint32(e.b[at:], uint32(len(e.b)-at))
}

// acknowledged makes an encoded message ask for an acknowledgement.
func acknowledged(message []byte) {
	flags := binary.NativeEndian.Uint16(message[6:])
	binary.NativeEndian.PutUint16(message[6:], flags|unix.NLM_F_ACK)
}

// nest appends an attribute that consists of those that fill appends.
func (e *encoder) nest(kind uint16, fill func()) {
	at := len(e.b)
	e.head(4, kind)
	fill()
	binary.NativeEndian.PutUint16(e.b[at:], uint16(len(e.b)-at))
}

func (e *encoder) head(length int, kind uint16) {
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(length))
	e.b = binary.NativeEndian.AppendUint16(e.b, kind)
}

func (e *encoder) pad() {
	for len(e.b)%unix.NLA_ALIGNTO != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) u8(kind uint16, v uint8) {
	e.head(5, kind)
	e.b = append(e.b, v)
	e.pad()
}

func (e *encoder) u16(kind uint16, v uint16) {
	e.head(6, kind)
	e.b = binary.NativeEndian.AppendUint16(e.b, v)
	e.pad()
}

func (e *encoder) be16(kind uint16, v uint16) {
	e.head(6, kind)
	e.b = binary.BigEndian.AppendUint16(e.b, v)
	e.pad()
}

func (e *encoder) u32(kind uint16, v uint32) {
	e.head(8, kind)
	e.b = binary.NativeEndian.AppendUint32(e.b, v)
}

// text appends a string with the zero byte that ends it.
func (e *encoder) text(kind uint16, s string) {
	e.head(4+len(s)+1, kind)
	e.b = append(append(e.b, s...), 0)
	e.pad()
}

func (e *encoder) addr(kind uint16, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		e.head(4+len(v), kind)
		e.b = append(e.b, v[:]...)
		return
	}
	v := a.As16()
	e.head(4+len(v), kind)
	e.b = append(e.b, v[:]...)
}

// serviceKey appends IPVS_CMD_ATTR_SERVICE with what identifies a service.
func (e *encoder) serviceKey(k ServiceKey) {
	e.nest(attrService, func() { e.identity(k) })
}

func (e *encoder) identity(k ServiceKey) {
	e.u16(svcAF, afNumber(k.AF()))
	if k.FWMark != 0 {
		e.u32(svcFWMark, k.FWMark)
		return
	}
	e.u16(svcProtocol, protocolNumbers[k.Protocol])
	e.addr(svcAddr, k.Address)
	e.be16(svcPort, k.Port)
}

// service appends IPVS_CMD_ATTR_SERVICE with every attribute.
func (e *encoder) service(s Service) {
	e.nest(attrService, func() {
		e.identity(s.Key)
		e.text(svcSchedName, s.Scheduler)
		if s.PersistenceEngine != "" {
			e.text(svcPEName, s.PersistenceEngine)
		}
		e.head(12, svcFlags) // struct ip_vs_flags: flags, mask
		e.b = binary.NativeEndian.AppendUint32(e.b, serviceFlags(s))
		e.b = binary.NativeEndian.AppendUint32(e.b, ^uint32(0))
		e.u32(svcTimeout, uint32(s.Persistence/time.Second))
		e.u32(svcNetmask, netmask(s.PersistenceMask, s.Key.AF()))
	})
}

// server appends IPVS_CMD_ATTR_DEST.
func (e *encoder) server(s Server) error {
	bits, known := forwardBits[s.Forward]
	if !known && s.Forward != "" { // DeleteServer has only a key
		return fmt.Errorf("unknown forwarding method %q", s.Forward)
	}
	e.nest(attrDest, func() {
		e.u16(destAddrFamily, afNumber(familyOf(s.Key.Address)))
		e.addr(destAddr, s.Key.Address)
		e.be16(destPort, s.Key.Port)
		e.u32(destFwdMethod, bits)
		e.u32(destWeight, uint32(s.Weight))
		e.u32(destUThresh, s.UpperThreshold)
		e.u32(destLThresh, s.LowerThreshold)
		if s.Tunnel != (Tunnel{}) {
			e.u8(destTunType, uint8(s.Tunnel.Type))
			e.be16(destTunPort, s.Tunnel.Port)
			e.u16(destTunFlags, uint16(s.Tunnel.Flags))
		}
	})
	return nil
}

// daemon appends IPVS_CMD_ATTR_DAEMON.
func (e *encoder) daemon(role DaemonRole, d SyncDaemon) {
	e.nest(attrDaemon, func() {
		e.u32(daemonState, uint32(role))
		if d.Interface == "" { // StopDaemon
			return
		}
		e.text(daemonIfn, d.Interface)
		e.u32(daemonID, uint32(d.SyncID))
		if d.MaxLen != 0 {
			e.u16(daemonMaxLen, uint16(d.MaxLen))
		}
		switch {
		case d.Group.Is4():
			e.addr(daemonGroup, d.Group)
		case d.Group.Is6():
			e.addr(daemonGroup6, d.Group)
		}
		if d.Port != 0 {
			e.u16(daemonPort, d.Port) // in the host's byte order, unlike all other ports
		}
		if d.TTL != 0 {
			e.u8(daemonTTL, d.TTL)
		}
	})
}

// commands are those that an operation is carried out by.
var opCommands = map[OpKind]uint8{
	AddService: cmdNewService, UpdateService: cmdSetService, DeleteService: cmdDelService,
	AddServer: cmdNewDest, UpdateServer: cmdSetDest, DeleteServer: cmdDelDest,
}

// op appends the attributes of an operation.
func (e *encoder) op(op Op) error {
	switch op.Kind {
	case AddService, UpdateService:
		e.service(op.Service)
	case DeleteService:
		e.serviceKey(op.Service.Key)
	default:
		e.serviceKey(op.Service.Key)
		return e.server(op.Server)
	}
	return nil
}
