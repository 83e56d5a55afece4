package director

import (
	"context"
	"fmt"

	"baton/conf"
	"baton/internal/netif"
	"baton/internal/settings"
	"baton/vrrp"
)

// ground is what a machine lets a director do.
type ground struct {
	writable func(sysctl string) error // why a parameter below /proc/sys cannot be set
	ipv6     func() bool               // whether the kernel has IPv6
}

// thisGround is the machine's own.
var thisGround = ground{
	writable: netif.SysctlWritable,
	ipv6: func() bool {
		_, err := netif.ReadSysctl("net/ipv6/conf/all/disable_ipv6")
		return err == nil
	},
}

// preflight refuses what could only be done by half: a start that is refused in
// one line is better than one that says so again and again, or that puts a
// director into FAULT for good.
func preflight(cfg *conf.Config, ops []settings.Op, g ground) error {
	for _, i := range cfg.Instances {
		if needs6 := wants6(i); needs6 != "" && !g.ipv6() {
			return fmt.Errorf("start: the kernel has no IPv6, which vrrp_instance %q needs for %s (boot without ipv6.disable=1, or take its IPv6 addresses out)", i.Name, needs6)
		}
		if i.VMAC != nil {
			if err := g.writable("net/ipv4/conf/all/arp_ignore"); err != nil {
				return fmt.Errorf("start: vrrp_instance %q has use_vmac: %w, or take use_vmac out", i.Name, err)
			}
		}
	}
	for _, op := range ops {
		if op.Kind != settings.SetSysctl || op.Reason != settings.Configured {
			continue
		}
		if err := g.writable("net/ipv4/vs/" + op.Sysctl.Name); err != nil {
			return fmt.Errorf("start: [ipvs] has %s = %s: %w, or take the key out", op.Sysctl.Name, op.Sysctl.Value, err)
		}
	}
	return nil
}

// wants6 is an IPv6 address of the instance's, "" without one.
func wants6(i vrrp.Config) string {
	for _, a := range i.All() {
		if a.Prefix.Addr().Is6() {
			return a.Prefix.Addr().String()
		}
	}
	return ""
}

// settingOps are what [ipvs] would change now. What cannot be read is told later,
// by who does it.
func settingOps(ctx context.Context, m settings.Machine, cfg *conf.Config) []settings.Op {
	rec, err := settings.ReadRecord(settings.RecordFile(cfg.Global.RuntimeDir))
	if err != nil {
		return nil
	}
	now, err := m.Read(ctx, cfg.IPVS, rec)
	if err != nil {
		return nil
	}
	return settings.Plan(cfg.IPVS, now, rec).Ops
}
