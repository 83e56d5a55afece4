package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/netif"
	"baton/internal/settings"
	"baton/ipvs"
)

// Machine is where a plan meets the machine. It is only read.
type Machine struct {
	Kernel  func() (Kernel, error)
	Network func(cfg *conf.Config, st *control.Status) (Network, error)
	// Settings adds to the kernel what settings depend on besides.
	Settings func(Kernel) settings.Machine
}

// Kernel reads what the kernel has of IPVS.
type Kernel interface {
	Read(ctx context.Context) (ipvs.Table, error)
	settings.Kernel
	Close() error
}

// This is the machine that this process runs on.
var This = Machine{
	Kernel:   func() (Kernel, error) { return ipvs.OpenKernel() },
	Network:  readNetwork,
	Settings: func(k Kernel) settings.Machine { return settings.On(k) },
}

// Read reads what a plan for the configuration starts from, and asks the
// director what it knows, if one runs.
func (m Machine) Read(ctx context.Context, cfg *conf.Config, client *control.Client) (Situation, error) {
	now := Situation{Time: time.Now()}
	// First, because a director that is asked for its status looks at the
	// kernel as well, and mends what somebody else has changed.
	k, err := m.Kernel()
	if err != nil {
		return now, fmt.Errorf("open ipvs: %w", err)
	}
	defer k.Close()
	if now.Table, err = k.Read(ctx); err != nil {
		return now, fmt.Errorf("read ipvs table: %w", err)
	}
	if now.Record, err = settings.ReadRecord(settings.RecordFile(cfg.Global.RuntimeDir)); err != nil {
		return now, err
	}
	if now.Settings, err = m.Settings(k).Read(ctx, cfg.IPVS, now.Record); err != nil {
		return now, err
	}
	st, err := client.Status(ctx)
	switch {
	case err == nil:
		now.Status = &st
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
	default:
		return now, err
	}
	if now.Owned, _, err = ReadOwnership(cfg.Global.StateDir); err != nil {
		return now, err
	}
	if now.Status != nil {
		now.Network, err = m.Network(cfg, now.Status)
	}
	return now, err
}

// OwnershipFile is where a director with that state directory remembers which
// services are its own.
func OwnershipFile(stateDir string) string { return filepath.Join(stateDir, "ipvs-owned.json") }

// maxOwnership bounds the file, in bytes: 10,000 services take less than one MiB.
const maxOwnership = 64 << 20

// ReadOwnership reads which services the director has programmed. Without the
// file, recorded is false, there are none.
func ReadOwnership(stateDir string) (owned ipvs.Ownership, recorded bool, err error) {
	name := OwnershipFile(stateDir)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return ipvs.Ownership{}, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read ownership record: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxOwnership+1))
	if err == nil && len(raw) > maxOwnership {
		err = fmt.Errorf("larger than %d bytes", maxOwnership)
	}
	if err == nil {
		err = json.Unmarshal(raw, &owned)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read ownership record %s: %w (remove the file: services that were taken out of the configuration meanwhile then count as foreign)", name, err)
	}
	return owned, true, nil
}

// readNetwork reads the interfaces of the configuration and of the running
// instances.
func readNetwork(cfg *conf.Config, st *control.Status) (Network, error) {
	out := Network{Interfaces: map[string]Interface{}}
	names := map[string]bool{}
	for _, i := range cfg.Instances {
		for dev := range Addresses(i) {
			names[dev] = true
		}
	}
	for _, i := range st.Instances {
		names[i.Interface] = true
	}
	m, err := netif.New(netif.Options{RecordFile: netif.RecordFile(cfg.Global.RuntimeDir)})
	if err != nil {
		return out, err
	}
	defer m.Close()
	if out.Routes, err = m.OwnedRoutes(); err != nil {
		return out, err
	}
	if out.Rules, err = m.OwnedRules(); err != nil {
		return out, err
	}
	for name := range names {
		ifi, err := net.InterfaceByName(name)
		if err != nil { // it does not exist
			continue
		}
		var i Interface
		if i.Ours, err = m.OwnedAddresses(name); err != nil {
			return out, err
		}
		all, err := ifi.Addrs()
		if err != nil {
			return out, fmt.Errorf("read addresses of %s: %w", name, err)
		}
		for _, one := range all {
			if p, err := netip.ParsePrefix(one.String()); err == nil {
				i.Present = append(i.Present, p)
			}
		}
		out.Interfaces[name] = i
	}
	return out, nil
}
