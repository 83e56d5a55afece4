package sim

import (
	"math/rand/v2"
	"time"

	"baton/vrrp"
)

// Size is how much a random scenario holds.
type Size uint8

const (
	Small Size = iota // some hundred adverts and some ten faults, for go test
	Large             // days with mostly peace in them
)

// Random makes the scenario of a seed. It is the same for ever, as long as
// this function is.
func Random(seed uint64, size Size) *Scenario {
	r := &random{rand.New(rand.NewPCG(seed, 1))}
	s := &Scenario{Seed: seed, LANs: 1}
	if r.one(4) {
		s.LANs = 2
	}
	s.Group = s.LANs == 2 && r.one(2)
	version := vrrp.V3
	if r.one(4) {
		version = vrrp.V2
	}
	interval := r.interval(version)
	nodes := 2
	if r.one(4) {
		nodes = 3 + r.IntN(2)
	}
	for i := range nodes {
		s.Directors = append(s.Directors, Director{Config: r.config(version, interval), Start: r.upTo(2 * interval)})
		if i > 0 && s.Directors[i].Config.Priority == vrrp.PriorityOwner {
			s.Directors[i].Config.Priority = 254 // there is one owner at most
		}
	}
	s.Network = Network{Delay: interval / 1000, Jitter: r.upTo(interval / 50)}
	if r.one(3) {
		s.Network.Late = r.upTo(interval / 50)
	}
	if r.one(3) {
		s.Network.SetCost = r.upTo(interval / 50)
	}
	if r.one(5) {
		s.Network.Loss = 0.001
	}
	if r.one(5) {
		s.Network.Duplicate = 0.05
	}
	quiet, length := 100*interval, 600*interval
	if size == Large {
		quiet = 2000 * interval
		length = largeLength(interval)
	}
	s.Length = length
	for at := r.upTo(10 * interval); ; {
		f := r.fault(s, interval)
		f.At = at
		if at+f.For > length-60*interval-10*time.Second {
			break
		}
		s.Faults = append(s.Faults, f)
		switch {
		case r.one(8):
			at += r.upTo(quiet)
		case r.one(3):
			at += r.upTo(interval / 2)
		default:
			at += r.upTo(8 * interval)
		}
	}
	return s
}

// largeLength is the length of a large scenario: fast adverts for a shorter
// time.
func largeLength(interval time.Duration) time.Duration {
	const day = 24 * time.Hour
	switch {
	case interval < 100*time.Millisecond:
		return 20 * time.Minute
	case interval < time.Second:
		return 4 * time.Hour
	case interval < 10*time.Second:
		return 2 * day
	}
	return 10 * day
}

type random struct{ *rand.Rand }

// one is true one time in n.
func (r *random) one(n int) bool { return r.IntN(n) == 0 }

func (r *random) upTo(d time.Duration) time.Duration {
	d = time.Duration(r.Int64N(int64(d) + 1))
	return d - d%(10*time.Microsecond) // transcripts want short times
}

func (r *random) pick(of ...int) int { return of[r.IntN(len(of))] }

func (r *random) interval(version vrrp.Version) time.Duration {
	if version == vrrp.V2 {
		return time.Duration(r.pick(1, 1, 1, 2, 5)) * time.Second
	}
	return time.Duration(r.pick(10, 100, 500, 1000, 1000, 1000, 1000, 2000, 5000, 10_000, 40_000)) * time.Millisecond
}

func (r *random) priority() int { return r.pick(1, 50, 100, 100, 101, 150, 200, 254) }

func (r *random) config(version vrrp.Version, interval time.Duration) vrrp.Config {
	c := Instance(uint8(r.priority()))
	c.Version, c.AdvertInterval = version, interval
	c.Preempt = !r.one(4)
	if r.one(3) {
		c.PreemptDelay = r.upTo(20 * interval)
	}
	if r.one(6) {
		c.StartupDelay = r.upTo(5 * interval)
	}
	if r.one(6) {
		// With 1 a backup of high priority takes over for the least delay.
		c.DownTimerAdverts = 2 + r.IntN(4)
	}
	if r.one(2) {
		c.Track = []vrrp.Track{{Kind: vrrp.TrackScript, Name: script, Weight: r.pick(0, -60, -10, 10, 60)}}
	}
	if r.one(10) {
		c.Priority = vrrp.PriorityOwner
	}
	if r.one(6) {
		c.Addresses = virtual(0, 2+r.IntN(3))
	}
	return c
}

// fault draws what happens next; its time is the caller's.
func (r *random) fault(s *Scenario, interval time.Duration) Fault {
	f := Fault{Kind: Kind(r.IntN(int(Start))), Node: r.IntN(len(s.Directors)), LAN: r.IntN(s.LANs)}
	lasts := []time.Duration{interval, 6 * interval, 40 * interval}[r.IntN(3)]
	switch f.Kind {
	case Failover, WallJump, Priority, Interval, Preempt, PreemptDelay, Addresses, Recreate:
	default:
		f.For = max(r.upTo(lasts), time.Millisecond)
	}
	switch f.Kind {
	case Loss:
		f.Value = r.pick(5, 30, 60, 100)
	case Duplicate:
		f.Value = r.pick(10, 50, 100)
	case Delay:
		f.Value = max(1, int(r.upTo(2*interval)/time.Millisecond))
	case Partition:
		f.Value = 1 << f.Node
	case OneWay:
		f.Value = (f.Node + 1) % len(s.Directors)
	case WallJump:
		f.Value = r.pick(-31_536_000, -3600, -1, 1, 3600, 31_536_000)
	case Priority:
		f.Value = r.priority()
	case Interval:
		f.Value = min(int(interval/time.Millisecond)*r.pick(1, 1, 2, 3), 40_950)
	case Preempt:
		f.Value = r.IntN(2)
	case PreemptDelay:
		f.Value = int(r.upTo(20*interval) / time.Millisecond)
	case Addresses:
		f.Value = 1 + r.IntN(4)
	}
	return f
}
