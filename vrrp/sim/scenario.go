package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"baton/vrrp"
)

// Scenario is everything that a run depends on.
type Scenario struct {
	Seed      uint64 // of what is left to chance while it runs
	Directors []Director
	LANs      int  // 0: 1. Each has a virtual router of its own.
	Group     bool // the instances of each director are a sync group
	Network   Network
	Faults    []Fault // by At
	Length    time.Duration
}

// Director is one node.
type Director struct {
	// Config is its instance on the first LAN; those on further LANs differ
	// from it in name, interface, VRID and addresses.
	Config vrrp.Config
	Start  time.Duration // when it is started first
	Lost   bool          // nobody knows its interfaces
	Absent bool          // it is never started: its packets come from Inject
}

// Network is what the LANs do to packets, and nodes to time, while no fault
// makes it worse.
type Network struct {
	Delay     time.Duration // of each packet, one way
	Jitter    time.Duration // at most this is added to it
	Loss      float64       // 0…1 in each direction
	Duplicate float64       // 0…1
	Late      time.Duration // at most this passes until a process is scheduled
	SetCost   time.Duration // that bringing addresses on or off an interface takes
}

// Kind is what a Fault does.
type Kind uint8

const (
	Loss          Kind = iota // Value per cent of the packets on LAN are lost
	Duplicate                 // Value per cent of the packets on LAN arrive twice
	Delay                     // packets on LAN are up to Value ms late, and overtake one another
	Partition                 // the nodes of the bit set Value are cut off from the others on LAN
	OneWay                    // what Node sends on LAN does not reach node Value
	LinkDown                  // Node's interface on LAN loses its carrier
	Recreate                  // Node's interface on LAN is deleted and created again
	SocketBreaks              // Node's socket on LAN fails, and cannot be opened
	MachineDies               // Node is off and starts again after For
	AllKilled                 // Node's processes die, its addresses stay; they start again after For
	SpeakerKilled             // Node's speaker dies and its director starts it again after For
	Stall                     // Node's process is not scheduled; packets wait in its socket
	Suspend                   // Node's machine sleeps; packets are lost
	WallJump                  // Node's wall clock jumps by Value seconds
	Priority                  // Node's priority becomes Value
	Interval                  // Node's advert_int becomes Value ms; with version 2 everybody's
	Preempt                   // Node's preempt becomes Value
	PreemptDelay              // Node's preempt_delay becomes Value ms
	Addresses                 // Node's instances have Value addresses
	Failover                  // the operator hands over what Node is master of
	Stop                      // Node stops as planned and starts again after For
	Unready                   // Node's ready gate closes
	ScriptFails               // Node's tracked script fails
	SetFails                  // Node cannot bring addresses on or off an interface
	Start                     // Node is started where it was stopped for good
	Inject                    // an advert of priority Value from Node, with Node's configuration
	kinds
)

var kindNames = [kinds]string{
	"loss", "duplication", "delay", "partition", "one-way loss", "link down", "interface recreated", "socket breaks",
	"machine dies", "all processes killed", "speaker killed", "stall", "suspended", "wall clock jumps", "priority",
	"advert_int", "preempt", "preempt_delay", "addresses", "failover", "stop", "not ready", "tracked script fails", "addresses cannot be set",
	"start", "inject",
}

// String names the kind as transcripts do.
func (k Kind) String() string { return kindNames[k] }

// Fault is one thing that happens to the cluster. With For it ends by itself.
type Fault struct {
	At    time.Duration
	For   time.Duration // 0: it does not end
	Kind  Kind
	Node  int
	LAN   int
	Value int
}

