package vrrp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// tape is a Conn that keeps what is sent and plays what a test puts on it.
type tape struct {
	sent      []sentAdvert
	play      []queued
	refuse    netip.Addr // a destination that cannot be reached
	overheard []string
}

type sentAdvert struct {
	message []byte
	Delivery
}

func (c *tape) Send(message []byte, d Delivery) error {
	if d.Destination == c.refuse {
		return errors.New("host is unreachable")
	}
	c.sent = append(c.sent, sentAdvert{bytes.Clone(message), d})
	return nil
}

func (c *tape) Receive(buf []byte) ([]byte, Meta, error) {
	if len(c.play) == 0 {
		return nil, Meta{}, ErrEmpty
	}
	q := c.play[0]
	c.play = c.play[1:]
	return buf[:copy(buf, q.message)], q.meta, nil
}

func (c *tape) Overhear(device string) error {
	c.overheard = append(c.overheard, device)
	return nil
}

func (c *tape) Wait() error  { return nil }
func (c *tape) Close() error { return nil }

// bench is a core on eth0 whose adverts are on tapes, and its clock.
type bench struct {
	*Core
	t       *testing.T
	now     time.Time
	tapes   map[Endpoint]*tape
	notices []Notice
}

func newBench(t *testing.T, cfgs ...Config) *bench {
	b := &bench{t: t, now: t0, tapes: map[Endpoint]*tape{}}
	clock := func() time.Time { return b.now }
	b.Core = NewCore(EngineOptions{
		Listen: func(at Endpoint) (Conn, error) {
			if b.tapes[at] != nil {
				t.Errorf("%v is opened twice", at)
			}
			b.tapes[at] = &tape{}
			return b.tapes[at], nil
		},
		Addresses: nothing{}, Announcer: nothing{}, Now: clock, Wall: clock,
		Notify: func(n Notice) { b.notices = append(b.notices, n) },
	})
	b.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, LinkLocal: linkA, Index: 2})
	b.apply(cfgs...)
	return b
}

func (b *bench) apply(cfgs ...Config) {
	b.t.Helper()
	if err := Validate(cfgs, nil); err != nil {
		b.t.Fatal(err)
	}
	ready := map[string]bool{}
	for _, c := range cfgs {
		ready[c.Name] = true
	}
	b.SetReady(ready)
	b.Apply(cfgs, nil, nil)
}

// pass lets time pass, a second at a time.
func (b *bench) pass(seconds int) {
	for range seconds {
		b.now = b.now.Add(time.Second)
		b.Tick()
	}
}

// hears plays a packet to the instances at an endpoint.
func (b *bench) hears(at Endpoint, message []byte, meta Meta) {
	b.tapes[at].play = append(b.tapes[at].play, queued{message, meta})
	b.Receive(at)
}

// last returns what was sent last to each destination.
func (b *bench) last(at Endpoint) map[netip.Addr]sentAdvert {
	last := map[netip.Addr]sentAdvert{}
	for _, s := range b.tapes[at].sent {
		last[s.Destination] = s
	}
	return last
}

func unicastConfig(priority uint8, peers ...netip.Addr) Config {
	c := instanceConfig(priority)
	c.Peers, c.UnicastTTL = peers, 7
	return c
}

