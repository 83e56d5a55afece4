package conf

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"baton/healthcheck"
	"baton/ipvs"
)

// VirtualServer is one pool of real servers and the IPVS services that share
// it: one, or as many as its virtual_server_group has addresses and marks.
type VirtualServer struct {
	Name    string            // "tcp 192.168.16.200:80", "fwmark 7 ipv6", of a group "group NAME"; unique
	Service ipvs.Service      // the first of them
	Keys    []ipvs.ServiceKey // of all, at least one, in the order of the file; Keys[0] is Service.Key
	Servers []RealServer      // in the order of the file

	Alpha      bool     // a new server waits for its first pass; else it is in the pool until it fails, as in keepalived without alpha
	Omega      bool     // on stop the service is removed and QuorumDown is run
	Quorum     int      // least sum of the weights of servers that are up, 1 or more
	Hysteresis int      // 0 … Quorum − 1: gained at Quorum + Hysteresis, lost below Quorum − Hysteresis
	QuorumUp   *Command // run when the quorum is gained; nil: nothing
	QuorumDown *Command // run when it is lost; nil: nothing

	// Sorry stands in for the whole pool while there is no quorum; nil: nobody does.
	Sorry *RealServer
	// SorryInhibit: while it is not needed the sorry server keeps its entry with
	// weight 0; else the entry goes with its last connection, see DrainTimeout.
	SorryInhibit bool
	// DrainTimeout is the most that the connections of a server are waited for that
	// has been removed, or replaced in good health by a swap with Sorry, 0 … 24 h.
	DrainTimeout time.Duration
	// PathCheck is the time from one check of the way to a server with DR or TUN
	// to the next, 1 s … 24 h; 0: none is made.
	PathCheck time.Duration
}

// Equal says whether both are the same in every value. It is asked of ten
// thousand servers with each reload: what == can decide, it does.
func (v VirtualServer) Equal(o VirtualServer) bool {
	return v.Name == o.Name && v.Service == o.Service && slices.Equal(v.Keys, o.Keys) &&
		(sameList(v.Servers, o.Servers) || slices.EqualFunc(v.Servers, o.Servers, RealServer.equal)) &&
		v.Alpha == o.Alpha && v.Omega == o.Omega && v.Quorum == o.Quorum && v.Hysteresis == o.Hysteresis &&
		same(v.QuorumUp, o.QuorumUp) && same(v.QuorumDown, o.QuorumDown) &&
		(v.Sorry == o.Sorry || v.Sorry != nil && o.Sorry != nil && v.Sorry.equal(*o.Sorry)) &&
		v.SorryInhibit == o.SorryInhibit && v.DrainTimeout == o.DrainTimeout && v.PathCheck == o.PathCheck
}

// SameChecks says whether both have the same health checks, in the same order.
func SameChecks(a, b *Config) bool {
	return slices.EqualFunc(a.Services, b.Services, func(v, w VirtualServer) bool {
		return sameList(v.Servers, w.Servers) || slices.EqualFunc(v.Servers, w.Servers, func(r, s RealServer) bool {
			return slices.EqualFunc(r.Checks, s.Checks, sameCheck)
		})
	})
}

func sameCheck(a, b healthcheck.Spec) bool { return a == b || reflect.DeepEqual(a, b) }

func (r RealServer) equal(o RealServer) bool {
	return r.Server == o.Server && r.InhibitOnFailure == o.InhibitOnFailure && r.SlowStart == o.SlowStart &&
		slices.EqualFunc(r.Checks, o.Checks, sameCheck) &&
		same(r.NotifyUp, o.NotifyUp) && same(r.NotifyDown, o.NotifyDown)
}

// sameList says that both are one list: a service that Reload has taken over.
func sameList(a, b []RealServer) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func same(a, b *Command) bool { return a == b || reflect.DeepEqual(a, b) }

// At returns the service with one of its Keys.
func (v VirtualServer) At(k ipvs.ServiceKey) ipvs.Service {
	s := v.Service
	s.Key = k
	return s
}

// RealServer is one server of a service.
type RealServer struct {
	// Server has port 0 where the server is reached on whatever port its
	// service has: see ServerAt.
	Server           ipvs.Server
	InhibitOnFailure bool               // failed: weight 0 instead of removed
	SlowStart        time.Duration      // in which the weight rises from 1 to Server.Weight after the server has come up; 0: at once
	Checks           []healthcheck.Spec // all must pass; none: always up
	NotifyUp         *Command           // run when the server comes up; nil: nothing
	NotifyDown       *Command           // run when it goes down; nil: nothing
}

// Target returns where the server is reached.
func (r RealServer) Target() netip.AddrPort {
	return netip.AddrPortFrom(r.Server.Key.Address, r.Server.Key.Port)
}

// ServerAt returns s as an entry of the service k: port 0 becomes the service's.
func ServerAt(k ipvs.ServiceKey, s ipvs.Server) ipvs.Server {
	if s.Key.Port == 0 && k.FWMark == 0 {
		s.Key.Port = k.Port
	}
	return s
}

// IPVS is what concerns the kernel's IPVS as a whole.
type IPVS struct {
	Timeouts ipvs.Timeouts    // lvs_timeouts; what is 0 is left as it is
	Sync     *ipvs.SyncDaemon // lvs_sync_daemon: run as master and as backup at once; nil: none
	Sysctls  []Sysctl         // those that the file sets, sorted by name
}

// Sysctl is a parameter below /proc/sys/net/ipv4/vs.
type Sysctl struct {
	Name  string // "expire_nodest_conn"
	Value string // as it is written: "1", "3 50"
}