// String is the fault as a transcript has it.
func (f Fault) String() string {
	var s strings.Builder
	switch f.Kind {
	case Loss, Duplicate, Delay:
		fmt.Fprintf(&s, "%s", lanName(f.LAN))
	case Partition:
		var cut []string
		for i := range maxDirectors {
			if f.Value&(1<<i) != 0 {
				cut = append(cut, nodeName(i))
			}
		}
		fmt.Fprintf(&s, "%s %s", lanName(f.LAN), strings.Join(cut, "+"))
	case LinkDown, Recreate, SocketBreaks, OneWay:
		fmt.Fprintf(&s, "%s %s", nodeName(f.Node), lanName(f.LAN))
	default:
		s.WriteString(nodeName(f.Node))
	}
	fmt.Fprintf(&s, ": %s", f.Kind)
	switch f.Kind {
	case Loss, Duplicate:
		fmt.Fprintf(&s, " %d%%", f.Value)
	case Delay, Interval, PreemptDelay:
		fmt.Fprintf(&s, " %v", time.Duration(f.Value)*time.Millisecond)
	case OneWay:
		fmt.Fprintf(&s, " towards %s", nodeName(f.Value))
	case WallJump:
		fmt.Fprintf(&s, " by %v", time.Duration(f.Value)*time.Second)
	case Priority, Addresses, Inject:
		fmt.Fprintf(&s, " %d", f.Value)
	case Preempt:
		fmt.Fprintf(&s, " %v", f.Value != 0)
	}
	if f.For > 0 {
		fmt.Fprintf(&s, " for %v", f.For)
	}
	return s.String()
}

// String lists the directors and the faults.
func (s *Scenario) String() string {
	var b strings.Builder
	for i, d := range s.Directors {
		c := &d.Config
		fmt.Fprintf(&b, "director %s: v%d priority %d advert_int %v preempt %v preempt_delay %v startup_delay %v down_timer_adverts %d, starts at %v\n",
			nodeName(i), c.Version, c.Priority, c.AdvertInterval, c.Preempt, c.PreemptDelay, c.StartupDelay, c.DownTimerAdverts, d.Start)
		for _, t := range c.Track {
			fmt.Fprintf(&b, "  tracks a script with weight %d\n", t.Weight)
		}
	}
	fmt.Fprintf(&b, "network: %d LANs, sync group %v, %+v; length %v\n", max(s.LANs, 1), s.Group, s.Network, s.Length)
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "fault at %v %v\n", f.At, f)
	}
	return b.String()
}

const (
	maxDirectors = 8
	maxLANs      = 4
)

func nodeName(i int) string { return string(rune('a' + i)) }
func lanName(i int) string  { return lanNames[i] }
func instName(i int) string { return instNames[i] }

var (
	lanNames  = [maxLANs]string{"eth0", "eth1", "eth2", "eth3"}
	instNames = [maxLANs]string{"VI_1", "VI_2", "VI_3", "VI_4"}
)

// address is what node sends from on a LAN.
func address(node, lan int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 168, byte(16 + lan), byte(102 + 10*node)})
}

// virtual returns n virtual addresses of a LAN.
func virtual(lan, n int) []vrrp.Address {
	var out []vrrp.Address
	for i := range n {
		out = append(out, vrrp.Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(16 + lan), byte(200 + i)}), 24)})
	}
	return out
}

// Instance returns the configuration that scenarios start from: version 3,
// adverts every second, preemption, one address.
func Instance(priority uint8) vrrp.Config {
	return vrrp.Config{
		Name: instName(0), Interface: lanName(0), VRID: 51, Version: vrrp.V3, Priority: priority,
		AdvertInterval: time.Second, Preempt: true, DownTimerAdverts: vrrp.DefaultDownTimerAdverts,
		Checksum: vrrp.ChecksumAuto, Addresses: virtual(0, 1), GARP: vrrp.DefaultGARP(),
	}
}

// onLAN is c as it is on a further LAN.
func onLAN(c vrrp.Config, lan int) vrrp.Config {
	if lan > 0 {
		c.Name, c.Interface, c.VRID = instName(lan), lanName(lan), c.VRID+uint8(lan)
		c.Addresses = virtual(lan, len(c.Addresses))
	}
	return c
}
