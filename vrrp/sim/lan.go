package sim

import (
	"container/heap"
	"time"

	"baton/vrrp"
)

const (
	// socketBuffer is how many adverts wait in a socket: the default receive
	// buffer of Linux, 208 KiB, holds that many small packets.
	socketBuffer = 256
	// maxMessage bounds a simulated advert.
	maxMessage = 64
)

// packet is one copy of an advert, on its way or in a socket.
type packet struct {
	meta vrrp.Meta
	lan  int
	to   int
	n    int
	data [maxMessage]byte
}

// flying is a packet that arrives at a time; seq keeps the order of those that
// arrive at the same.
type flying struct {
	at  time.Duration
	seq uint64
	p   *packet
}

type flight []flying

func (f flight) Len() int      { return len(f) }
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f flight) Less(i, j int) bool {
	return f[i].at < f[j].at || f[i].at == f[j].at && f[i].seq < f[j].seq
}
func (f *flight) Push(x any) { *f = append(*f, x.(flying)) }
func (f *flight) Pop() any {
	old := *f
	last := old[len(old)-1]
	*f = old[:len(old)-1]
	return last
}

// push is heap.Push without the allocation of an interface.
func (f *flight) push(x flying) {
	*f = append(*f, x)
	if len(*f) > 1 {
		heap.Fix(f, len(*f)-1)
	}
}

func (f *flight) pop() flying {
	old := *f
	first, last := old[0], len(old)-1
	old[0], old[last] = old[last], flying{}
	*f = old[:last]
	if last > 1 {
		heap.Fix(f, 0)
	}
	return first
}

// lan is one network: what it does to packets now.
type lan struct {
	loss      [maxDirectors][maxDirectors]float64 // from, to
	duplicate float64
	extra     time.Duration // delay at most
	group     [maxDirectors]int
}

// send puts a message of from on the LAN at the time of the sender.
func (w *world) send(from *node, on int, message []byte, d vrrp.Delivery) {
	l := &w.lans[on]
	meta := vrrp.Meta{Source: d.Source, Destination: d.Destination, TTL: d.TTL}
	for _, to := range w.nodes {
		if to == from {
			continue
		}
		if loss := l.loss[from.id][to.id]; loss > 0 && (loss >= 1 || w.dice.Float64() < loss) {
			w.lost(from, to, on, loss)
			continue
		}
		copies := 1
		if l.duplicate > 0 && w.dice.Float64() < l.duplicate {
			copies = 2
		}
		for range copies {
			p := w.packet()
			p.meta, p.lan, p.to = meta, on, to.id
			p.n = copy(p.data[:], message)
			w.seq++
			w.flight.push(flying{w.now + from.lag + w.delay(l), w.seq, p})
		}
	}
}

func (w *world) delay(l *lan) time.Duration {
	d := w.s.Network.Delay
	if most := w.s.Network.Jitter + l.extra; most > 0 {
		d += time.Duration(w.dice.Int64N(int64(most) + 1))
	}
	return d
}

// lost is told of a packet that chance, not a partition, has taken.
func (w *world) lost(from, to *node, on int, loss float64) {
	w.stats.Lost++
	if loss < 1 {
		w.disturb()
		w.tell(from, on, "packet to %s is lost", nodeName(to.id))
	}
}

func (w *world) packet() *packet {
	if last := len(w.free) - 1; last >= 0 {
		p := w.free[last]
		w.free = w.free[:last]
		return p
	}
	return new(packet)
}

// arrive puts the next packet into its receiver's socket.
func (w *world) arrive() {
	p := w.flight.pop().p
	n := w.nodes[p.to]
	in := &n.inst[p.lan]
	if !in.open || !in.carrier() || n.asleep > 0 || len(in.inbox)-in.read >= socketBuffer {
		w.free = append(w.free, p)
		return
	}
	in.inbox = append(in.inbox, p)
	w.stats.Delivered++
	if n.stalled == 0 {
		n.wake = min(n.wake, max(w.now+w.late(), n.free))
	}
}

// late is how long a process waits for its processor.
func (w *world) late() time.Duration {
	if w.s.Network.Late == 0 {
		return 0
	}
	return time.Duration(w.dice.Int64N(int64(w.s.Network.Late) + 1))
}
