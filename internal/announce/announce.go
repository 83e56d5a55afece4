// Package announce tells the network where a virtual address is now, with
// gratuitous ARP (RFC 5227 §3) and unsolicited neighbour advertisements
// (RFC 4861 §7.2.6), as RFC 9568 §6.4.2 wants of a new master.
package announce

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoInterface is why nothing can be sent or heard where there is no interface
// of that name.
var ErrNoInterface = errors.New("no such interface")

// writeTimeout bounds one frame: a full transmit queue must not hold up the
// election.
const writeTimeout = time.Second

// maxFrames bounds the prepared frames of one interface. 255 virtual routers
// with 20 addresses each fit.
const maxFrames = 8192

// Announcer sends announcements through one interface. It is safe for
// concurrent use.
type Announcer struct {
	iface string
	open  func(iface string) (socket, error)

	mu     sync.Mutex
	sock   socket
	frames map[sender][][]byte
}

// sender is what an announcement says: this address is at that station.
type sender struct {
	vip    netip.Addr
	mac    [6]byte
	router bool
}

// socket is a packet socket bound to one interface.
type socket interface {
	send(frame []byte) error
	hardwareAddr() net.HardwareAddr
	close() error
}

// New makes an announcer for the interface of that name, which need not exist
// yet: the socket is opened by the first announcement.
func New(iface string) (*Announcer, error) {
	if iface == "" || len(iface) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("announce through interface %q: the name must have 1 to %d bytes", iface, unix.IFNAMSIZ-1)
	}
	return &Announcer{iface: iface, open: openPacket, frames: make(map[sender][][]byte)}, nil
}

// GARP broadcasts one gratuitous ARP request and one reply for vip with mac as
// the sender; nil stands for the interface's own address. vip is IPv4.
//
// Both forms are sent because equipment differs in which one it believes.
// When the interface was made anew since the last announcement the socket is
// opened again. What was opened before keeps its idea of the interface's own
// hardware address: call Reset when that has changed.
func (a *Announcer) GARP(vip netip.Addr, mac net.HardwareAddr) error {
	return a.announce(vip, mac, func(mac net.HardwareAddr) ([][]byte, error) { return garpFrames(vip, mac) }, false)
}

// NA multicasts one unsolicited neighbour advertisement for vip, an IPv6
// address, to all nodes, with mac as GARP has it.
//
// router is the router flag. RFC 9568 §6.4.2 sets it always, as its routers
// forward; where the node does not, its kernel answers solicitations without
// the flag, and a host that sees it go away drops its default route through
// the address (RFC 4861 §7.2.5). So it should be what the kernel's is: the
// interface's net.ipv6.conf.*.forwarding.
func (a *Announcer) NA(vip netip.Addr, mac net.HardwareAddr, router bool) error {
	return a.announce(vip, mac, func(mac net.HardwareAddr) ([][]byte, error) { return naFrames(vip, mac, router) }, router)
}

// Probe asks whether anybody else has vip, without a claim to it (RFC 5227
// §2.1.1, RFC 4862 §5.4.2): a [Watcher] hears the answers. A host that has the
// address too does not answer an announcement.
func (a *Announcer) Probe(vip netip.Addr) error {
	build := probe6
	if vip.Is4() {
		build = probe4
	}
	return a.probe(vip, build)
}

// Ask is Probe for who does not mean to take vip. Over IPv6 it asks from an
// address of its own, for a question without one says that somebody is about to
// (RFC 4862 §5.4.3), and who has vip would tell of a conflict. own is one of the
// interface's, of no interest over IPv4.
func (a *Announcer) Ask(vip, own netip.Addr) error {
	if vip.Is4() {
		return a.Probe(vip)
	}
	return a.probe(vip, func(vip netip.Addr, mac net.HardwareAddr) ([]byte, error) { return solicit(vip, own, mac) })
}

