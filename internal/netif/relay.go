package netif

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Relay describes the connections that a new master passes on to the old one.
//
// A TCP segment to a VIP that opens no connection, and that IPVS let through
// because it has no entry for it, belongs to a connection that the old master
// balanced. Left alone it would be answered with a reset. The relay sends a
// copy to the old master, which has the entry, and drops it here. What comes
// from the old master itself is never relayed, so two directors cannot pass a
// packet to and fro.
//
// It is for DR and TUN, where answers do not pass the director. It must stand
// before the first gratuitous ARP, and on the old master a Linger. With
// net.ipv4.vs.sloppy_tcp set there is nothing to relay: IPVS then makes an
// entry for any segment.
type Relay struct {
	Name string // names the rules: the virtual router's name
	VIPs []netip.Addr
	// Ports limits the relay to the TCP ports of the virtual services; empty:
	// all ports. Without it a service of the director itself on a VIP, which
	// IPVS does not know either, loses its connections while the relay stands.
	Ports     []uint16
	Interface string     // towards the old master
	OldMaster netip.Addr // its own address
	OldMAC    net.HardwareAddr
}

// RelaySupport says which of the kernel's means a relay uses.
type RelaySupport struct {
	// Duplicate is the kernel's module that copies packets, nft_dup_ipv4 or
	// xt_TEE, or "user space" where nftables has neither or is not there: the
	// process then copies them itself, and an end of the process ends the relay.
	Duplicate string
	// SeesIPVS: packets that IPVS knows but delivers locally (a server on the
	// director itself) are told from unknown ones with xt_ipvs.
	SeesIPVS bool
}

// relayPrefix begins the name of the nftables table of a relay.
const relayPrefix = "baton-relay-"

// ProbeRelay finds out what the kernel can do for relays and lingers, and does
// what must not happen in a takeover: modules are loaded, and the first rule of
// the network namespace is made (see prepareRules). Call it at start, before
// any address is set. It takes up to Options.Timeout where the kernel has no
// nf_tables. On an error Baton works all the same, but a takeover then resets
// the connections that were open.
func (m *Manager) ProbeRelay() (RelaySupport, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	probe := Relay{ // addresses for documentation (RFC 5737): it matches nothing
		Name:      "probe",
		VIPs:      []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1})},
		Interface: "lo",
		OldMaster: netip.AddrFrom4([4]byte{192, 0, 2, 2}),
		OldMAC:    net.HardwareAddr{2, 0, 0, 0, 0, 0},
	}
	if err := m.prepareRules(); err != nil {
		return RelaySupport{}, fmt.Errorf("probe linger: %w", err)
	}
	if err := m.installRelay(probe); err != nil {
		return RelaySupport{}, fmt.Errorf("probe relay: %w", err)
	}
	support := RelaySupport{Duplicate: m.variant.duplicate, SeesIPVS: m.variant.seesIPVS}
	if err := m.removeRelay(probe.Name); err != nil {
		return support, fmt.Errorf("remove relay probe: %w", err)
	}
	return support, nil
}

// InstallRelay puts r in force, in place of any other relay of that name, in
// one transaction: at no instant do half of its rules stand.
func (m *Manager) InstallRelay(r Relay) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := r.check(); err != nil {
		return fmt.Errorf("install relay %q: %w", r.Name, err)
	}
	if err := m.installRelay(r); err != nil {
		return fmt.Errorf("install relay %q to %s on %s: %w", r.Name, r.OldMaster, r.Interface, err)
	}
	return nil
}

// RemoveRelay removes the relay of that name; there being none is fine.
func (m *Manager) RemoveRelay(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.removeRelay(name); err != nil {
		return fmt.Errorf("remove relay %q: %w", name, err)
	}
	return nil
}

func (r Relay) check() error {
	if r.Name == "" {
		return errors.New("it has no name")
	}
	if len(r.VIPs) == 0 {
		return errors.New("it has no virtual address")
	}
	for _, a := range append([]netip.Addr{r.OldMaster}, r.VIPs...) {
		if !a.Is4() {
			return fmt.Errorf("address %s: only ipv4 can be relayed", a)
		}
	}
	if slices.Contains(r.VIPs, r.OldMaster) {
		return fmt.Errorf("the old master's address %s is a virtual one", r.OldMaster)
	}
	if len(r.OldMAC) != 6 {
		return fmt.Errorf("hardware address %q of the old master: must have 6 bytes", r.OldMAC)
	}
	return nil
}

