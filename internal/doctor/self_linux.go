package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"baton/internal/announce"
	"baton/internal/netif"
)

const (
	selfAsks  = 4                      // the first may come before the cable carries anything
	selfEvery = 100 * time.Millisecond // between them
)

// askItself asks this host, as somebody on an interface would, who has the
// addresses, and returns those that it answers for. No host hears its own
// questions, so they come by a cable of their own, whose other end is in a network
// namespace that nobody else is in. The near end has the interface's parameters of
// ARP and no address. Both are gone when askItself returns. Over IPv6 there is
// nothing to ask: a host answers for the addresses of the asked interface only.
func askItself(ctx context.Context, iface string, vips []netip.Addr) ([]netip.Addr, error) {
	vips = slices.DeleteFunc(slices.Clone(vips), netip.Addr.Is6)
	if len(vips) == 0 {
		return nil, fmt.Errorf("ask as on %s: there is no IPv4 address", iface)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route netlink socket: %w", err)
	}
	defer h.Close()
	type answer struct {
		vips []netip.Addr
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and its namespace with it
		out, err := askThrough(ctx, h, iface, vips)
		done <- answer{out, err}
	}()
	a := <-done
	if a.err != nil {
		return nil, fmt.Errorf("ask as on %s: %w", iface, a.err)
	}
	return a.vips, nil
}

// askThrough leaves the thread in the other namespace. h is of the host's.
func askThrough(ctx context.Context, h *netlink.Handle, iface string, vips []netip.Addr) ([]netip.Addr, error) {
	params := map[string]string{}
	for _, p := range []string{"arp_ignore", "arp_announce", "arp_filter"} {
		v, err := netif.ReadSysctl(conf4(iface, p))
		if err != nil {
			return nil, err
		}
		params[p] = v
	}
	near := "batonask" + strconv.Itoa(os.Getpid()%1000000)
	if err := lay(h, near, params); err != nil {
		return nil, err
	}
	defer func() {
		if l, err := h.LinkByName(near); err == nil {
			_ = h.LinkDel(l) // else it goes with the namespace
		}
	}()
	away, err := netns.New() // and into it
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	defer away.Close()
	far, err := h.LinkByName(near + "x")
	if err == nil {
		err = h.LinkSetNsFd(far, int(away))
	}
	if err != nil {
		return nil, fmt.Errorf("lay cable: %w", err)
	}
	there, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route netlink socket: %w", err)
	}
	defer there.Close()
	if err := there.LinkSetUp(far); err != nil {
		return nil, fmt.Errorf("set cable up: %w", err)
	}
	return question(ctx, near+"x", vips)
}

// lay makes the cable and sets its near end up, as silent as the interface is.
func lay(h *netlink.Handle, near string, params map[string]string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = near
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: near + "x"}); err != nil {
		return fmt.Errorf("lay cable: %w", err)
	}
	l, err := h.LinkByName(near)
	if err != nil {
		return fmt.Errorf("lay cable: %w", err)
	}
	for p, v := range params {
		if err == nil {
			err = netif.WriteSysctl(conf4(near, p), v)
		}
	}
	_ = netif.WriteSysctl("net/ipv6/conf/"+near+"/disable_ipv6", "1") // where there is IPv6 at all
	if err == nil {
		err = h.LinkSetUp(l)
	}
	if err != nil {
		_ = h.LinkDel(l)
	}
	return err
}

// question asks on an interface of the thread's namespace.
func question(ctx context.Context, iface string, vips []netip.Addr) ([]netip.Addr, error) {
	heard := make(chan netip.Addr, 64)
	w, err := announce.WatchAll(iface, func(net.HardwareAddr) bool { return false }, func(c announce.Conflict) {
		select {
		case heard <- c.VIP:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Set(vips); err != nil {
		return nil, err
	}
	a, err := announce.New(iface)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	var out []netip.Addr
	for range selfAsks {
		for _, v := range vips {
			if slices.Contains(out, v) {
				continue
			}
			if err := a.Ask(v, netip.Addr{}); err != nil {
				return nil, err
			}
		}
		next := time.After(selfEvery)
		for waiting := true; waiting; {
			select {
			case v := <-heard:
				if !slices.Contains(out, v) {
					out = append(out, v)
				}
			case <-next:
				waiting = false
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if len(out) == len(vips) {
			break
		}
	}
	return out, nil
}
