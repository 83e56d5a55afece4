package ipvs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// payload is a message without its netlink header.
func payload(fill func(*encoder)) []byte {
	var e encoder
	e.message(20, 1, 0, 0, func() { fill(&e) })
	return e.b[unix.SizeofNlMsghdr:]
}

func genlPayload(a *nl.RtAttr) []byte {
	return append((&nl.Genlmsg{Command: 1, Version: genlVersion}).Serialize(), a.Serialize()...)
}

// TestEncoder: what it writes is what the netlink library would.
func TestEncoder(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::2")
	a := nl.NewRtAttr(attrDest, nil)
	a.AddRtAttr(1, nl.Uint8Attr(7))
	a.AddRtAttr(2, nl.Uint16Attr(8))
	a.AddRtAttr(3, nl.BEUint16Attr(9))
	a.AddRtAttr(4, nl.Uint32Attr(10))
	a.AddRtAttr(5, nl.ZeroTerminated("wlc"))
	a.AddRtAttr(6, nl.ZeroTerminated("lblc"))
	a.AddRtAttr(7, six.AsSlice())
	a.AddRtAttr(8, netip.MustParseAddr("192.0.2.1").AsSlice())
	req := nl.NewNetlinkRequest(20, unix.NLM_F_ACK)
	req.Seq = 77
	req.AddData(&nl.Genlmsg{Command: 5, Version: genlVersion})
	req.AddData(a)

	var e encoder
	e.message(20, 5, 0, 77, func() {
		e.nest(attrDest, func() {
			e.u8(1, 7)
			e.u16(2, 8)
			e.be16(3, 9)
			e.u32(4, 10)
			e.text(5, "wlc")
			e.text(6, "lblc")
			e.addr(7, six)
			e.addr(8, netip.MustParseAddr("192.0.2.1"))
		})
	})
	acknowledged(e.b)
	if want := req.Serialize(); !bytes.Equal(e.b, want) {
		t.Errorf("wrote\n% x, the library\n% x", e.b, want)
	}
}

// TestParseServer reads what the encoder writes, and what only the kernel sends.
func TestParseServer(t *testing.T) {
	want := Server{
		Key:     ServerKey{Address: netip.MustParseAddr("2001:db8::2"), Port: 8080},
		Forward: TUN, Weight: 70000, UpperThreshold: 9, LowerThreshold: 3,
		Tunnel: Tunnel{Type: GUE, Port: 5555, Flags: TunnelRemoteChecksum},
	}
	sent := payload(func(e *encoder) {
		if err := e.server(want); err != nil {
			t.Fatal(err)
		}
	})
	dest := nl.NewRtAttr(attrDest, bytes.Clone(sent[nl.SizeofGenlmsg+unix.SizeofRtAttr:]))
	counted := nl.NewRtAttr(attrDest, nil)
	counted.AddRtAttr(destActiveConns, nl.Uint32Attr(4))
	counted.AddRtAttr(destInactConns, nl.Uint32Attr(5))
	counted.AddRtAttr(destPersistConns, nl.Uint32Attr(6))
	old := counted.AddRtAttr(destStats|unix.NLA_F_NESTED, nil)
	old.AddRtAttr(1, nl.Uint32Attr(1))
	long := counted.AddRtAttr(destStats64|unix.NLA_F_NESTED, nil)
	for i := range uint64(10) {
		long.AddRtAttr(int(i+1), nl.Uint64Attr(1<<40+i))
	}
	dest.Data = append(dest.Data, counted.Serialize()[unix.SizeofRtAttr:]...)
	got, st, err := parseServer(genlPayload(dest), IPv4)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(want) {
		t.Errorf("server %+v, want %+v", got, want)
	}
	counters := Counters{1 << 40, 1<<40 + 1, 1<<40 + 2, 1<<40 + 3, 1<<40 + 4, 1<<40 + 5, 1<<40 + 6, 1<<40 + 7, 1<<40 + 8, 1<<40 + 9}
	if st != (ServerStats{Active: 4, Inactive: 5, Persistent: 6, Counters: counters}) {
		t.Errorf("stats %+v", st)
	}
}

// TestParseOldKernel: before 3.18 no address family, before 4.1 no STATS64.
func TestParseOldKernel(t *testing.T) {
	a := nl.NewRtAttr(attrDest, nil)
	padded := [16]byte{198, 51, 100, 1} // union nf_inet_addr
	a.AddRtAttr(destAddr, padded[:])
	a.AddRtAttr(destPort, nl.BEUint16Attr(80))
	a.AddRtAttr(destFwdMethod, nl.Uint32Attr(3))
	stats := a.AddRtAttr(destStats, nil)
	stats.AddRtAttr(1, nl.Uint32Attr(7))
	stats.AddRtAttr(4, nl.Uint64Attr(1<<33))
	got, st, err := parseServer(genlPayload(a), IPv4)
	if err != nil || got.Key.String() != "198.51.100.1:80" || got.Forward != DR ||
		st.Counters.Connections != 7 || st.Counters.BytesIn != 1<<33 {
		t.Errorf("%+v %+v, error %v", got, st, err)
	}
}