func TestUnicastAdverts(t *testing.T) {
	// One list of all directors, our own address among them.
	cfg := unicastConfig(150, addrA, addrB, addrC)
	b := newBench(t, cfg)
	b.pass(5)
	forms := func() string {
		t.Helper()
		b.tapes[eth0].sent = nil
		b.pass(1)
		s := ""
		last := b.last(eth0)
		if len(last) != 2 || len(b.tapes[eth0].sent) != 2 {
			t.Fatalf("an advert went to %d destinations in %d packets", len(last), len(b.tapes[eth0].sent))
		}
		for _, to := range []netip.Addr{addrB, addrC} {
			sent := last[to]
			if want := (Delivery{Source: addrA, Destination: to, TTL: 7}); sent.Delivery != want {
				t.Errorf("sent with %+v, want %+v", sent.Delivery, want)
			}
			form, ok := checksumForm(sent.message, V3, addrA, to)
			if !ok {
				t.Errorf("the checksum of what goes to %v is wrong", to)
			}
			s += string(form) + " "
		}
		return s
	}
	hear := func(from netip.Addr, form ChecksumMode) {
		a := Advert{Version: V3, VRID: 51, Priority: 100, Interval: time.Second, Checksum: form}
		b.hears(eth0, AppendAdvert(nil, a, from, addrA, vip), Meta{Source: from, Destination: addrA, TTL: 255})
	}
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"nobody was heard", func() {}, "pseudo-header pseudo-header "},
		{"one peer speaks the other form", func() { hear(addrC, ChecksumRFC) }, "pseudo-header rfc9568 "},
		{"so does the other", func() { hear(addrB, ChecksumRFC) }, "rfc9568 rfc9568 "},
		{"one is replaced", func() { hear(addrC, ChecksumPseudo) }, "rfc9568 pseudo-header "},
		{"a reload keeps what was heard", func() { cfg.Priority = 160; b.apply(cfg) }, "rfc9568 pseudo-header "},
		{"a form is configured", func() { cfg.Checksum = ChecksumPseudo; b.apply(cfg) }, "pseudo-header pseudo-header "},
		{"and kept", func() { hear(addrB, ChecksumRFC) }, "pseudo-header pseudo-header "},
		{"the other", func() { cfg.Checksum = ChecksumRFC; b.apply(cfg) }, "rfc9568 rfc9568 "},
		{"no longer", func() { cfg.Checksum = ChecksumAuto; b.apply(cfg) }, "pseudo-header pseudo-header "},
	}
	for _, s := range steps {
		s.do()
		if got := forms(); got != s.want {
			t.Errorf("%s: it sends %s, want %s", s.name, got, s.want)
		}
	}

	t.Run("one that cannot be reached keeps nothing from the others", func(t *testing.T) {
		b.tapes[eth0].refuse, b.tapes[eth0].sent, b.notices = addrB, nil, nil
		before := b.Status()[0].Sent
		b.pass(3)
		if got := len(b.last(eth0)); got != 1 || len(b.tapes[eth0].sent) != 3 {
			t.Errorf("%d packets to %d destinations", len(b.tapes[eth0].sent), got)
		}
		if got := b.Status()[0].Sent - before; got != 3 {
			t.Errorf("%d adverts are counted", got)
		}
		told := slices.DeleteFunc(b.notices, func(n Notice) bool { return n.Kind != NoticeSendFailed })
		if len(told) != 1 {
			t.Errorf("told %+v", told)
		}
	})
	t.Run("resigning tells each", func(t *testing.T) {
		b.tapes[eth0].refuse, b.tapes[eth0].sent = netip.Addr{}, nil
		b.Stop(true)
		last := b.last(eth0)
		if len(last) != 2 || last[addrB].message[2] != 0 || last[addrC].message[2] != 0 {
			t.Errorf("sent %v", last)
		}
	})
}

