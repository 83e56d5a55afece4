package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// acceptTunnels makes the node of the calling thread's namespace take what any
// director sends it in IP-in-IP, and in GUE and GRE where the kernel has these.
func (n node) acceptTunnels() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	// It was there before the node's own default was set.
	if err := writeSysctl("ipv4/conf/"+tunnelDevice+"/rp_filter", "0"); err != nil {
		return err
	}
	if _, err := h.LinkByName(greDevice); err == nil {
		if err := setUp(h, greDevice); err != nil {
			return err
		}
		if err := writeSysctl("ipv4/conf/"+greDevice+"/rp_filter", "0"); err != nil {
			return err
		}
	}
	gue := netlink.Fou{Family: netlink.FAMILY_V4, Port: GUEPort, Protocol: unix.IPPROTO_IPIP, EncapType: netlink.FOU_ENCAP_GUE}
	// ENOENT: the kernel has no module fou.
	if err := h.FouAdd(gue); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("accept GUE on port %d: %w", GUEPort, err)
	}
	return nil
}

// greDevice is the interface that takes GRE packets of any sender.
const greDevice = "gre0"
