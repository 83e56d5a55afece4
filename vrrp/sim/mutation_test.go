package sim

import (
	"fmt"
	"testing"
	"time"

	"baton/vrrp"
)

// broken is an engine with a fault of its own.
type broken struct {
	*vrrp.Core
	next    func(time.Time, bool) (time.Time, bool)
	receive func(vrrp.Endpoint) bool
}

func (b broken) Next() (time.Time, bool) {
	at, ok := b.Core.Next()
	if b.next != nil {
		return b.next(at, ok)
	}
	return at, ok
}

func (b broken) Receive(at vrrp.Endpoint) bool {
	if b.receive != nil {
		return b.receive(at)
	}
	return b.Core.Receive(at)
}

// groupless is an engine without sync groups.
type groupless struct{ *vrrp.Core }

func (g groupless) Apply(cfgs []vrrp.Config, _ []vrrp.SyncGroup, past map[string]vrrp.Past) {
	g.Core.Apply(cfgs, nil, past)
}

// tap changes what passes through a socket.
type tap struct {
	vrrp.Conn
	send    func(message []byte, d vrrp.Delivery) error
	receive func(buf []byte) ([]byte, vrrp.Meta, error)
}

func (t tap) Send(m []byte, d vrrp.Delivery) error {
	if t.send != nil {
		return t.send(m, d)
	}
	return t.Conn.Send(m, d)
}

func (t tap) Receive(buf []byte) ([]byte, vrrp.Meta, error) {
	if t.receive != nil {
		return t.receive(buf)
	}
	return t.Conn.Receive(buf)
}

// tapped is an engine whose sockets are changed.
func tapped(change func(tap) tap) func(vrrp.EngineOptions) Engine {
	return func(o vrrp.EngineOptions) Engine {
		listen := o.Listen
		o.Listen = func(at vrrp.Endpoint) (vrrp.Conn, error) {
			conn, err := listen(at)
			if err != nil {
				return nil, err
			}
			return change(tap{Conn: conn}), nil
		}
		return vrrp.NewCore(o)
	}
}

type setter func(vrrp.Config, bool, vrrp.Handover) error

func (f setter) Set(c vrrp.Config, present bool, h vrrp.Handover) error { return f(c, present, h) }

