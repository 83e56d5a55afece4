package netif

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// relayPriority is after IPVS, which takes what it knows off the input hook at
// NF_IP_PRI_NAT_SRC-2 and -1 (net/netfilter/ipvs/ip_vs_core.c), and after
// NF_IP_PRI_NAT_SRC, 100, itself.
const relayPriority = 110

// relayVariant is one way to write the rules.
type relayVariant struct {
	duplicate string                        // what copies the packet
	seesIPVS  bool                          // xt_ipvs is asked
	copy      func(r relayRules) []expr.Any // nil: in user space
}

// relayVariants are all ways, the best first.
var relayVariants = []relayVariant{
	{"nft_dup_ipv4", true, nftDup},
	{"xt_TEE", true, xtTEE},
	{"nft_dup_ipv4", false, nftDup},
	{"xt_TEE", false, xtTEE},
	{"user space", false, nil},
}

// relayRules writes a relay as one nftables table. As nft(8) prints it:
//
//	table ip baton-relay-VI_1 {
//	    chain relay {
//	        dup to 192.168.16.102 device "eth0" drop
//	    }
//	    chain vip {
//	        tcp dport 80 goto relay
//	    }
//	    chain input {
//	        type filter hook input priority 110; policy accept;
//	        meta l4proto != tcp accept
//	        tcp flags & syn == syn accept
//	        meta iiftype ether ether saddr 02:00:00:00:01:02 accept
//	        xt match "ipvs" accept
//	        ip daddr 192.168.16.200 goto vip
//	    }
//	}
type relayRules struct {
	Relay
	index uint32 // of Interface
}

func (r relayRules) replace(c *nftables.Conn, v relayVariant) {
	t := &nftables.Table{Name: tableName(relayPrefix, r.Name), Family: nftables.TableFamilyIPv4}
	c.AddTable(t)
	c.DelTable(t)
	c.AddTable(t)
	relay := c.AddChain(&nftables.Chain{Name: "relay", Table: t})
	vip := c.AddChain(&nftables.Chain{Name: "vip", Table: t})
	accept := nftables.ChainPolicyAccept
	input := c.AddChain(&nftables.Chain{
		Name: "input", Table: t, Type: nftables.ChainTypeFilter, Policy: &accept,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRef(relayPriority),
	})
	rule := func(chain *nftables.Chain, parts ...[]expr.Any) {
		var exprs []expr.Any
		for _, p := range parts {
			exprs = append(exprs, p...)
		}
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: exprs})
	}
	verdict := func(kind expr.VerdictKind, chain string) []expr.Any {
		return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
	}

	rule(relay, v.copy(r), verdict(expr.VerdictDrop, ""))
	for _, p := range r.Ports {
		rule(vip, tcpPort(p), verdict(expr.VerdictGoto, relay.Name))
	}
	if len(r.Ports) == 0 {
		rule(vip, verdict(expr.VerdictGoto, relay.Name))
	}
	rule(input, notTCP(), verdict(expr.VerdictAccept, ""))
	rule(input, tcpSYN(), verdict(expr.VerdictAccept, ""))
	rule(input, fromMAC(r.OldMAC), verdict(expr.VerdictAccept, ""))
	if v.seesIPVS {
		rule(input, knownToIPVS(), verdict(expr.VerdictAccept, ""))
	}
	for _, a := range r.VIPs {
		rule(input, destination(a), verdict(expr.VerdictGoto, vip.Name))
	}
}

func equal(b []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: b} }

func notTCP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
	}
}

// tcpSYN matches what opens a connection (RFC 9293 §3.1: byte 13, bit 2).
func tcpSYN() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x02}, Xor: []byte{0}},
		equal([]byte{0x02}),
	}
}

func tcpPort(p uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equal(binary.BigEndian.AppendUint16(nil, p)),
	}
}

// fromMAC matches the sender's hardware address; a packet that came in through
// something other than Ethernet does not match.
func fromMAC(mac []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1},
		equal(binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER)),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		equal(mac),
	}
}

func destination(a netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		equal(a.AsSlice()),
	}
}

// knownToIPVS matches packets of IPVS connections whose server is this host:
// they pass the input hook as any other.
func knownToIPVS() []expr.Any {
	// struct xt_ipvs_mtinfo, linux/netfilter/xt_ipvs.h.
	const ipvsProperty = 1 << 0
	info := make(xt.Unknown, 40)
	info[39] = ipvsProperty // bitmask; invert, before it, stays 0
	return []expr.Any{&expr.Match{Name: "ipvs", Rev: 0, Info: &info}}
}

func nftDup(r relayRules) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: r.OldMaster.AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.NativeEndian.AppendUint32(nil, r.index)},
		&expr.Dup{RegAddr: 1, RegDev: 2, IsRegDevSet: true},
	}
}

// xtTEE is the same with the older module, for kernels built without the
// nftables expression.
func xtTEE(r relayRules) []expr.Any {
	// struct xt_tee_tginfo, linux/netfilter/xt_TEE.h: the gateway in a union of
	// 16 bytes, the interface's name, a pointer of the kernel's own.
	info := make(xt.Unknown, 40)
	copy(info, r.OldMaster.AsSlice())
	copy(info[16:31], r.Interface)
	return []expr.Any{&expr.Target{Name: "TEE", Rev: 1, Info: &info}}
}