// Fault 14 for every kind of wire: each invalid packet has its own reason, and
// changes nothing.
func TestInvalidPacketsOfEveryKind(t *testing.T) {
	secret := instanceConfig(150)
	secret.Version, secret.Password = V2, "secret"
	grouped := instanceConfig(150)
	grouped.Group = netip.MustParseAddr("224.0.0.99")
	wide := instanceConfig(150)
	wide.Addresses, wide.Source, wide.Peers = vip6, wideA, []netip.Addr{wideB}
	six := instanceConfig(150)
	six.Addresses = vip6
	type spoil = map[DropReason]func(*[]byte, *Meta)
	for _, tt := range []struct {
		name     string
		cfg      Config
		from, to netip.Addr
		spoil    spoil // besides those that all share
	}{
		{"version 2 with a password", secret, addrB, Group, spoil{
			DropAuthType:         func(b *[]byte, _ *Meta) { (*b)[4] = 0 },
			DropAuthData:         func(b *[]byte, _ *Meta) { (*b)[12] ^= 1 },
			DropIntervalMismatch: func(b *[]byte, _ *Meta) { (*b)[5]++ },
			DropAddressCount:     func(b *[]byte, _ *Meta) { *b = slices.Delete(*b, 8, 12); (*b)[3] = 0 },
			DropDestination:      func(_ *[]byte, m *Meta) { m.Destination = addrA },
		}},
		{"another group", grouped, addrB, grouped.Group, spoil{
			DropDestination:  func(_ *[]byte, m *Meta) { m.Destination = Group },
			DropIntervalZero: func(b *[]byte, _ *Meta) { (*b)[4], (*b)[5] = 0, 0 },
		}},
		{"unicast", unicastConfig(150, addrB), addrB, addrA, spoil{
			DropDestination:  func(_ *[]byte, m *Meta) { m.Destination = Group },
			DropNotPeer:      func(_ *[]byte, m *Meta) { m.Source = addrC },
			DropIntervalZero: func(b *[]byte, _ *Meta) { (*b)[4], (*b)[5] = 0, 0 },
		}},
		{"IPv6", six, linkB, Group6, spoil{
			DropDestination:  func(_ *[]byte, m *Meta) { m.Destination = linkA },
			DropIntervalZero: func(b *[]byte, _ *Meta) { (*b)[4], (*b)[5] = 0, 0 },
		}},
		{"unicast over IPv6", wide, wideB, wideA, spoil{
			DropDestination:  func(_ *[]byte, m *Meta) { m.Destination = Group6 },
			DropNotPeer:      func(_ *[]byte, m *Meta) { m.Source = linkB },
			DropIntervalZero: func(b *[]byte, _ *Meta) { (*b)[4], (*b)[5] = 0, 0 },
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own := addrA
			if tt.cfg.Family() == IPv6 {
				own = firstOf(tt.cfg.Source, linkA)
			}
			all := spoil{
				DropNone:         func(*[]byte, *Meta) {},
				DropTooShort:     func(b *[]byte, _ *Meta) { *b = (*b)[:len(*b)-1] },
				DropTTL:          func(_ *[]byte, m *Meta) { m.TTL = 254 },
				DropVersion:      func(b *[]byte, _ *Meta) { (*b)[0] = 0x41 },
				DropType:         func(b *[]byte, _ *Meta) { (*b)[0]++ },
				DropAddressCount: func(b *[]byte, _ *Meta) { (*b)[3] = 0 },
				DropOwnPacket:    func(_ *[]byte, m *Meta) { m.Source = own },
			}
			for reason, f := range tt.spoil {
				all[reason] = f
			}
			all[DropChecksum] = func(b *[]byte, _ *Meta) { (*b)[len(*b)-1] ^= 0x40 }
			for reason, f := range all {
				b := newBench(t, tt.cfg)
				at := tt.cfg.Endpoint()
				b.pass(5)
				before := b.Status()[0]
				if before.Role != Master {
					t.Fatalf("it is %s", before.Role)
				}
				a := Advert{Version: tt.cfg.Version, VRID: 51, Priority: 200, Interval: time.Second, Checksum: ChecksumPseudo, Password: tt.cfg.Password}
				message := AppendAdvert(nil, a, tt.from, tt.to, tt.cfg.Addresses)
				meta := Meta{Source: tt.from, Destination: tt.to, TTL: 255}
				f(&message, &meta)
				if reason != DropChecksum && reason != DropTooShort {
					right(message, tt.cfg.Family(), meta)
				}
				b.hears(at, message, meta)
				s := b.Status()[0]
				if reason == DropNone {
					if s.Role != Backup {
						t.Fatalf("what is not spoiled is dropped: %v", s.Dropped)
					}
					continue
				}
				if s.Role != Master || s.Transitions != before.Transitions || s.Received != 0 || len(s.Dropped) != 1 || s.Dropped[reason.String()] != 1 {
					t.Errorf("%v: it is %s, dropped %v", reason, s.Role, s.Dropped)
				}
			}
		})
	}
}

func firstOf(a, b netip.Addr) netip.Addr {
	if a.IsValid() {
		return a
	}
	return b
}

// right makes the checksum of a spoilt message right, of as much of it as
// counts.
func right(b []byte, family Family, meta Meta) {
	size := 4
	if family == IPv6 {
		size = 16
	}
	n := headerLen + size*int(b[3])
	if b[0]>>4 == 2 {
		n += authLen
	}
	b[6], b[7] = 0, 0
	sum := sum16(0, b[:n])
	if b[0]>>4 != 2 {
		sum += pseudoHeader(meta.Source, meta.Destination, n)
	}
	b[6], b[7] = byte(^fold(sum)>>8), byte(^fold(sum))
}

// Instances with and without peers share a socket, and one VRID may be there
// once in each group.
func TestEndpointsAreShared(t *testing.T) {
	uni := unicastConfig(150, addrB)
	multi := instanceConfig(150)
	multi.Name, multi.VRID = "VI_2", 52
	other := multi
	other.Name, other.Group = "VI_3", netip.MustParseAddr("224.0.0.99")
	six := multi
	six.Name, six.Addresses = "VI_4", vip6
	b := newBench(t, uni, multi, other, six)
	b.pass(5)
	var at []string
	for e, tape := range b.tapes {
		at = append(at, fmt.Sprintf("%v: %d destinations", e, len(b.last(e))))
		for _, s := range tape.sent {
			if s.message[1] == 52 && s.Destination != e.Group {
				t.Errorf("%v is sent to on %v", s.Destination, e)
			}
		}
	}
	slices.Sort(at)
	want := []string{"{eth0 4 224.0.0.18}: 2 destinations", "{eth0 4 224.0.0.99}: 1 destinations", "{eth0 6 ff02::12}: 1 destinations"}
	if !slices.Equal(at, want) {
		t.Errorf("there are %q, want %q", at, want)
	}
}