// message builds one netlink message.
func message(kind uint16, seq, pid uint32, payload []byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(payload)+3)
	binary.NativeEndian.PutUint32(b, uint32(unix.SizeofNlMsghdr+len(payload)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint32(b[8:], seq)
	binary.NativeEndian.PutUint32(b[12:], pid)
	b = append(b, payload...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func TestSplitMessages(t *testing.T) {
	errno := func(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(-n)) }
	two := append(message(20, 7, 9, []byte("abc")), message(20, 8, 9, []byte("de"))...)
	for _, c := range []struct {
		name  string
		bytes []byte
		seen  []uint32 // sequence numbers
		err   error
	}{
		{"two parts", two, []uint32{7, 8}, nil},
		{"acknowledged", message(unix.NLMSG_ERROR, 7, 9, errno(0)), []uint32{7}, nil},
		{"refused", append(message(unix.NLMSG_ERROR, 7, 9, errno(int32(unix.EEXIST))), two...), []uint32{7}, unix.EEXIST},
		{"for another socket", append(message(unix.NLMSG_ERROR, 7, 8, errno(int32(unix.EEXIST))), two...), []uint32{7, 8}, nil},
		{"error without number", message(unix.NLMSG_ERROR, 7, 9, nil), []uint32{7}, errMalformed},
		{"length beyond the end", message(20, 7, 9, []byte("abcd"))[:17], nil, errMalformed},
		{"length too small", bytes.Repeat([]byte{1, 0, 0, 0}, 4), nil, errMalformed},
		{"nothing", nil, nil, nil},
	} {
		var seen []uint32
		err := splitMessages(c.bytes, 9, func(m reply) error {
			seen = append(seen, m.seq)
			if m.kind == unix.NLMSG_ERROR {
				return m.errno()
			}
			return nil
		})
		if !slices.Equal(seen, c.seen) || !errors.Is(err, c.err) {
			t.Errorf("%s: messages %v, error %v", c.name, seen, err)
		}
	}
}

// FuzzParse: no bytes make a parser panic, read beyond its input or return an
// entry that cannot be printed.
func FuzzParse(f *testing.F) {
	service := payload(func(e *encoder) {
		e.service(Service{Key: AddressKey(TCP, netip.MustParseAddrPort("192.0.2.1:80")), Scheduler: "rr", Persistence: time.Minute})
	})
	f.Add(payload(func(e *encoder) {
		_ = e.server(Server{Key: ServerKey{Address: netip.MustParseAddr("192.0.2.1"), Port: 80}, Forward: DR, Weight: 1})
	}))
	f.Add(service)
	f.Add(payload(func(e *encoder) { e.serviceKey(FWMarkKey(7, IPv6)) }))
	f.Add(message(20, 0, 0, service))
	f.Add(payload(func(e *encoder) {
		e.daemon(DaemonBackup, SyncDaemon{Interface: "eth0", SyncID: 51, Group: netip.MustParseAddr("ff02::81"), MaxLen: 1400, Port: 8848, TTL: 1})
	}))
	f.Add(genlPayload(nl.NewRtAttr(infoVersion, nl.Uint32Attr(0x010201))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseService(b); err == nil {
			_ = Table{e.Service.Key: e}.String()
		}
		if s, _, err := parseServer(b, IPv6); err == nil {
			_ = Op{Kind: AddServer, Server: s}.String()
		}
		if role, d, err := parseDaemon(b); err == nil {
			_ = role.StartCommand(d)
		}
		_, _ = parseInfo(b)
		total := 0
		if err := splitMessages(b, 0, func(m reply) error { total += len(m.payload); return nil }); err == nil && total > len(b) {
			t.Errorf("%d bytes of payload in %d", total, len(b))
		}
	})
}

// TestOpenKernelSaysWhetherThereIsIPVS runs on any kernel: /proc/net/ip_vs is
// there exactly if IPVS is.
func TestOpenKernelSaysWhetherThereIsIPVS(t *testing.T) {
	_, missing := os.Stat("/proc/net/ip_vs")
	k, err := OpenKernel()
	if missing != nil {
		const want = "open ipvs: the kernel has no IPVS: run modprobe ip_vs (a container: on its host), or boot a kernel built with CONFIG_IP_VS"
		if !errors.Is(err, ErrNoIPVS) || err.Error() != want {
			t.Fatalf("error %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if _, err := k.Read(context.Background()); err == nil {
		t.Error("a closed kernel can be read")
	}
}

func TestExplain(t *testing.T) {
	svc := Service{Scheduler: "mh"}
	sip := Service{Scheduler: "rr", PersistenceEngine: "sip"}
	for _, c := range []struct {
		op   *Op
		err  error
		want string
	}{
		{nil, unix.EPERM, "operation not permitted: CAP_NET_ADMIN is missing: run as root or grant it"},
		{&Op{Kind: AddServer}, unix.EPERM, "operation not permitted: CAP_NET_ADMIN is missing: run as root or grant it"},
		{&Op{Kind: AddService, Service: svc}, unix.ENOENT, "scheduler mh: missing kernel module: run modprobe ip_vs_mh: no such file or directory"},
		{&Op{Kind: UpdateService, Service: svc}, unix.ENOENT, "scheduler mh: missing kernel module: run modprobe ip_vs_mh: no such file or directory"},
		{&Op{Kind: AddService, Service: sip}, unix.ENOENT,
			"scheduler rr or persistence engine sip: missing kernel module: run modprobe -a ip_vs_rr ip_vs_pe_sip: no such file or directory"},
		{&Op{Kind: DeleteServer}, unix.ENOENT, "no such file or directory"},
		{&Op{Kind: AddService, Service: svc}, unix.EEXIST, "file exists"},
		{&Op{Kind: AddServer}, unix.EINVAL, "invalid argument: a real server has a unicast address, of the service's family unless forwarded by TUN, gue has a port, and lo must be up"},
	} {
		err := explain(c.op, c.err)
		if err.Error() != c.want || !errors.Is(err, c.err.(syscall.Errno)) {
			t.Errorf("%v became %q, want %q", c.err, err, c.want)
		}
	}
	if explain(nil, nil) != nil {
		t.Error("an error out of nothing")
	}
}
