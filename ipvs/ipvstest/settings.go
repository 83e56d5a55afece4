package ipvstest

import (
	"context"
	"maps"
	"net/netip"
	"syscall"
	"time"

	"baton/ipvs"
)

// settings is what a kernel has beside its table.
type settings struct {
	daemons  map[ipvs.DaemonRole]ipvs.SyncDaemon
	timeouts ipvs.Timeouts
}

// Daemons is that of ipvs.LinuxKernel.
func (k *Kernel) Daemons(ctx context.Context) (map[ipvs.DaemonRole]ipvs.SyncDaemon, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.settings.daemons), ctx.Err()
}

// StartDaemon is that of ipvs.LinuxKernel. Every interface exists and has an MTU of 1500.
func (k *Kernel) StartDaemon(ctx context.Context, role ipvs.DaemonRole, d ipvs.SyncDaemon) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, running := k.settings.daemons[role]; running {
		return syscall.EEXIST
	}
	for key, e := range k.table {
		for _, s := range e.Servers {
			if s.Key.Address.Is4() != (key.AF() == ipvs.IPv4) {
				return syscall.EINVAL
			}
		}
	}
	if k.settings.daemons == nil {
		k.settings.daemons = map[ipvs.DaemonRole]ipvs.SyncDaemon{}
	}
	k.settings.daemons[role] = filled(role, d)
	k.commands = append(k.commands, role.StartCommand(d))
	return nil
}

// filled is d with what start_sync_thread of ip_vs_sync.c puts in.
func filled(role ipvs.DaemonRole, d ipvs.SyncDaemon) ipvs.SyncDaemon {
	if d.Port == 0 {
		d.Port = 8848
	}
	if d.TTL == 0 {
		d.TTL = 1
	}
	if !d.Group.IsValid() {
		d.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	}
	headers := 28
	if d.Group.Is6() {
		headers = 48
	}
	if d.MaxLen == 0 {
		d.MaxLen = 1500 - headers
	}
	if role == ipvs.DaemonBackup {
		d.MaxLen = max(d.MaxLen, 1024)
	}
	d.MaxLen = min(d.MaxLen, 65535-headers)
	return d
}

// StopDaemon is that of ipvs.LinuxKernel.
func (k *Kernel) StopDaemon(ctx context.Context, role ipvs.DaemonRole) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, running := k.settings.daemons[role]; !running {
		return syscall.ESRCH
	}
	delete(k.settings.daemons, role)
	k.commands = append(k.commands, role.StopCommand())
	return nil
}

// Timeouts is that of ipvs.LinuxKernel: 900, 120 and 300 s until they are set.
func (k *Kernel) Timeouts(ctx context.Context) (ipvs.Timeouts, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.settings.timeouts.Over(ipvs.Timeouts{TCP: 900 * time.Second, TCPFin: 120 * time.Second, UDP: 300 * time.Second}), ctx.Err()
}

// SetTimeouts is that of ipvs.LinuxKernel.
func (k *Kernel) SetTimeouts(ctx context.Context, t ipvs.Timeouts) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settings.timeouts = t.Over(k.settings.timeouts)
	k.commands = append(k.commands, t.String())
	return nil
}
