package netif

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// standing is an address in a short form: "*" ours, "s" secondary.
func standing(list ...string) []address {
	var out []address
	for _, s := range list {
		p, marks, _ := strings.Cut(s, " ")
		out = append(out, address{
			prefix:    netip.MustParsePrefix(p),
			ours:      strings.Contains(marks, "*"),
			secondary: strings.Contains(marks, "s"),
		})
	}
	return out
}

func wanted(list ...string) []Addr {
	var out []Addr
	for _, s := range list {
		out = append(out, Addr{Prefix: netip.MustParsePrefix(s)})
	}
	return out
}

func names(list []address) string {
	var out []string
	for _, a := range list {
		out = append(out, a.prefix.String())
	}
	return strings.Join(out, " ")
}

func TestPlanAddresses(t *testing.T) {
	tests := []struct {
		name     string
		observed []address
		desired  []Addr
		owned    []netip.Prefix
		add      string
		remove   string
		foreign  string
	}{
		{name: "nothing"},
		{
			name:     "missing one is added beside the interface's own",
			observed: standing("192.0.2.1/24"),
			desired:  wanted("192.0.2.200/24"),
			add:      "192.0.2.200/24",
		},
		{
			name:     "present ones are left",
			observed: standing("192.0.2.1/24", "192.0.2.200/24 *s"),
			desired:  wanted("192.0.2.200/24", "192.0.2.200/24"),
		},
		{
			name:     "only ours are removed",
			observed: standing("192.0.2.1/24", "192.0.2.200/24 *s", "192.0.2.201/24 s"),
			remove:   "192.0.2.200/24",
		},
		{
			name:     "secondary ones go first",
			observed: standing("192.0.2.200/24 *", "192.0.2.201/24 *s", "10.0.0.1/32 *", "192.0.2.202/24 *s"),
			remove:   "192.0.2.201/24 192.0.2.202/24 192.0.2.200/24 10.0.0.1/32",
		},
		{
			name:     "removal is limited to what one router owns",
			observed: standing("192.0.2.200/24 *", "192.0.2.201/24 *s"),
			owned:    []netip.Prefix{netip.MustParsePrefix("192.0.2.201/24"), netip.MustParsePrefix("192.0.2.202/24")},
			remove:   "192.0.2.201/24",
		},
		{
			name:     "owning nothing removes nothing",
			observed: standing("192.0.2.200/24 *"),
			owned:    []netip.Prefix{},
		},
		{
			name:     "somebody else's is told",
			observed: standing("192.0.2.200/24"),
			desired:  wanted("192.0.2.200/24"),
			foreign:  "192.0.2.200/24",
		},
		{
			name:     "another prefix length is another address",
			observed: standing("192.0.2.200/24 *"),
			desired:  wanted("192.0.2.200/32"),
			add:      "192.0.2.200/32",
			remove:   "192.0.2.200/24",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := planAddresses(tt.observed, tt.desired, tt.owned)
			var add, foreign []string
			for _, a := range p.add {
				add = append(add, a.Prefix.String())
			}
			for _, f := range p.foreign {
				foreign = append(foreign, f.String())
			}
			got := [3]string{strings.Join(add, " "), names(p.remove), strings.Join(foreign, " ")}
			if diff := cmp.Diff([3]string{tt.add, tt.remove, tt.foreign}, got); diff != "" {
				t.Errorf("add, remove, foreign (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEndangered(t *testing.T) {
	observed := standing("192.0.2.200/24 *", "192.0.2.1/24 s", "192.0.2.201/24 *s", "10.0.0.1/24", "10.0.0.2/24 s", "192.0.2.9/25")
	tests := []struct{ doomed, want string }{
		{"192.0.2.200/24", "192.0.2.1/24 192.0.2.201/24"},
		{"192.0.2.201/24", ""},                            // a secondary one takes nobody along
		{"192.0.2.200/24 192.0.2.201/24", "192.0.2.1/24"}, // what goes anyway is not in danger
		{"192.0.2.9/25", ""},
	}
	for _, tt := range tests {
		var doomed []address
		for _, a := range observed {
			if strings.Contains(tt.doomed, a.prefix.String()) {
				doomed = append(doomed, a)
			}
		}
		if got := names(endangered(observed, doomed)); got != tt.want {
			t.Errorf("removing %s endangers %q, want %q", tt.doomed, got, tt.want)
		}
	}
}

func TestAddrMessage(t *testing.T) {
	tests := []struct {
		name string
		addr Addr
		want string // of the error; empty: none
	}{
		{"plain", Addr{Prefix: netip.MustParsePrefix("192.0.2.1/24")}, ""},
		{"label", Addr{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Label: "eth0:vip"}, ""},
		{"scope", Addr{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Scope: "253"}, ""},
		{"zero", Addr{}, "not a unicast address"},
		{"multicast", Addr{Prefix: netip.MustParsePrefix("224.0.0.18/32")}, "not a unicast address"},
		{"mapped", Addr{Prefix: netip.MustParsePrefix("::ffff:192.0.2.1/128")}, "not a unicast address"},
		{"unspecified", Addr{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, "not a unicast address"},
		{"foreign label", Addr{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Label: "eth1:vip"}, `label "eth1:vip": must begin with "eth0"`},
		{"long label", Addr{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Label: "eth0:0123456789a"}, "at most 15 bytes"},
		{"label on ipv6", Addr{Prefix: netip.MustParsePrefix("2001:db8::1/64"), Label: "eth0:vip"}, "belong to an ipv4 address"},
		{"bad scope", Addr{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Scope: "world"}, `scope "world": must be global`},
		{"big scope", Addr{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Scope: "256"}, "0 to 255"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg, err := tt.addr.message("eth0")
			switch {
			case tt.want == "" && err != nil:
				t.Fatalf("error %v, want none", err)
			case tt.want == "":
				if msg.Protocol != Tag || msg.IPNet.String() != tt.addr.Prefix.String() {
					t.Errorf("message %+v lacks tag or prefix", msg)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	msg, err := Addr{Prefix: netip.MustParsePrefix("2001:db8::1/64"), Scope: "link"}.message("eth0")
	if err != nil || msg.Flags != unix.IFA_F_NODAD || msg.Scope != int(netlink.SCOPE_LINK) {
		t.Errorf("message %+v, %v, want no duplicate detection and link scope", msg, err)
	}
}
