package netif

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Place is where an address stands.
type Place struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"`
	Ours      bool         `json:"ours,omitempty"` // it carries [Tag]
}

// Places returns where an address stands, whoever has put it there. h is of the
// caller, for it is not only a Manager's to ask.
func Places(h *netlink.Handle, addr netip.Addr) ([]Place, error) {
	all, err := h.AddrList(nil, family(addr))
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []Place
	for _, a := range all {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok || ip.Unmap() != addr {
			continue
		}
		bits, _ := a.Mask.Size()
		link, err := h.LinkByIndex(a.LinkIndex)
		if err != nil {
			continue // gone in between
		}
		out = append(out, Place{link.Attrs().Name, netip.PrefixFrom(addr, bits), a.Protocol == Tag})
	}
	return out, nil
}
