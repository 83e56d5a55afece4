package settings

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"

	"baton/conf"
	"baton/internal/netif"
	"baton/ipvs"
)

// Kernel is the part of ipvs.LinuxKernel that concerns IPVS as a whole.
type Kernel interface {
	Daemons(ctx context.Context) (map[ipvs.DaemonRole]ipvs.SyncDaemon, error)
	StartDaemon(ctx context.Context, role ipvs.DaemonRole, d ipvs.SyncDaemon) error
	StopDaemon(ctx context.Context, role ipvs.DaemonRole) error
	Timeouts(ctx context.Context) (ipvs.Timeouts, error)
	SetTimeouts(ctx context.Context, t ipvs.Timeouts) error
}

// Machine is a kernel with the rest that settings depend on.
type Machine struct {
	Kernel
	// Sysctl and SetSysctl read and write a parameter below /proc/sys. The error
	// of one that does not exist is fs.ErrNotExist.
	Sysctl    func(name string) (string, error)
	SetSysctl func(name, value string) error
	// Link returns the index of an interface, 0 for one that does not exist.
	Link func(name string) (int, error)
}

// On returns the machine that this process runs on.
func On(k Kernel) Machine {
	return Machine{Kernel: k, Sysctl: netif.ReadSysctl, SetSysctl: netif.WriteSysctl, Link: link}
}

func link(name string) (int, error) {
	all, err := net.Interfaces()
	if err != nil {
		return 0, fmt.Errorf("list interfaces: %w", err)
	}
	for _, i := range all {
		if i.Name == name {
			return i.Index, nil
		}
	}
	return 0, nil
}

// Read reads what a Plan for the configuration and the record needs.
func (m Machine) Read(ctx context.Context, want conf.IPVS, rec Record) (State, error) {
	s := State{Sysctls: map[string]string{}, Links: map[string]int{}}
	var err error
	if s.Daemons, err = m.Daemons(ctx); err != nil {
		return s, fmt.Errorf("read sync daemons: %w", err)
	}
	if s.Timeouts, err = m.Timeouts(ctx); err != nil {
		return s, fmt.Errorf("read timeouts: %w", err)
	}
	if want.Sync != nil {
		i, err := m.Link(want.Sync.Interface)
		if err != nil {
			return s, err
		}
		if i != 0 {
			s.Links[want.Sync.Interface] = i
		}
	}
	for _, name := range parameters(want, rec) {
		v, err := m.Sysctl(procName(name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return s, err
		default:
			s.Sysctls[name] = v
		}
	}
	return s, nil
}

// procName is the parameter's name below /proc/sys.
func procName(name string) string { return "net/ipv4/vs/" + name }

// parameters are those that a Plan looks at.
func parameters(want conf.IPVS, rec Record) []string {
	var names []string
	for _, s := range want.Sysctls {
		names = append(names, s.Name)
	}
	for name := range rec.Sysctls {
		names = append(names, name)
	}
	if want.Sync != nil {
		names = append(names, startOnly...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Apply performs one operation.
func (m Machine) Apply(ctx context.Context, op Op) error {
	var err error
	switch op.Kind {
	case SetSysctl:
		return m.SetSysctl(procName(op.Sysctl.Name), op.Sysctl.Value)
	case SetTimeouts:
		err = m.SetTimeouts(ctx, op.Timeouts)
	case StopDaemon:
		err = m.StopDaemon(ctx, op.Role)
	case StartDaemon:
		err = m.StartDaemon(ctx, op.Role, op.Daemon)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}
