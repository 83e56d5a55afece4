package main

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/netif"
	"baton/ipvs"
	"baton/vrrp"
)

// addressSet is the addresses of an interface.
type addressSet struct {
	Present []netip.Prefix
	Ours    []netip.Prefix // those of them that baton has added
}

// planCommands returns the commands that lead from now to the configuration,
// and what is to be known about them. Addresses appear first and disappear
// last, as the director does it.
func planCommands(cfg *conf.Config, now situation) (commands, notes []string) {
	table, notes := desired(cfg, now)
	add, remove := addressCommands(cfg, now)
	commands = add
	for _, op := range ipvs.Plan(table, now.table, now.owned) {
		commands = append(commands, op.String())
	}
	return append(commands, remove...), notes
}

// desired is the table that the configuration and what the director knows of
// the servers' health ask for. A server of unknown health stays as it is; one
// that the director has never heard of is told to wait for its checks.
func desired(cfg *conf.Config, now situation) (t ipvs.Table, notes []string) {
	type id struct{ service, server string }
	states := map[id]string{}
	if now.status != nil {
		for _, s := range now.status.Services {
			for _, sv := range s.Servers {
				states[id{s.Name, sv.Address}] = sv.State
			}
		}
	}
	t = make(ipvs.Table, len(cfg.Services))
	for _, vs := range cfg.Services {
		key := vs.Service.Key
		e := ipvs.Entry{Service: vs.Service, Servers: map[ipvs.ServerKey]ipvs.Server{}}
		for _, rs := range vs.Servers {
			s := rs.Server
			was, inTable := now.table[key].Servers[s.Key]
			switch state := states[id{key.String(), s.Key.String()}]; {
			case now.status == nil, state == "up", len(rs.Checks) == 0:
			case state == "" && !inTable:
				notes = append(notes, fmt.Sprintf("real_server %s of %s: the director adds it when its health checks have passed", s.Key, key))
			case rs.InhibitOnFailure && (state == "down" || was.Weight == 0):
				s.Weight = 0
			case state == "down", !inTable:
				continue
			}
			e.Servers[s.Key] = s
		}
		t[key] = e
	}
	return t, notes
}

// addressCommands moves addresses only where a running director says what the
// instances are.
func addressCommands(cfg *conf.Config, now situation) (add, remove []string) {
	if now.status == nil {
		return nil, nil
	}
	wanted := map[string][]netip.Prefix{}
	for _, i := range cfg.Instances {
		if !isMaster(now.status, i.Name) {
			continue
		}
		for _, a := range i.Addresses {
			dev := deviceOf(i, a)
			wanted[dev] = append(wanted[dev], a.Prefix)
			if !slices.Contains(now.addresses[dev].Present, a.Prefix) {
				add = append(add, addCommand(a, dev))
			}
		}
	}
	for _, dev := range slices.Sorted(maps.Keys(now.addresses)) {
		for _, p := range now.addresses[dev].Ours {
			if !slices.Contains(wanted[dev], p) {
				remove = append(remove, fmt.Sprintf("ip address del %s dev %s", p, dev))
			}
		}
	}
	return add, remove
}

func isMaster(st *control.Status, instance string) bool {
	return slices.ContainsFunc(st.Instances, func(i control.Instance) bool { return i.Name == instance && i.State == "MASTER" })
}

func deviceOf(i vrrp.Config, a vrrp.Address) string {
	if a.Device != "" {
		return a.Device
	}
	return i.Interface
}

func addCommand(a vrrp.Address, dev string) string {
	c := fmt.Sprintf("ip address add %s dev %s", a.Prefix, dev)
	if a.Label != "" {
		c += " label " + a.Label
	}
	if a.Scope != "" {
		c += " scope " + a.Scope
	}
	return c
}

// readAddresses reads the interfaces of the configuration and of the running
// instances.
func readAddresses(cfg *conf.Config, st *control.Status) (map[string]addressSet, error) {
	names := map[string]bool{}
	for _, i := range cfg.Instances {
		names[i.Interface] = true
		for _, a := range i.Addresses {
			names[deviceOf(i, a)] = true
		}
	}
	for _, i := range st.Instances {
		names[i.Interface] = true
	}
	m, err := netif.New(netif.Options{RecordFile: filepath.Join(cfg.Global.RuntimeDir, "addresses.json")})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	out := map[string]addressSet{}
	for name := range names {
		ifi, err := net.InterfaceByName(name)
		if err != nil { // it does not exist: everything is to be added
			continue
		}
		var a addressSet
		if a.Ours, err = m.OwnedAddresses(name); err != nil {
			return nil, err
		}
		all, err := ifi.Addrs()
		if err != nil {
			return nil, fmt.Errorf("read addresses of %s: %w", name, err)
		}
		for _, one := range all {
			if p, err := netip.ParsePrefix(one.String()); err == nil {
				a.Present = append(a.Present, p)
			}
		}
		out[name] = a
	}
	return out, nil
}