// installRelay tries the means in the order of preference, the one that worked
// before first.
func (m *Manager) installRelay(r Relay) error {
	link, err := m.link(r.Interface)
	if err != nil {
		return err
	}
	variants := relayVariants
	if m.variant != nil {
		variants = append([]relayVariant{*m.variant}, relayVariants...)
	}
	for _, v := range variants {
		err = m.installVariant(r, link, v)
		if err == nil {
			m.variant = &v
			return nil
		}
		// ENOENT: an expression is missing.
		if !errors.Is(err, unix.ENOENT) && !unsupported(err) {
			break
		}
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w; or load module nft_dup_ipv4, or nft_compat and xt_TEE", err)
	}
	return err
}

func (m *Manager) installVariant(r Relay, link netlink.Link, v relayVariant) error {
	if v.copy != nil {
		rules := relayRules{Relay: r, index: uint32(link.Attrs().Index)}
		if err := m.transact(func(c *nftables.Conn) { rules.replace(c, v) }); err != nil {
			return nftError(err)
		}
		return nil
	}
	f, err := startForwarder(r, link)
	if err != nil {
		return err
	}
	// The old one ends after the new one has begun: a segment too many is
	// harmless, one too few costs a repetition.
	if old := m.forwarders[r.Name]; old != nil {
		old.stop()
		if !slices.Equal(old.relay.VIPs, r.VIPs) || !slices.Equal(old.relay.Ports, r.Ports) {
			err = m.silence(old.relay, false)
		}
	}
	m.forwarders[r.Name] = f
	if err = errors.Join(err, m.silence(r, true)); err != nil {
		return errors.Join(err, m.removeRelay(r.Name))
	}
	return nil
}

// removeRelay removes what installRelay made, by whichever means.
func (m *Manager) removeRelay(name string) error {
	if f := m.forwarders[name]; f != nil {
		f.stop()
		delete(m.forwarders, name)
		return m.silence(f.relay, false)
	}
	return m.removeTables(tableName(relayPrefix, name))
}

// removeTables removes tables of IPv4. Adding each first makes removing one
// that is not there succeed.
func (m *Manager) removeTables(names ...string) error {
	err := m.transact(func(c *nftables.Conn) {
		for _, name := range names {
			t := &nftables.Table{Name: name, Family: nftables.TableFamilyIPv4}
			c.AddTable(t)
			c.DelTable(t)
		}
	})
	if unsupported(err) {
		return nil // where no table can be there is none
	}
	return nftError(err)
}

// relayTables lists the tables of relays, whichever run made them.
func (m *Manager) relayTables() ([]string, error) {
	c, err := m.nft()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if unsupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, nftError(err)
	}
	var names []string
	for _, t := range tables {
		if strings.HasPrefix(t.Name, relayPrefix) {
			names = append(names, t.Name)
		}
	}
	return names, nil
}

// transact sends what build adds as one nftables transaction.
func (m *Manager) transact(build func(*nftables.Conn)) error {
	c, err := m.nft()
	if err != nil {
		return err
	}
	build(c)
	return c.Flush()
}

// nft has a deadline: a kernel without nf_tables acknowledges one message of
// a batch only, and the library waits for each.
func (m *Manager) nft() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *mdnetlink.Conn) error {
		return c.SetDeadline(time.Now().Add(m.opts.Timeout))
	}))
}

// unsupported: the kernel has no nf_tables, or not even its netlink family.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT)
}

func nftError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("change nftables: %w%s", err, hint(err))
}

// tableName makes a name that nft(8) can read out of any name, and different
// ones of different names.
func tableName(prefix, name string) string {
	const longest = 64
	clean := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-':
			return r
		}
		return '.'
	}, name)
	if clean == name && len(clean) <= longest {
		return prefix + clean
	}
	if len(clean) > longest {
		clean = clean[:longest]
	}
	return fmt.Sprintf("%s%s.%08x", prefix, clean, crc32.ChecksumIEEE([]byte(name)))
}
