package ipvs_test

import (
	"net/netip"
	"slices"
	"time"

	"pgregory.net/rapid"

	"baton/ipvs"
)

// The generators draw from few keys, so that two tables have services and
// servers in common, and only what a real kernel and ipvsadm(8) take: DR and
// TUN servers on the service's port, DR and NAT in the service's family.

func genServiceKey() *rapid.Generator[ipvs.ServiceKey] {
	var keys []ipvs.ServiceKey
	for _, at := range []string{"192.0.2.1:80", "192.0.2.1:443", "192.0.2.2:80", "[2001:db8::1]:80"} {
		for _, p := range []ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP} {
			keys = append(keys, ipvs.AddressKey(p, netip.MustParseAddrPort(at)))
		}
	}
	for _, f := range []ipvs.Family{ipvs.IPv4, ipvs.IPv6} {
		keys = append(keys, ipvs.FWMarkKey(1, f), ipvs.FWMarkKey(2000000000, f))
	}
	return rapid.SampledFrom(keys)
}

func genService(k ipvs.ServiceKey) *rapid.Generator[ipvs.Service] {
	return rapid.Custom(func(t *rapid.T) ipvs.Service {
		loaded := slices.DeleteFunc(ipvs.Schedulers(), func(s string) bool { return s == "twos" }) // absent from many kernels
		s := ipvs.Service{
			Key:        k,
			Scheduler:  rapid.SampledFrom(loaded).Draw(t, "scheduler"),
			SchedFlags: ipvs.SchedFlags(rapid.SampledFrom([]uint8{0, 0, 1, 2, 3, 4, 7}).Draw(t, "flags")),
		}
		if s.Scheduler == "sh" || s.Scheduler == "mh" {
			s.SchedFlags &^= ipvs.SchedFlag3 // ipvsadm knows none
		}
		if k.Protocol == ipvs.UDP || k.FWMark != 0 {
			s.OnePacket = rapid.Bool().Draw(t, "ops")
		}
		if rapid.Bool().Draw(t, "persistent") {
			s.Persistence = time.Duration(rapid.IntRange(1, 100_000).Draw(t, "seconds")) * time.Second
			masks := []string{"255.255.255.255", "255.255.255.0", "255.0.255.0", "0.0.0.0"}
			if k.AF() == ipvs.IPv6 {
				masks = []string{"128", "64", "1"}
			}
			m, err := ipvs.ParseMask(k.AF(), rapid.SampledFrom(masks).Draw(t, "mask"))
			if err != nil {
				t.Fatal(err)
			}
			s.PersistenceMask = m
		}
		return s
	})
}

func genServer(k ipvs.ServiceKey) *rapid.Generator[ipvs.Server] {
	return rapid.Custom(func(t *rapid.T) ipvs.Server {
		s := ipvs.Server{
			Forward: rapid.SampledFrom([]ipvs.Forward{ipvs.DR, ipvs.NAT, ipvs.TUN}).Draw(t, "forward"),
			Weight:  rapid.OneOf(rapid.SampledFrom([]int{0, 1, 65535}), rapid.IntRange(0, 65535)).Draw(t, "weight"),
		}
		six := k.AF() == ipvs.IPv6
		if s.Forward == ipvs.TUN {
			six = rapid.Bool().Draw(t, "ipv6")
			switch s.Tunnel.Type = rapid.SampledFrom([]ipvs.TunnelType{ipvs.IPIP, ipvs.GUE, ipvs.GRE}).Draw(t, "tunnel"); s.Tunnel.Type {
			case ipvs.GUE:
				s.Tunnel.Port = uint16(rapid.IntRange(1, 65535).Draw(t, "tunnel port"))
				s.Tunnel.Flags = rapid.SampledFrom([]ipvs.TunnelFlags{0, ipvs.TunnelChecksum, ipvs.TunnelRemoteChecksum}).Draw(t, "checksum")
			case ipvs.GRE:
				s.Tunnel.Flags = rapid.SampledFrom([]ipvs.TunnelFlags{0, ipvs.TunnelChecksum}).Draw(t, "checksum")
			}
		}
		addr := rapid.SampledFrom([]string{"198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"}).Draw(t, "address")
		if six {
			addr = rapid.SampledFrom([]string{"2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3"}).Draw(t, "address6")
		}
		port := k.Port
		if s.Forward == ipvs.NAT || k.FWMark != 0 {
			port = rapid.SampledFrom([]uint16{80, 8080}).Draw(t, "port")
		}
		s.Key = ipvs.MakeServerKey(netip.AddrPortFrom(netip.MustParseAddr(addr), port))
		if rapid.Bool().Draw(t, "thresholds") {
			s.UpperThreshold = rapid.Uint32Range(0, 65535).Draw(t, "upper")
			s.LowerThreshold = rapid.Uint32Range(0, s.UpperThreshold).Draw(t, "lower")
		}
		return s
	})
}

func genEntry(k ipvs.ServiceKey) *rapid.Generator[ipvs.Entry] {
	return rapid.Custom(func(t *rapid.T) ipvs.Entry {
		e := ipvs.Entry{Service: genService(k).Draw(t, "service")}
		for _, s := range rapid.SliceOfN(genServer(k), 0, 5).Draw(t, "servers") {
			e.Servers.Put(s)
		}
		return e
	})
}

func genTable() *rapid.Generator[ipvs.Table] {
	return rapid.Custom(func(t *rapid.T) ipvs.Table {
		table := ipvs.Table{}
		for _, k := range rapid.SliceOfNDistinct(genServiceKey(), 0, 6, rapid.ID[ipvs.ServiceKey]).Draw(t, "keys") {
			table[k] = genEntry(k).Draw(t, k.String())
		}
		return table
	})
}

// genPair draws what is wanted and what is there: sometimes unrelated, mostly
// the wanted table with a few entries of another in place of its own.
func genPair(t *rapid.T) (desired, observed ipvs.Table, owned ipvs.Ownership) {
	desired, observed = genTable().Draw(t, "desired"), genTable().Draw(t, "observed")
	if rapid.IntRange(0, 3).Draw(t, "related") > 0 {
		for k, e := range desired.Clone() {
			switch rapid.IntRange(0, 3).Draw(t, "fate of "+k.String()) {
			case 0: // observed keeps its own, or nothing
			case 1:
				observed[k] = e
			default:
				for _, was := range slices.Clone(e.Servers) {
					if rapid.Bool().Draw(t, "replace "+was.Key.String()) {
						e.Servers.Delete(was.Key)
						e.Servers.Put(genServer(k).Draw(t, "other"))
					}
				}
				observed[k] = e
			}
		}
	}
	owned = ipvs.Ownership{}
	for _, k := range observed.Keys() {
		if rapid.Bool().Draw(t, "owned "+k.String()) {
			owned[k] = struct{}{}
		}
	}
	return desired, observed, owned
}
