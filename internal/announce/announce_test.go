package announce

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var (
	vip = netip.MustParseAddr("192.168.16.200")
	mac = net.HardwareAddr{0x02, 0x00, 0x00, 0x00, 0x01, 0x02}
)

func TestGARPFrames(t *testing.T) {
	frames, err := garpFrames(vip, mac)
	if err != nil {
		t.Fatal(err)
	}
	ethernet := "ffffffffffff" + "020000000102" + "0806"
	fixed := "0001" + "0800" + "06" + "04"
	padding := strings.Repeat("00", 60-14-28) // IEEE 802.3 minimum without the check sequence
	want := []string{
		ethernet + fixed + "0001" + "020000000102" + "c0a810c8" + "000000000000" + "c0a810c8" + padding,
		ethernet + fixed + "0002" + "020000000102" + "c0a810c8" + "020000000102" + "c0a810c8" + padding,
	}
	got := []string{hex.EncodeToString(frames[0]), hex.EncodeToString(frames[1])}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

// wire stands for the packet sockets that an announcer opens one after another.
type wire struct {
	mac    net.HardwareAddr
	opened int
	closed int
	fail   []error // of the next frames
	sent   []string
	frames [][]byte
}

func (w *wire) open(string) (socket, error) { w.opened++; return &fakeSocket{w, w.mac}, nil }

type fakeSocket struct {
	*wire
	mac net.HardwareAddr
}

func (s *fakeSocket) hardwareAddr() net.HardwareAddr { return s.mac }
func (s *fakeSocket) close() error                   { s.closed++; return nil }
func (s *fakeSocket) send(b []byte) error {
	if len(s.fail) > 0 {
		err := s.fail[0]
		s.fail = s.fail[1:]
		return err
	}
	s.frames = append(s.frames, b)
	s.sent = append(s.sent, hex.EncodeToString(b[6:12])+" "+hex.EncodeToString(b[20:22]))
	return nil
}

func announcerOn(t *testing.T, w *wire) *Announcer {
	t.Helper()
	a, err := New("eth0")
	if err != nil {
		t.Fatal(err)
	}
	a.open = w.open
	return a
}

func TestGARPSender(t *testing.T) {
	w := &wire{mac: mac}
	a := announcerOn(t, w)
	vmac := net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, 0x01, 0x33}
	for _, m := range []net.HardwareAddr{nil, vmac} {
		if err := a.GARP(vip, m); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"020000000102 0001", "020000000102 0002", "00005e000133 0001", "00005e000133 0002"}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("source and operation (-want +got):\n%s", diff)
	}
	if w.opened != 1 {
		t.Errorf("opened %d sockets, want 1 kept", w.opened)
	}
}

func TestGARPAfterInterfaceChange(t *testing.T) {
	w := &wire{mac: mac}
	a := announcerOn(t, w)
	if err := a.GARP(vip, nil); err != nil {
		t.Fatal(err)
	}
	w.mac = net.HardwareAddr{2, 0, 0, 0, 0, 9}
	w.sent, w.fail = nil, []error{unix.ENXIO, unix.ENXIO}
	if err := a.GARP(vip, nil); err != nil {
		t.Fatalf("announce after the interface was made anew: %v", err)
	}
	want := []string{"020000000009 0001", "020000000009 0002"}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("source and operation (-want +got):\n%s", diff)
	}
	if w.opened != 2 || w.closed != 1 {
		t.Errorf("opened %d closed %d, want 2 and 1", w.opened, w.closed)
	}

	w.mac, w.sent = mac, nil
	a.Reset()
	if err := a.GARP(vip, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := w.sent[0], "020000000102 0001"; got != want {
		t.Errorf("after Reset sent %q, want %q", got, want)
	}
}

func TestGARPFailure(t *testing.T) {
	w := &wire{mac: mac}
	a := announcerOn(t, w)
	w.fail = []error{unix.ENOBUFS}
	err := a.GARP(vip, nil)
	if !errors.Is(err, unix.ENOBUFS) {
		t.Fatalf("error %v, want ENOBUFS", err)
	}
	if want := "announce 192.168.16.200 on eth0: "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %q does not begin with %q", err, want)
	}
	if len(w.sent) != 1 {
		t.Errorf("sent %d frames, want the other form all the same", len(w.sent))
	}

	w.fail = []error{unix.ENXIO, unix.ENXIO, unix.ENXIO, unix.ENXIO}
	if err := a.GARP(vip, nil); !errors.Is(err, unix.ENXIO) {
		t.Errorf("error %v, want ENXIO after one new attempt", err)
	}
}

func TestGARPRefuses(t *testing.T) {
	tests := []struct {
		name string
		vip  string
		mac  net.HardwareAddr
		want string
	}{
		{"ipv6", "2001:db8::1", mac, "gratuitous arp is for ipv4"},
		{"no address", "", mac, "gratuitous arp is for ipv4"},
		{"infiniband", "192.0.2.1", make(net.HardwareAddr, 20), "needs one of 6 bytes"},
		{"loopback", "192.0.2.1", net.HardwareAddr{}, "needs one of 6 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := netip.ParseAddr(tt.vip)
			err := announcerOn(t, &wire{mac: mac}).GARP(addr, tt.mac)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	for _, name := range []string{"", "a-name-that-is-too-long"} {
		if _, err := New(name); err == nil {
			t.Errorf("New(%q) gave no error", name)
		}
	}
}

func TestFramesBounded(t *testing.T) {
	a := announcerOn(t, &wire{mac: mac})
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxFrames + 10 {
		if err := a.GARP(addr, nil); err != nil {
			t.Fatal(err)
		}
		addr = addr.Next()
	}
	if len(a.frames) > maxFrames {
		t.Errorf("%d prepared frames, want at most %d", len(a.frames), maxFrames)
	}
}

func BenchmarkGARP(b *testing.B) {
	a, err := New("eth0")
	if err != nil {
		b.Fatal(err)
	}
	a.open = func(string) (socket, error) { return discard{}, nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := a.GARP(vip, mac); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) hardwareAddr() net.HardwareAddr { return mac }
func (discard) close() error                   { return nil }
func (discard) send([]byte) error              { return nil }

func TestFindsOneInterface(t *testing.T) {
	if ifi, err := find("lo"); err != nil || ifi.Index == 0 || ifi.Name != "lo" {
		t.Errorf("lo is found as %+v, %v", ifi, err)
	}
	if _, err := find("baton-none"); !errors.Is(err, ErrNoInterface) {
		t.Errorf("an interface that is not there: %v", err)
	}
}
