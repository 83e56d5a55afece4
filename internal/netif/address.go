package netif

import (
	"context"
	"net/netip"
)

// Addr is an address as it shall stand on an interface.
type Addr struct {
	// Prefix is the address with the length of its network: 192.168.16.200/24.
	// Within the network of the interface's own address it becomes a secondary
	// address; with /32 it stands alone.
	Prefix netip.Prefix
	// Label is an IPv4 interface label ("eth0:vip"); at most 15 bytes,
	// beginning with the interface's name. Empty: the interface's name.
	Label string
	// Scope is global, site, link, host, nowhere or a number 0…255; empty
	// means global.
	Scope string
}

// Change tells what SetAddresses did and found.
type Change struct {
	Added   []netip.Prefix // were missing
	Removed []netip.Prefix // were ours and not wanted any more
	Foreign []netip.Prefix // are wanted and there, but somebody else's: never removed
}

// SetAddresses makes the addresses of iface what desired says: it adds what is
// missing and removes what is tagged as ours and not desired. An address that
// is there without our tag is never removed.
//
// owned limits the removal to these prefixes, so that one virtual router of
// several on an interface can be set without knowing the others; nil stands
// for every tagged address of the interface.
//
// Addresses appear before others disappear. If iface does not exist and
// nothing is desired, there is nothing to do and no error. On an error Change
// tells what was done before it.
func (m *Manager) SetAddresses(ctx context.Context, iface string, desired []Addr, owned []netip.Prefix) (Change, error) {
	return Change{}, nil
}

// OwnedAddresses lists the addresses on iface that an earlier run or this one
// put there. An interface that does not exist has none.
func (m *Manager) OwnedAddresses(iface string) ([]netip.Prefix, error) {
	return nil, nil
}
