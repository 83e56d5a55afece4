package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"baton/internal/realserver"
)

// realServerOptions are the flags of realserver's commands.
type realServerOptions struct {
	realserver.Options
	mode    string
	iface   string
	persist bool
}

func newRealServer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "realserver",
		Short: "A real server's side of DR and TUN: hold a virtual address and keep silent about it",
		Long: `For the real servers of a virtual_server with lb_kind DR or TUN, not for the
directors. The host takes packets for the virtual address and tells nobody that it
has it. docs/real-servers.md has the whole story, and the way without Baton.`,
		Args: commandOnly, RunE: needCommand,
	}
	cmd.AddCommand(newRealServerUp(), newRealServerDown(), newRealServerStatus())
	return cmd
}

func (o *realServerOptions) add(cmd *cobra.Command, kind bool) {
	cmd.Flags().StringVar(&o.RuntimeDir, "runtime-dir", realserver.DefaultRuntimeDir, "`directory` that remembers what was changed, one for each network namespace")
	cmd.Flags().StringVar(&o.StateDir, "state-dir", realserver.DefaultStateDir, "`directory` that remembers what --persist was asked for")
	if kind {
		cmd.Flags().StringVar(&o.mode, "mode", string(realserver.DR), "how the director's packets arrive: `dr|tun`")
		cmd.Flags().StringVar(&o.iface, "interface", "", "`interface` that gets the address (default: lo; with --mode tun tunl0, for IPv6 ip6tnl0)")
	}
}

// open opens the manager for f and prints what it did.
func (o *realServerOptions) open(cmd *cobra.Command, f func(*realserver.Manager) error) error {
	m, err := realserver.Open(cmd.Context(), o.Options)
	if err != nil {
		return err
	}
	defer m.Close()
	err = f(m)
	for _, line := range m.TakeSaid() {
		fmt.Fprintln(cmd.OutOrStdout(), line)
	}
	return err
}

// wants reads the addresses of the command line. Those that were put up
// before keep their mode and interface unless the flags say otherwise.
func (o *realServerOptions) wants(cmd *cobra.Command, args []string, known []realserver.Want) ([]realserver.Want, error) {
	mode, err := realserver.ParseMode(o.mode)
	if err != nil {
		return nil, usage{err}
	}
	given := cmd.Flags().Changed("mode") || cmd.Flags().Changed("interface")
	var out []realserver.Want
	for _, arg := range args {
		w, err := realserver.NewWant(arg, mode, o.iface)
		if err != nil {
			return nil, usage{err}
		}
		for _, k := range known {
			if k.VIP == w.VIP && !given {
				w = k
			}
		}
		out = append(out, w)
	}
	return out, nil
}

func newRealServerUp() *cobra.Command {
	var o realServerOptions
	cmd := &cobra.Command{
		Use:   "up [VIP…]",
		Short: "Take packets for virtual addresses, and keep silent about them",
		Long: `Sets arp_ignore=1 and arp_announce=2, and only then puts the address on lo, with /32
or /128. With --mode tun it goes on tunl0, which is set up and gets rp_filter=2. What
is right already is left as it is; doing it twice changes nothing.

With --persist the addresses are remembered: without VIP, all that are remembered
are put up, which is what the unit baton-realserver does at boot.`,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return o.open(cmd, func(m *realserver.Manager) error {
				wants, err := o.wants(cmd, args, nil)
				if err == nil && len(args) == 0 {
					if wants, err = m.Persistent(); err == nil && len(wants) == 0 {
						err = errors.New("put up addresses: none is named, and none was given with --persist before")
					}
				}
				if err == nil {
					err = m.Up(wants)
				}
				if err == nil && o.persist {
					err = m.Persist(wants)
				}
				if err != nil {
					return err
				}
				return o.report(cmd, m, wants, false)
			})
		}),
	}
	o.add(cmd, true)
	cmd.Flags().BoolVar(&o.persist, "persist", false, "remember the addresses: up without VIP puts them up again")
	return cmd
}

