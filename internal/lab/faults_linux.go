package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"
)

// Isolate makes the switch pass nothing between the two directors, or pass it
// again. Both reach everybody else.
func (l *Lab) Isolate(on bool) error {
	for _, node := range []string{LVSA, LVSB} {
		if err := l.setPortFlag(node, "isolated", on); err != nil {
			return err
		}
	}
	return nil
}

// Deafen makes the switch pass no multicast to a node, or pass it again. What
// the node sends reaches everybody.
func (l *Lab) Deafen(node string, on bool) error { return l.setPortFlag(node, "multicast_flood", !on) }

// setPortFlag writes a bridge port's setting: /sys/class/net/PORT/brport/FLAG.
func (l *Lab) setPortFlag(node, flag string, on bool) error {
	value := map[bool]string{true: "1", false: "0"}[on]
	return inNamespace(l.Namespace(SwitchNode), func() error {
		if err := mountSys(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join("/sys/class/net", node, "brport", flag), []byte(value), 0); err != nil {
			return fmt.Errorf("set port of %s: %w", node, err)
		}
		return nil
	})
}

// Neighbour is the hardware address to which a node sends what is for an
// address on its LAN, nil if it knows none.
func (l *Lab) Neighbour(node string, address netip.Addr) (net.HardwareAddr, error) {
	var found net.HardwareAddr
	err := withHandle(l.Namespace(node), func(h *netlink.Handle) error {
		link, err := h.LinkByName(LANInterface)
		if err != nil {
			return fmt.Errorf("find link %s: %w", LANInterface, err)
		}
		neighbours, err := h.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("list neighbours of %s: %w", node, err)
		}
		for _, n := range neighbours {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == address {
				found = n.HardwareAddr
			}
		}
		return nil
	})
	return found, err
}

// SignalFamily sends a signal to every process of a director.
func (l *Lab) SignalFamily(node string, sig syscall.Signal) error {
	p, ok := l.process(node)
	if !ok || !p.alive() {
		return fmt.Errorf("signal director %s: it is not running", node)
	}
	members, err := p.family()
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := syscall.Kill(m.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal process %d of %s: %w", m.pid, node, err)
		}
	}
	return nil
}

// Unlink deletes a node's interfaces with their cables; Relink lays new ones,
// with the node's addresses.
func (l *Lab) Unlink(node string) error {
	n, err := l.opts.Topology.node(node)
	if err != nil {
		return err
	}
	for _, leg := range n.legs {
		if far := n.far(leg); far.node != "" {
			if err := l.atPort(far, "delete", (*netlink.Handle).LinkDel); err != nil {
				return err
			}
		}
	}
	return nil
}

// Relink undoes Unlink.
func (l *Lab) Relink(node string) error {
	n, err := l.opts.Topology.node(node)
	if err != nil {
		return err
	}
	if err := l.connect(n); err != nil {
		return fmt.Errorf("connect %s: %w", node, err)
	}
	return l.configure(n)
}

// Destroy takes a director's node away at once, as a power cut does: its link,
// its processes, its kernel's state.
func (l *Lab) Destroy(ctx context.Context, node string) error {
	if err := l.Unlink(node); err != nil {
		return err
	}
	if err := l.KillDirector(ctx, node); err != nil {
		return err
	}
	if err := emptyNamespace(ctx, l.Namespace(node), l.opts.Patience); err != nil {
		return err
	}
	return deleteNamespace(l.Namespace(node))
}

// Rebuild makes a node that was destroyed anew, without a director running.
func (l *Lab) Rebuild(node string) error {
	n, err := l.opts.Topology.node(node)
	if err != nil {
		return err
	}
	if err := l.createNode(n); err != nil {
		return err
	}
	return l.Relink(node)
}
