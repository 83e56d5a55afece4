package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"baton/internal/announce"
	"baton/vrrp"
)

const (
	rounds = 3                    // of questions for each address
	pace   = 2 * time.Millisecond // between two questions
	maxAsk = 1024                 // addresses of an interface that are asked for
)

// ear listens on one interface.
type ear struct {
	iface string
	own   netip.Addr // IPv6, to ask from
	vips  []netip.Addr
	*listener

	claims []Claim
}

// listen listens for a time and asks for the addresses meanwhile.
func (e *ear) listen(ctx context.Context, d time.Duration, failed func(Failure)) Segment {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	ifi, err := net.InterfaceByName(e.iface)
	if err != nil {
		return Segment{Failed: err.Error()}
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	for proto, prog := range advertFilters() {
		// Of one protocol each: what this host sends itself is not handed over.
		c, err := packet.Listen(ifi, packet.Raw, int(proto), &packet.Config{Filter: prog})
		if err != nil {
			return Segment{Failed: fmt.Sprintf("open packet socket: %v", err)}
		}
		wait.Go(func() { <-ctx.Done(); c.Close() })
		wait.Go(func() { e.frames(c) })
	}
	for _, at := range endpoints(e.instances) {
		c, err := vrrp.Listen(at)
		if err != nil {
			failed(Failure{ID: "wire.delivery", What: err.Error(), Mend: "sudo baton doctor"})
			continue
		}
		wait.Go(func() { <-ctx.Done(); c.Close() })
		wait.Go(func() { e.packets(c) })
	}
	if err := e.ask(ctx, ifi.HardwareAddr, d); err != nil {
		return Segment{Failed: err.Error()}
	}
	<-ctx.Done()
	cancel()
	wait.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return Segment{Listened: d, Routers: e.heard, Claims: e.claims}
}

// endpoints are where the instances listen.
func endpoints(instances []*vrrp.Config) []vrrp.Endpoint {
	var out []vrrp.Endpoint
	for _, i := range instances {
		if at := i.Endpoint(); !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// frames takes down adverts below the firewall.
func (e *ear) frames(c *packet.Conn) {
	buf := make([]byte, 1<<11)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if message, meta, mac, ok := parseFrame(buf[:n]); ok {
			e.message(message, meta, slices.Clone(mac))
		}
	}
}

// packets takes down adverts above the firewall.
func (e *ear) packets(c vrrp.Conn) {
	buf := make([]byte, vrrp.MaxPacket)
	for {
		message, meta, err := c.Receive(buf)
		switch {
		case err == nil:
			e.delivered(message, meta)
		case !errors.Is(err, vrrp.ErrEmpty):
			return
		default:
			if c.Wait() != nil {
				return
			}
		}
	}
}

// ask asks who has the addresses, three times in the time that there is.
func (e *ear) ask(ctx context.Context, mac net.HardwareAddr, d time.Duration) error {
	if len(e.vips) == 0 || len(mac) != 6 {
		return nil
	}
	ours := func(m net.HardwareAddr) bool { return string(m) == string(mac) }
	w, err := announce.WatchAll(e.iface, ours, e.claim)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Set(e.vips); err != nil {
		return err
	}
	a, err := announce.New(e.iface)
	if err != nil {
		return err
	}
	defer a.Close()
	for range rounds {
		round := time.After(d / (rounds + 1))
		for _, v := range e.vips {
			if v.Is6() && !e.own.IsValid() {
				continue
			}
			if err := a.Ask(v, e.own); err != nil {
				return err
			}
			if !sleep(ctx, time.After(pace)) {
				return nil
			}
		}
		if !sleep(ctx, round) {
			return nil
		}
	}
	return nil
}

func sleep(ctx context.Context, until <-chan time.Time) bool {
	select {
	case <-until:
		return true
	case <-ctx.Done():
		return false
	}
}

func (e *ear) claim(c announce.Conflict) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := (Claim{c.VIP, c.MAC.String()}); len(e.claims) < maxAsk*2 && !slices.Contains(e.claims, n) {
		e.claims = append(e.claims, n)
	}
}

// advertFilters let frames with IP protocol 112 up, by the frame's own protocol.
func advertFilters() map[uint16][]bpf.RawInstruction {
	out := map[uint16][]bpf.RawInstruction{}
	for proto, at := range map[uint16]uint32{unix.ETH_P_IP: 14 + 9, unix.ETH_P_IPV6: 14 + 6} {
		prog, err := bpf.Assemble([]bpf.Instruction{
			bpf.LoadAbsolute{Off: at, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: vrrp.Protocol, SkipFalse: 1},
			bpf.RetConstant{Val: 1 << 16},
			bpf.RetConstant{Val: 0},
		})
		if err != nil {
			panic(err) // a constant program
		}
		out[proto] = prog
	}
	return out
}