func newRealServerDown() *cobra.Command {
	var o realServerOptions
	var keep bool
	cmd := &cobra.Command{
		Use:   "down [VIP…]",
		Short: "Take back what up has changed, and only that",
		Long: `Removes the addresses that up has added and, with the last one that needs them, sets
parameters and interfaces back to what they were. What somebody else has changed
since is left alone and told. Without VIP it is done for all that were put up, and
none that --persist has remembered is put up at boot any more.

With --keep they are put up again at boot, and without VIP it is done for those that
--persist has remembered alone: what stopping a unit means.

The director goes on sending packets here until the server is out of its
configuration or drained: do that first.`,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			var vips []netip.Addr
			for _, arg := range args {
				w, err := realserver.NewWant(arg, realserver.DR, "")
				if err != nil {
					return usage{err}
				}
				vips = append(vips, w.VIP)
			}
			return o.open(cmd, func(m *realserver.Manager) error {
				if keep {
					if len(vips) == 0 {
						kept, err := m.Persistent()
						if err != nil {
							return err
						}
						vips = addresses(kept)
					}
					return m.Suspend(vips)
				}
				if len(vips) == 0 {
					kept, _ := m.Persistent() // Down tells what is wrong with it, and takes the others down
					vips = addresses(append(m.Recorded(), kept...))
				}
				return m.Down(vips)
			})
		}),
	}
	o.add(cmd, false)
	cmd.Flags().BoolVar(&keep, "keep", false, "go on remembering what --persist was asked for")
	return cmd
}

// addresses are those of wants, once each.
func addresses(wants []realserver.Want) (vips []netip.Addr) {
	for _, w := range wants {
		if !slices.Contains(vips, w.VIP) {
			vips = append(vips, w.VIP)
		}
	}
	return vips
}

func newRealServerStatus() *cobra.Command {
	var o realServerOptions
	cmd := &cobra.Command{
		Use:   "status [VIP…]",
		Short: "Say what is right and what is wrong, with the command that mends it",
		Long: `Judges the addresses, or without VIP all that were put up or remembered here. Exits 0
when everything is right and 1 when something is wrong.`,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return o.open(cmd, func(m *realserver.Manager) error {
				wants, err := o.known(cmd, args, m)
				if err != nil {
					return err
				}
				if len(wants) == 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "no virtual address was put up here by baton; name one to judge it")
					return nil
				}
				return o.report(cmd, m, wants, true)
			})
		}),
	}
	o.add(cmd, true)
	return cmd
}

// known are the addresses of the command line, or without any all that were put
// up or remembered here.
func (o *realServerOptions) known(cmd *cobra.Command, args []string, m *realserver.Manager) ([]realserver.Want, error) {
	known := m.Recorded()
	kept, err := m.Persistent()
	if err != nil {
		return nil, err
	}
	known = append(kept, known...) // what was done last counts
	wants, err := o.wants(cmd, args, known)
	if err == nil && len(args) == 0 {
		wants = newest(known)
	}
	return wants, err
}

// newest keeps the last of several for the same address.
func newest(wants []realserver.Want) []realserver.Want {
	var out []realserver.Want
	for i, w := range wants {
		if !slices.ContainsFunc(wants[i+1:], func(later realserver.Want) bool { return later.VIP == w.VIP }) {
			out = append(out, w)
		}
	}
	return out
}

// report prints what is wrong, on request also what is right.
func (o *realServerOptions) report(cmd *cobra.Command, m *realserver.Manager, wants []realserver.Want, all bool) error {
	list, err := m.Status(wants)
	if err != nil {
		return err
	}
	wrong := 0
	for _, f := range list {
		switch {
		case !f.OK:
			wrong++
			fmt.Fprintf(cmd.OutOrStdout(), "WRONG %s: %s\n      mend with: %s\n", f.What, f.Consequence, f.Mend)
		case all:
			fmt.Fprintf(cmd.OutOrStdout(), "ok    %s\n", f.What)
		}
	}
	if wrong > 0 {
		return &failure{code: exitFailed}
	}
	return nil
}