// Unicast comes to the sockets of all groups; it is not strange to those that it
// is not for.
func TestUnicastBesideAnotherGroup(t *testing.T) {
	uni := unicastConfig(100, addrB)
	other := instanceConfig(100)
	other.Name, other.VRID, other.Group = "VI_2", 52, netip.MustParseAddr("224.0.0.99")
	b := newBench(t, uni, other)
	a := Advert{Version: V3, VRID: 51, Priority: 200, Interval: time.Second, Checksum: ChecksumPseudo}
	message := AppendAdvert(nil, a, addrB, addrA, vip)
	meta := Meta{Source: addrB, Destination: addrA, TTL: 255}
	b.hears(other.Endpoint(), message, meta)
	b.hears(uni.Endpoint(), message, meta)
	for _, s := range b.Status() {
		if len(s.InterfaceDropped) != 0 || len(s.Dropped) != 0 {
			t.Errorf("%s dropped %v %v", s.Config.Name, s.Dropped, s.InterfaceDropped)
		}
	}
	a.VRID = 53
	b.hears(other.Endpoint(), AppendAdvert(nil, a, addrB, addrA, vip), meta)
	if got := b.Status()[1].InterfaceDropped["vrid"]; got != 1 {
		t.Errorf("one that is nobody's is counted %d times", got)
	}
}

func TestVMACDelivery(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		device string
	}{
		{"from it", func(c *Config) { c.VMAC = &VMAC{Name: "vrrp.51"} }, "vrrp.51"},
		{"over IPv6", func(c *Config) { c.VMAC, c.Addresses = &VMAC{Name: "vrrp.51"}, vip6 }, "vrrp.51"},
		{"vmac_xmit_base", func(c *Config) { c.VMAC = &VMAC{Name: "vrrp.51", XmitBase: true} }, ""},
		{"unicast", func(c *Config) { c.VMAC, c.Peers = &VMAC{Name: "vrrp.51", XmitBase: true}, []netip.Addr{addrB} }, ""},
		{"none", func(c *Config) {}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := instanceConfig(150)
			tt.change(&cfg)
			b := newBench(t, cfg)
			b.pass(5)
			tape := b.tapes[cfg.Endpoint()]
			source := addrA
			if cfg.Family() == IPv6 {
				source = linkA // as keepalived's, that of the interface below
			}
			for _, s := range tape.sent {
				if s.Device != tt.device || s.Source != source || s.TTL != TTL {
					t.Fatalf("sent with %+v", s.Delivery)
				}
			}
			if len(tape.sent) == 0 {
				t.Error("nothing was sent")
			}
			// It hears what the VMAC takes away from the start, and again when
			// the VMAC is another.
			before := len(tape.overheard)
			if (before > 0) != (cfg.VMAC != nil) {
				t.Errorf("overheard %q", tape.overheard)
			}
			b.SetLink(LinkState{Interface: "vrrp.51", Up: true, Index: 9})
			if got := len(tape.overheard) - before; got > 0 != (cfg.VMAC != nil) {
				t.Errorf("when the VMAC is told of it is asked for %d times", got)
			}
		})
	}
}

// RFC 9568 section 7.1: an interval that is not ours is told, once, and the
// advert counts.
func TestAnotherIntervalIsTold(t *testing.T) {
	cfg := instanceConfig(100)
	b := newBench(t, cfg)
	for _, interval := range []time.Duration{2 * time.Second, 2 * time.Second, time.Second} {
		a := Advert{Version: V3, VRID: 51, Priority: 200, Interval: interval, Checksum: ChecksumRFC}
		b.hears(cfg.Endpoint(), AppendAdvert(nil, a, addrB, Group, cfg.Addresses), Meta{Source: addrB, Destination: Group, TTL: 255})
	}
	var told []string
	for _, n := range b.notices {
		if n.Kind == NoticePeerChanged {
			told = append(told, n.Detail)
		}
	}
	if want := []string{"advert_int is 2s there, 1s here", "advert_int 2s is now 1s"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if s := b.Status()[0]; s.Received != 3 || s.Master != addrB {
		t.Errorf("%d adverts count, the master is %v", s.Received, s.Master)
	}
}

// The peer's list is compared in both families.
func TestAddressesMismatchIPv6(t *testing.T) {
	cfg := instanceConfig(100)
	cfg.Addresses = vip6
	b := newBench(t, cfg)
	theirs := []Address{vip6[0], {Prefix: netip.MustParsePrefix("2001:db8::99/64")}}
	a := Advert{Version: V3, VRID: 51, Priority: 200, Interval: time.Second}
	for range 2 {
		b.hears(cfg.Endpoint(), AppendAdvert(nil, a, linkB, Group6, theirs), arrived6FromB())
	}
	var told []string
	for _, n := range b.notices {
		if n.Kind == NoticeAddressesMismatch {
			told = append(told, n.Detail)
		}
	}
	want := []string{"only in its adverts: 2001:db8::99; only configured here: 2001:db8::51"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func arrived6FromB() Meta { return Meta{Source: linkB, Destination: Group6, TTL: 255} }
