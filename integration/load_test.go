package integration

import (
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/event"
	"baton/internal/lab"
)

// underLoad is how long the tests below disturb.
func underLoad() time.Duration { return windowOr(10 * time.Second) }

// calm begins to watch the elections of a lab's two directors; the returned
// function fails the test for each change of master and each gap of more than
// three intervals that the machine has not made itself, and tells the rest.
func calm(t *testing.T, l *lab.Lab, interval time.Duration) func() {
	t.Helper()
	before := map[string]int{}
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		before[node] = len(logged(t, l, node, event.VRRPTransition))
	}
	told := witness(t)
	rec := record(t, l, lab.LVSB, lab.LANInterface, lab.Address(lab.LVSA), lab.Address(lab.LVSB))
	return func() {
		t.Helper()
		r := latenessOf(rec.adverts(t), interval, told())
		t.Logf("%d adverts, late p50 %v, p99 %v, max %v; %d long gaps, %d changes of the sender, %d of them while the machine stood still (%v)",
			len(r.late)+1, r.quantile(0.5), r.quantile(0.99), r.quantile(1), r.gaps, r.changes, r.excused, r.worst())
		if r.gaps+r.changes > r.excused || len(r.late) < int(underLoad()/interval)/2 {
			t.Error("adverts were not on time")
		}
		for node, n := range before {
			if got := logged(t, l, node, event.VRRPTransition)[n:]; len(got) > 0 && r.excused == 0 {
				t.Errorf("%s: %d transitions, the first %v", node, len(got), got[0])
			}
		}
	}
}

// loadInterval is an interval that the kernel's processor can keep.
func loadInterval(t *testing.T) time.Duration {
	if native(t) {
		return 100 * time.Millisecond
	}
	return time.Second
}

// TestBusyMachine is fault 11: four busy loops for each processor change
// nothing. BenchmarkLateness has the figures, at 10 ms and for a minute.
func TestBusyMachine(t *testing.T) {
	interval := loadInterval(t)
	l := start(t, lab.Options{AdvertInterval: interval})
	judge := calm(t, l, interval)
	stop := busy(t, 4*runtime.NumCPU())
	time.Sleep(underLoad())
	stop()
	judge()
}

// TestInvalidFlood is fault 15: 20,000 invalid packets a second, or as many as
// the machine can send, delay no advert, take no memory and fill no log.
func TestInvalidFlood(t *testing.T) {
	interval := loadInterval(t)
	l := start(t, lab.Options{AdvertInterval: interval})
	nodes := []string{lab.LVSA, lab.LVSB}
	lines, rss := map[string]int{}, map[string]int{}
	for _, node := range nodes {
		lines[node] = logLines(t, l, node)
		rss[node] = used(t, processes(t, l, node), process.isSpeaker).rss
	}
	judge := calm(t, l, interval)
	sent := flood(t, l, 20_000, underLoad())
	judge()
	t.Logf("%d invalid packets, %.0f a second", sent, float64(sent)/underLoad().Seconds())
	if sent < 1000 {
		t.Errorf("%d invalid packets are no flood", sent)
	}
	for _, node := range nodes {
		grown := used(t, processes(t, l, node), process.isSpeaker).rss - rss[node]
		more := logLines(t, l, node) - lines[node]
		t.Logf("%s: the speaker has grown by %d KiB, the log by %d lines", node, grown, more)
		if grown > 4<<10 {
			t.Errorf("%s: the speaker has grown by %d KiB", node, grown)
		}
		if more > 50 {
			t.Errorf("%s: the log has %d more lines", node, more)
		}
		if len(logged(t, l, node, event.VRRPAdvertDropped)) == 0 {
			t.Errorf("%s has dropped nothing: the flood did not arrive", node)
		}
	}
}

func logLines(t *testing.T, l *lab.Lab, node string) int {
	t.Helper()
	raw, err := os.ReadFile(l.Paths(node).Log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(raw), "\n")
}

// flood multicasts packets that are wrong in several ways from the router and
// returns how many.
func flood(t *testing.T, l *lab.Lab, perSecond int, d time.Duration) int {
	t.Helper()
	fd := -1
	err := l.In(lab.RouterNode, func() error {
		ifi, err := net.InterfaceByName(lab.LANInterface)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 112); err != nil {
			return err
		}
		return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifi.Index)})
	})
	if err != nil {
		t.Fatalf("open raw socket: %v", err)
	}
	defer unix.Close(fd)
	packets := [][]byte{
		{0x31, 51, 150, 1, 0, 100, 1, 2, 192, 168, 16, 200},  // checksum
		{0x41, 51, 150, 1, 0, 100, 1, 2, 192, 168, 16, 200},  // version
		{0x32, 51, 150, 1, 0, 100, 1, 2, 192, 168, 16, 200},  // type
		{0x31, 51, 255, 20, 0, 100, 1, 2, 192, 168, 16, 200}, // fewer addresses than it says
		{0x31, 99, 150, 1, 0, 100, 1, 2, 192, 168, 16, 200},  // another virtual router, and checksum
		{0x31, 51},
	}
	to := &unix.SockaddrInet4{Addr: [4]byte{224, 0, 0, 18}}
	begun := time.Now()
	for sent := 0; ; {
		since := time.Since(begun)
		if since >= d {
			return sent
		}
		for due := int(since.Seconds() * float64(perSecond)); sent < due && time.Since(begun) < d; sent++ {
			// A while with each TTL; 1 is wrong as well.
			if sent%5000 == 0 {
				if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, []int{255, 1}[sent/5000%2]); err != nil {
					t.Fatal(err)
				}
			}
			if err := unix.Sendto(fd, packets[sent%len(packets)], 0, to); err != nil && err != unix.ENOBUFS {
				t.Fatalf("send: %v", err)
			}
		}
		time.Sleep(time.Millisecond)
	}
}