func (a *Announcer) probe(vip netip.Addr, build func(netip.Addr, net.HardwareAddr) ([]byte, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.ready(); err != nil {
		return fmt.Errorf("probe %s on %s: %w", vip, a.iface, err)
	}
	frame, err := build(vip, a.sock.hardwareAddr())
	if err == nil {
		err = a.sock.send(frame)
	}
	if err != nil {
		return fmt.Errorf("probe %s on %s: %w", vip, a.iface, err)
	}
	return nil
}

func (a *Announcer) announce(vip netip.Addr, mac net.HardwareAddr, build func(net.HardwareAddr) ([][]byte, error), router bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.send(vip, mac, build, router)
	if interfaceChanged(err) {
		a.drop()
		err = a.send(vip, mac, build, router)
	}
	if err != nil {
		return fmt.Errorf("announce %s on %s: %w", vip, a.iface, err)
	}
	return nil
}

// Reset forgets the socket and the prepared frames, as is needed after the
// interface was given another hardware address.
func (a *Announcer) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop()
}

// Close releases the socket. A later announcement would open it again.
func (a *Announcer) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drop()
}

func (a *Announcer) send(vip netip.Addr, mac net.HardwareAddr, build func(net.HardwareAddr) ([][]byte, error), router bool) error {
	if err := a.ready(); err != nil {
		return err
	}
	if mac == nil {
		mac = a.sock.hardwareAddr()
	}
	if len(mac) != 6 {
		return fmt.Errorf("hardware address %q: an announcement needs one of 6 bytes", mac.String())
	}
	key := sender{vip: vip, mac: [6]byte(mac), router: router}
	frames, ok := a.frames[key]
	if !ok {
		var err error
		if frames, err = build(mac); err != nil {
			return err
		}
		if len(a.frames) >= maxFrames {
			clear(a.frames)
		}
		a.frames[key] = frames
	}
	var errs error
	for _, f := range frames {
		if err := a.sock.send(f); err != nil {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// ready opens the socket if it is not open.
func (a *Announcer) ready() error {
	if a.sock != nil {
		return nil
	}
	s, err := a.open(a.iface)
	if err == nil {
		a.sock = s
	}
	return err
}

func (a *Announcer) drop() error {
	clear(a.frames)
	if a.sock == nil {
		return nil
	}
	err := a.sock.close()
	a.sock = nil
	return err
}

// interfaceChanged: the interface that the socket was opened for is gone, and
// another one of that name may be there.
func interfaceChanged(err error) bool {
	return errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, net.ErrClosed)
}

// packetSocket is the real socket.
type packetSocket struct {
	conn *packet.Conn
	mac  net.HardwareAddr
	to   *packet.Addr // the frame itself says where to
}

// find asks for one interface. net.InterfaceByName lists them all, which with a
// VMAC for each of a thousand instances is a long list.
func find(iface string) (*net.Interface, error) {
	l, err := netlink.LinkByName(iface)
	if _, none := errors.AsType[netlink.LinkNotFoundError](err); none {
		err = ErrNoInterface
	}
	if err != nil {
		return nil, fmt.Errorf("find interface: %w", err)
	}
	a := l.Attrs()
	return &net.Interface{Index: a.Index, MTU: a.MTU, Name: a.Name, HardwareAddr: a.HardwareAddr}, nil
}

func openPacket(iface string) (socket, error) {
	ifi, err := find(iface)
	if err != nil {
		return nil, err
	}
	// Protocol 0 receives nothing, so the queue cannot fill with other
	// people's frames.
	conn, err := packet.Listen(ifi, packet.Raw, 0, nil)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("open packet socket: %w (needs CAP_NET_RAW)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	return &packetSocket{conn: conn, mac: ifi.HardwareAddr, to: &packet.Addr{HardwareAddr: broadcast}}, nil
}

func (s *packetSocket) hardwareAddr() net.HardwareAddr { return s.mac }

func (s *packetSocket) close() error { return s.conn.Close() }

func (s *packetSocket) send(frame []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := s.conn.WriteTo(frame, s.to)
	return err
}
