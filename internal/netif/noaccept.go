package netif

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// noAcceptPrefix begins the name of the nftables tables that NoAccept makes.
const noAcceptPrefix = "baton-noaccept-"

// noAcceptPriority is after a relay, which is after IPVS.
const noAcceptPriority = relayPriority + 1

// nftFamilies are those that a table may be of.
var nftFamilies = []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6}

// InstallNoAccept drops what is for one of the addresses and is not taken by
// IPVS before, as a master that is no owner does with accept mode off
// (RFC 9568 §6.1), in place of what stands under that name. What IPVS delivers
// to a server on this host passes, where the kernel has xt_ipvs; and so does
// IPv6 neighbour discovery, without which nobody would find the addresses.
//
// As nft(8) prints it:
//
//	table ip6 baton-noaccept-VI_1 {
//	    chain input {
//	        type filter hook input priority 111; policy accept;
//	        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
//	        xt match "ipvs" accept
//	        ip6 daddr 2001:db8::200 drop
//	    }
//	}
func (m *Manager) InstallNoAccept(name string, vips []netip.Addr) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	install := func(seesIPVS bool) error {
		return m.transact(func(c *nftables.Conn) {
			for _, f := range nftFamilies {
				addNoAccept(c, f, name, vips, seesIPVS)
			}
		})
	}
	err := install(true)
	if errors.Is(err, unix.ENOENT) || unsupported(err) {
		err = install(false)
	}
	if err != nil {
		return fmt.Errorf("install no_accept of %q: %w", name, nftError(err))
	}
	return nil
}

func addNoAccept(c *nftables.Conn, f nftables.TableFamily, name string, vips []netip.Addr, seesIPVS bool) {
	t := &nftables.Table{Name: tableName(noAcceptPrefix, name), Family: f}
	c.AddTable(t)
	c.DelTable(t)
	var own []netip.Addr
	for _, v := range vips {
		if v.Is6() == (f == nftables.TableFamilyIPv6) {
			own = append(own, v)
		}
	}
	if len(own) == 0 {
		return
	}
	c.AddTable(t)
	accept := nftables.ChainPolicyAccept
	input := c.AddChain(&nftables.Chain{
		Name: "input", Table: t, Type: nftables.ChainTypeFilter, Policy: &accept,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRef(noAcceptPriority),
	})
	rule := func(verdict expr.VerdictKind, exprs []expr.Any) {
		c.AddRule(&nftables.Rule{Table: t, Chain: input, Exprs: append(exprs, &expr.Verdict{Kind: verdict})})
	}
	if f == nftables.TableFamilyIPv6 {
		for _, kind := range []byte{135, 136} { // RFC 4861 §4.3, §4.4
			rule(expr.VerdictAccept, icmp6Type(kind))
		}
	}
	if seesIPVS {
		rule(expr.VerdictAccept, knownToIPVS())
	}
	for _, v := range own {
		if v.Is4() {
			rule(expr.VerdictDrop, destination(v))
		} else {
			rule(expr.VerdictDrop, destination6Addr(v))
		}
	}
}

func icmp6Type(kind byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		equal([]byte{unix.IPPROTO_ICMPV6}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		equal([]byte{kind}),
	}
}

func destination6Addr(a netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16},
		equal(a.AsSlice()),
	}
}

// RemoveNoAccept removes what InstallNoAccept made under the name; there being
// nothing is fine.
func (m *Manager) RemoveNoAccept(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.transact(func(c *nftables.Conn) {
		for _, f := range nftFamilies {
			t := &nftables.Table{Name: tableName(noAcceptPrefix, name), Family: f}
			c.AddTable(t)
			c.DelTable(t)
		}
	})
	if err != nil && !unsupported(err) {
		return fmt.Errorf("remove no_accept of %q: %w", name, nftError(err))
	}
	return nil
}

// cleanNoAccept removes what an earlier run left.
func (m *Manager) cleanNoAccept() ([]string, error) {
	c, err := m.nft()
	if err != nil {
		return nil, err
	}
	var doomed []*nftables.Table
	for _, f := range nftFamilies {
		tables, err := c.ListTablesOfFamily(f)
		if unsupported(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("clean left-over no_accept: %w", nftError(err))
		}
		for _, t := range tables {
			if strings.HasPrefix(t.Name, noAcceptPrefix) {
				doomed = append(doomed, t)
			}
		}
	}
	if len(doomed) == 0 {
		return nil, nil
	}
	if err := m.transact(func(c *nftables.Conn) {
		for _, t := range doomed {
			c.DelTable(t)
		}
	}); err != nil {
		return nil, fmt.Errorf("clean left-over no_accept: %w", nftError(err))
	}
	var names []string
	for _, t := range doomed {
		names = append(names, t.Name)
	}
	slices.Sort(names) // one of a name in each family
	return tablesNamed(slices.Compact(names)...), nil
}
