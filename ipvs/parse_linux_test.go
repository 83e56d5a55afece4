package ipvs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func genlPayload(a *nl.RtAttr) []byte {
	return append((&nl.Genlmsg{Command: 1, Version: genlVersion}).Serialize(), a.Serialize()...)
}

// TestParseServer reads what destAttr writes, and what only the kernel sends.
func TestParseServer(t *testing.T) {
	want := Server{
		Key:     ServerKey{Address: netip.MustParseAddr("2001:db8::2"), Port: 8080},
		Forward: TUN, Weight: 70000, UpperThreshold: 9, LowerThreshold: 3,
		Tunnel: Tunnel{Type: GUE, Port: 5555, Flags: TunnelRemoteChecksum},
	}
	a, err := destAttr(want)
	if err != nil {
		t.Fatal(err)
	}
	a.AddRtAttr(destActiveConns, nl.Uint32Attr(4))
	a.AddRtAttr(destInactConns, nl.Uint32Attr(5))
	a.AddRtAttr(destPersistConns, nl.Uint32Attr(6))
	old := a.AddRtAttr(destStats|unix.NLA_F_NESTED, nil)
	old.AddRtAttr(1, nl.Uint32Attr(1))
	long := a.AddRtAttr(destStats64|unix.NLA_F_NESTED, nil)
	for i := range uint64(10) {
		long.AddRtAttr(int(i+1), nl.Uint64Attr(1<<40+i))
	}
	got, err := parseServer(genlPayload(a), IPv4)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(want) {
		t.Errorf("server %+v, want %+v", got, want)
	}
	counters := Counters{1 << 40, 1<<40 + 1, 1<<40 + 2, 1<<40 + 3, 1<<40 + 4, 1<<40 + 5, 1<<40 + 6, 1<<40 + 7, 1<<40 + 8, 1<<40 + 9}
	if *got.Stats != (ServerStats{Active: 4, Inactive: 5, Persistent: 6, Counters: counters}) {
		t.Errorf("stats %+v", *got.Stats)
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
	got, err := parseServer(genlPayload(a), IPv4)
	if err != nil || got.Key.String() != "198.51.100.1:80" || got.Forward != DR ||
		got.Stats.Counters.Connections != 7 || got.Stats.Counters.BytesIn != 1<<33 {
		t.Errorf("%+v %+v, error %v", got, got.Stats, err)
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
	for _, c := range []struct {
		name  string
		bytes []byte
		seen  int
		done  bool
		err   error
	}{
		{"two parts", append(message(20, 7, 9, []byte("abc")), message(20, 7, 9, []byte("de"))...), 2, false, nil},
		{"end of dump", append(message(20, 7, 9, []byte("abc")), message(unix.NLMSG_DONE, 7, 9, errno(0))...), 1, true, nil},
		{"acknowledged", message(unix.NLMSG_ERROR, 7, 9, errno(0)), 0, true, nil},
		{"refused", message(unix.NLMSG_ERROR, 7, 9, errno(int32(unix.EEXIST))), 0, true, unix.EEXIST},
		{"answer to an earlier request", append(message(unix.NLMSG_ERROR, 6, 9, errno(int32(unix.EEXIST))), message(20, 7, 9, nil)...), 1, false, nil},
		{"for another socket", message(unix.NLMSG_ERROR, 7, 8, errno(int32(unix.EEXIST))), 0, false, nil},
		{"error without number", message(unix.NLMSG_ERROR, 7, 9, nil), 0, false, errMalformed},
		{"length beyond the end", message(20, 7, 9, []byte("abcd"))[:17], 0, false, errMalformed},
		{"length too small", bytes.Repeat([]byte{1, 0, 0, 0}, 4), 0, false, errMalformed},
		{"nothing", nil, 0, false, nil},
	} {
		seen := 0
		done, err := splitMessages(c.bytes, 7, 9, func([]byte) { seen++ })
		if seen != c.seen || done != c.done || !errors.Is(err, c.err) {
			t.Errorf("%s: %d payloads, done %v, error %v", c.name, seen, done, err)
		}
	}
}

// FuzzParse: no bytes make a parser panic, read beyond its input or return an
// entry that cannot be printed.
func FuzzParse(f *testing.F) {
	server, _ := destAttr(Server{Key: ServerKey{Address: netip.MustParseAddr("192.0.2.1"), Port: 80}, Forward: DR, Weight: 1})
	service := serviceAttr(AddressKey(TCP, netip.MustParseAddrPort("192.0.2.1:80")))
	service.AddRtAttr(svcSchedName, nl.ZeroTerminated("rr"))
	service.AddRtAttr(svcFlags, append(nl.Uint32Attr(1), nl.Uint32Attr(0)...))
	f.Add(genlPayload(server))
	f.Add(genlPayload(service))
	f.Add(genlPayload(serviceAttr(FWMarkKey(7, IPv6))))
	f.Add(message(20, 0, 0, genlPayload(service)))
	f.Add(genlPayload(daemonAttr(DaemonBackup, SyncDaemon{Interface: "eth0", SyncID: 51, Group: netip.MustParseAddr("ff02::81"), MaxLen: 1400, Port: 8848, TTL: 1})))
	f.Add(genlPayload(nl.NewRtAttr(infoVersion, nl.Uint32Attr(0x010201))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseService(b); err == nil {
			_ = Table{e.Service.Key: e}.String()
		}
		if s, err := parseServer(b, IPv6); err == nil {
			_ = Op{Kind: AddServer, Server: s}.String()
		}
		if role, d, err := parseDaemon(b); err == nil {
			_ = role.StartCommand(d)
		}
		_, _ = parseInfo(b)
		total := 0
		if _, err := splitMessages(b, 0, 0, func(p []byte) { total += len(p) }); err == nil && total > len(b) {
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
