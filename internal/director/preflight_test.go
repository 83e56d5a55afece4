package director

import (
	"errors"
	"net/netip"
	"testing"

	"baton/conf"
	"baton/internal/settings"
	"baton/vrrp"
)

func TestPreflight(t *testing.T) {
	readOnly := errors.New("set sysctl x: read-only file system (set it outside the container)")
	instance := func(vip string, vmac *vrrp.VMAC) conf.Config {
		return conf.Config{Instances: []vrrp.Config{{Name: "VI_1", VMAC: vmac, Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix(vip)}}}}}
	}
	set := []settings.Op{{Kind: settings.SetSysctl, Sysctl: conf.Sysctl{Name: "expire_nodest_conn", Value: "1"}, Reason: settings.Configured}}
	back := []settings.Op{{Kind: settings.SetSysctl, Sysctl: conf.Sysctl{Name: "expire_nodest_conn", Value: "0"}, Reason: settings.Unconfigured}, {Kind: settings.SetTimeouts}}
	for _, tt := range []struct {
		name     string
		cfg      conf.Config
		ops      []settings.Op
		writable error
		ipv6     bool
		want     string
	}{
		{"well", instance("fe80::200/64", &vrrp.VMAC{Name: "vrrp.51"}), set, nil, true, ""},
		{"IPv4 without IPv6, nothing to set", instance("192.168.16.200/24", nil), back, readOnly, false, ""},
		{"IPv6 without IPv6", instance("fe80::200/64", nil), nil, nil, false,
			`start: the kernel has no IPv6, which vrrp_instance "VI_1" needs for fe80::200 (boot without ipv6.disable=1, or take its IPv6 addresses out)`},
		{"VMAC", instance("192.168.16.200/24", &vrrp.VMAC{Name: "vrrp.51"}), nil, readOnly, true,
			`start: vrrp_instance "VI_1" has use_vmac: set sysctl x: read-only file system (set it outside the container), or take use_vmac out`},
		{"[ipvs]", instance("192.168.16.200/24", nil), set, readOnly, true,
			"start: [ipvs] has expire_nodest_conn = 1: set sysctl x: read-only file system (set it outside the container), or take the key out"},
	} {
		got := ""
		if err := preflight(&tt.cfg, tt.ops, ground{func(string) error { return tt.writable }, func() bool { return tt.ipv6 }}); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
