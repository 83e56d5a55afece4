package director

import (
	"strings"
	"time"

	"baton/internal/control"
	"baton/ipvs"
)

// ipvsStatus is what the steward has read last.
func (c *core) ipvsStatus() *control.IPVS {
	p := c.settled
	if p.seq == 0 {
		return nil
	}
	seconds := func(d time.Duration) int64 { return int64(d / time.Second) }
	t := p.res.State.Timeouts
	out := &control.IPVS{Timeouts: control.Timeouts{TCP: seconds(t.TCP), TCPFin: seconds(t.TCPFin), UDP: seconds(t.UDP)}}
	if p.err != nil {
		out.Problem = p.err.Error()
	}
	for _, role := range []ipvs.DaemonRole{ipvs.DaemonMaster, ipvs.DaemonBackup} {
		d, runs := p.res.State.Daemons[role]
		if !runs && p.want.Sync == nil {
			continue
		}
		if !runs {
			d = *p.want.Sync
		}
		out.Daemons = append(out.Daemons, syncDaemon(role, d, runs, p.want.Sync != nil))
	}
	for _, s := range p.want.Sysctls {
		out.Sysctls = append(out.Sysctls, control.Sysctl{Name: s.Name, Configured: s.Value,
			Value: words(p.res.State.Sysctls[s.Name]), Was: words(p.res.Record.Sysctls[s.Name].Was)})
	}
	return out
}

// words puts single spaces where the kernel has tabs.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }

func syncDaemon(role ipvs.DaemonRole, d ipvs.SyncDaemon, runs, configured bool) control.SyncDaemon {
	out := control.SyncDaemon{Role: role.String(), Running: runs, Configured: configured,
		Interface: d.Interface, SyncID: d.SyncID, MaxLen: d.MaxLen, Port: d.Port, TTL: d.TTL}
	if d.Group.IsValid() {
		out.Group = d.Group.String()
	}
	return out
}