// resum computes the checksum of a version 3 advert anew, without a
// pseudo-header, after its priority was changed.
func resum(message []byte, priority byte) {
	message[2], message[6], message[7] = priority, 0, 0
	sum := uint32(0)
	for i := 0; i+1 < len(message); i += 2 {
		sum += uint32(message[i])<<8 | uint32(message[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	message[6], message[7] = byte(^sum>>8), byte(^sum)
}

// TestInvariantsCatchBrokenEngines: each invariant is violated by an engine
// that breaks it, so none of them is true of everything.
func TestInvariantsCatchBrokenEngines(t *testing.T) {
	for _, c := range []struct {
		invariant, fault string
		engine           func(vrrp.EngineOptions) Engine
		scenario         *Scenario
	}{
		{"one master", "reads adverts and does not act on them", tapped(func(x tap) tap {
			x.receive = func(buf []byte) ([]byte, vrrp.Meta, error) {
				for {
					if m, meta, err := x.Conn.Receive(buf); err != nil {
						return m, meta, err
					}
				}
			}
			return x
		}), nil},
		{"no idle", "forgets its timer as backup", func(o vrrp.EngineOptions) Engine {
			b := broken{}
			b.Core = vrrp.NewCore(o)
			b.next = func(at time.Time, ok bool) (time.Time, bool) {
				return at, ok && b.Core.Status()[0].Role != vrrp.Backup
			}
			return &b
		}, nil},
		{"priority", "takes every priority for a higher one", tapped(func(x tap) tap {
			x.receive = func(buf []byte) ([]byte, vrrp.Meta, error) {
				m, meta, err := x.Conn.Receive(buf)
				if err == nil && m[2] > 0 {
					resum(m, 254)
				}
				return m, meta, err
			}
			return x
		}), pairOf(100, 150, Fault{At: 0, For: 10 * time.Second, Node: 1, Kind: Unready})},
		{"deadline", "forgets its timer as master", func(o vrrp.EngineOptions) Engine {
			b := broken{}
			b.Core = vrrp.NewCore(o)
			b.next = func(at time.Time, ok bool) (time.Time, bool) {
				if s := b.Core.Status(); len(s) > 0 && s[0].Role == vrrp.Master && !s[0].Handover && s[0].Sent > 20 {
					return time.Time{}, false
				}
				return at, ok
			}
			return &b
		}, nil},
		{"resignation", "resigns and goes on", tapped(func(x tap) tap {
			sent := 0
			x.send = func(m []byte, d vrrp.Delivery) error {
				if sent++; sent%20 == 0 {
					m = append([]byte(nil), m...)
					resum(m, 0)
				}
				return x.Conn.Send(m, d)
			}
			return x
		}), nil},
		{"silence", "advertises as backup", func(o vrrp.EngineOptions) Engine {
			var conn vrrp.Conn
			listen := o.Listen
			o.Listen = func(at vrrp.Endpoint) (vrrp.Conn, error) {
				var err error
				conn, err = listen(at)
				return conn, err
			}
			notify := o.Notify
			o.Notify = func(n vrrp.Notice) {
				notify(n)
				if n.Kind == vrrp.NoticePeerFound {
					m := vrrp.AppendAdvert(nil, vrrp.Advert{Version: vrrp.V3, VRID: 51, Priority: 100, Interval: time.Second}, address(1, 0), vrrp.Group, virtual(0, 1))
					_ = conn.Send(m, vrrp.Delivery{Source: address(1, 0), Destination: vrrp.Group, TTL: vrrp.TTL})
				}
			}
			return vrrp.NewCore(o)
		}, pairOf(150, 100)},
		{"silence", "announces addresses that it does not have", func(o vrrp.EngineOptions) Engine {
			announcer := o.Announcer
			set := o.Addresses
			o.Addresses = setter(func(c vrrp.Config, present bool, h vrrp.Handover) error {
				if present {
					return nil
				}
				return set.Set(c, present, h)
			})
			o.Announcer = announcer
			return vrrp.NewCore(o)
		}, nil},
		{"addresses", "keeps its addresses as backup", func(o vrrp.EngineOptions) Engine {
			set := o.Addresses
			o.Addresses = setter(func(c vrrp.Config, present bool, h vrrp.Handover) error {
				if !present && h.Successor.IsValid() {
					return nil
				}
				return set.Set(c, present, h)
			})
			return vrrp.NewCore(o)
		}, pairOf(150, 100, Fault{At: 10 * time.Second, Node: 0, Kind: Failover})},
		{"cause", "is impatient", func(o vrrp.EngineOptions) Engine {
			now := o.Now
			begun := now()
			o.Now = func() time.Time { return begun.Add(2 * now().Sub(begun)) } // its clock is twice as fast
			b := broken{}
			b.Core = vrrp.NewCore(o)
			b.next = func(at time.Time, ok bool) (time.Time, bool) { return begun.Add(at.Sub(begun) / 2), ok }
			return &b
		}, nil},
		{"settles", "calls a living master dead now and then", tapped(func(x tap) tap {
			heard := 0
			x.receive = func(buf []byte) ([]byte, vrrp.Meta, error) {
				m, meta, err := x.Conn.Receive(buf)
				if err == nil {
					if heard++; heard > 100 {
						resum(m, 0)
					}
				}
				return m, meta, err
			}
			return x
		}), pairOf(150, 100)},
		{"together", "knows of no sync groups", func(o vrrp.EngineOptions) Engine {
			return groupless{vrrp.NewCore(o)}
		}, with(pairOf(150, 100, Fault{At: 10 * time.Second, Node: 0, LAN: 1, Kind: LinkDown, For: 4 * time.Minute}), grouped)},
		{"told", "does not tell of its transitions", func(o vrrp.EngineOptions) Engine {
			notify := o.Notify
			o.Notify = func(n vrrp.Notice) {
				if n.To != vrrp.Backup {
					notify(n)
				}
			}
			return vrrp.NewCore(o)
		}, nil},
		{"progress", "is always due", func(o vrrp.EngineOptions) Engine {
			b := broken{}
			b.Core = vrrp.NewCore(o)
			b.next = func(time.Time, bool) (time.Time, bool) { return o.Now(), true }
			return &b
		}, nil},
	} {
		t.Run(fmt.Sprintf("%s: %s", c.invariant, c.fault), func(t *testing.T) {
			s := c.scenario
			if s == nil {
				s = pairOf(150, 100)
			}
			if _, bad := Run(s, Options{}); bad != nil {
				t.Fatalf("the engine as it is: %v", bad)
			}
			_, bad := Run(s, Options{Engine: c.engine, Only: c.invariant})
			if bad == nil || bad.Invariant != c.invariant {
				t.Errorf("found: %v\n%s", bad, tail(Transcript(s, Options{Engine: c.engine, Only: c.invariant})))
			}
		})
	}
}

// pairOf is directors a and b on a network without faults of its own.
func pairOf(a, b uint8, faults ...Fault) *Scenario {
	return &Scenario{
		Directors: []Director{{Config: Instance(a)}, {Config: Instance(b)}},
		Network:   Network{Delay: time.Millisecond},
		Faults:    faults,
		Length:    5 * time.Minute,
	}
}

// TestShrink breaks the engine, and expects of a scenario with many faults that
// only the ones that show it are left.
func TestShrink(t *testing.T) {
	deaf := tapped(func(x tap) tap {
		x.receive = func(buf []byte) ([]byte, vrrp.Meta, error) {
			m, meta, err := x.Conn.Receive(buf)
			if err == nil && m[2] == 0 {
				resum(m, 255) // what a resignation says is not understood
			}
			return m, meta, err
		}
		return x
	})
	for seed := uint64(1); ; seed++ {
		s := Random(seed, Small)
		_, bad := Run(s, Options{Engine: deaf})
		if bad == nil {
			continue
		}
		small := Shrink(s, Options{Engine: deaf}, 1000)
		_, again := Run(small, Options{Engine: deaf})
		if again == nil || again.Invariant != bad.Invariant {
			t.Fatalf("seed %d: %v, shrunk: %v", seed, bad, again)
		}
		if len(small.Faults) > 4 || len(small.Faults) >= len(s.Faults) {
			t.Errorf("seed %d: %d faults were shrunk to %d", seed, len(s.Faults), len(small.Faults))
		}
		report := Report(s, bad, Options{Engine: deaf})
		t.Log(report)
		return
	}
}
