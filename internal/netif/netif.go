// Package netif is Baton's hand on the machine's network configuration: the
// virtual addresses, routes, rules and interfaces, the facts about links that an
// election rests on, and the rule sets that let established connections outlive
// a change of master.
//
// Everything goes over netlink, but for sysctls; no command is run, and no
// firewall is touched but the tables that the package makes and removes itself.
// Whatever it adds to the kernel carries a mark, so that a later run can tell it
// from what belongs to the administrator: [Tag] or [RouteTag], an nftables table
// its name's beginning, a VMAC its alias.
package netif

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Tag marks what Baton adds: the IFA_PROTO of its addresses, and the protocol of
// the routes and rules of a handover. It is VRRP's own IP protocol number.
//
// linux/if_addr.h reserves IFAPROT_* 0 to 3 and linux/rtnetlink.h RTPROT_*
// values of which none is 112; neither does iproute2's rt_protos name it.
// `ip address show proto 112` lists the addresses.
const Tag = 112

// defaultTimeout bounds one netlink request.
const defaultTimeout = 2 * time.Second

func init() {
	// The kernel's own sentence ("Invalid scope", "Device not found") next to
	// the bare errno is what makes an error actionable.
	nl.EnableErrorMessageReporting = true
}

// Options configure a Manager. The zero value is usable.
type Options struct {
	// RecordFile remembers which addresses are ours where the kernel does not
	// (IFA_PROTO needs Linux 5.18). It belongs in the runtime directory, which
	// does not outlive a reboot any more than the addresses do. Empty: no
	// record, so what a killed run left on such a kernel is not recognised.
	RecordFile string
	// ParentsFile remembers what interfaces below a VMAC were changed from, so
	// that another run can change them back. It belongs there too. Empty: this
	// run alone can.
	ParentsFile string
	// Timeout bounds one netlink request; 0 means 2 s.
	Timeout time.Duration

	loseTag     bool // tests: behave as on a kernel without IFA_PROTO
	watchBuffer int  // tests: receive buffer of Watch in bytes, unforced
}

// Manager reads and writes the network configuration of the network namespace
// it was made in. It is safe for concurrent use.
type Manager struct {
	opts Options
	h    *netlink.Handle
	// dump asks for one device's addresses only; the strict checking this
	// takes would make the kernel refuse other requests of the library.
	dump *netlink.Handle

	mu      sync.Mutex // serialises changes; guards what follows
	record  *record
	tags    tagSupport
	variant *relayVariant // what the kernel can do, once known

	forwarders map[string]*forwarder // relays in user space by name
	parents    *parents
}

// New opens the netlink sockets. Close releases them.
func New(opts Options) (*Manager, error) {
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	m := &Manager{opts: opts, record: newRecord(opts.RecordFile), forwarders: make(map[string]*forwarder),
		parents: readParents(opts.ParentsFile)}
	var err error
	if m.h, err = newHandle(opts.Timeout); err != nil {
		return nil, fmt.Errorf("open route netlink socket: %w", err)
	}
	if m.dump, err = newHandle(opts.Timeout); err != nil {
		m.h.Close()
		return nil, fmt.Errorf("open route netlink socket: %w", err)
	}
	// Before Linux 4.20 a dump has every device's addresses; the library
	// filters them again, so the answer is the same, only slower.
	if err := m.dump.SetStrictCheck(true); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
		m.Close()
		return nil, fmt.Errorf("set up route netlink socket: %w", err)
	}
	return m, nil
}

func newHandle(timeout time.Duration) (*netlink.Handle, error) {
	h, err := netlink.NewHandleWithOptions(netlink.HandleOptions{
		DisableVFInfoCollection: true,
		RetryInterrupted:        true,
	}, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := h.SetSocketTimeout(timeout); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Close releases the sockets. It changes nothing in the kernel; only relays in
// user space end with it.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, f := range m.forwarders {
		f.stop()
		delete(m.forwarders, name)
	}
	return errors.Join(m.h.Close(), m.dump.Close())
}

// family is the netlink address family of a.
func family(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}
