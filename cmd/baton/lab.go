package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baton/internal/lab"
)

// labOptions are the flags that find a lab.
type labOptions struct {
	name, dir string
}

func (o *labOptions) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.name, "name", "baton", "`prefix` of the namespaces")
	cmd.Flags().StringVar(&o.dir, "dir", "", "state `directory` (default /run/NAME-lab)")
}

func (o *labOptions) open() (*lab.Lab, error) {
	dir := o.dir
	if dir == "" {
		dir = lab.DefaultDir(o.name)
	}
	return lab.Open(dir)
}

func newLab() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "The whole cluster in network namespaces of this machine",
		Long:  "Builds client, router, two directors and two real servers in network namespaces:\n" + lab.DR.Drawing() + "\nModes (--mode):\n\n" + modeList(),
		Args:  commandOnly,
		RunE:  needCommand,
	}
	cmd.AddCommand(newLabUp(), newLabDown(), newLabExec(), newLabStatus())
	return cmd
}

func newLabUp() *cobra.Command {
	var (
		o          labOptions
		up         lab.Options
		configFile string
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Build the lab and start both directors",
		Args:  cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			if configFile != "" {
				raw, err := os.ReadFile(configFile)
				if err != nil {
					return fmt.Errorf("read configuration of the lab: %w", err)
				}
				up.Config = string(raw)
			}
			l, err := lab.Up(ctx, o.building(cmd, up))
			if errors.Is(err, lab.ErrUp) {
				return fmt.Errorf("%w (baton lab down removes it)", err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "waiting for a master")
			if err := l.Settle(ctx); err != nil {
				return err
			}
			return l.Status(ctx).Write(cmd.OutOrStdout())
		}),
	}
	o.add(cmd)
	addBuild(cmd, &up)
	cmd.Flags().StringVarP(&configFile, "config", "c", "", "configuration `file` instead of the lab's own")
	return cmd
}

// addBuild adds the flags that say what is built.
func addBuild(cmd *cobra.Command, up *lab.Options) {
	cmd.Flags().StringVar((*string)(&up.Topology), "mode", string(lab.DR), "forwarding `mode`: "+modeNames())
	cmd.Flags().BoolVar(&up.IPv6, "ipv6", false, "a virtual router and a service over IPv6 beside the others (mode dr)")
	cmd.Flags().DurationVar(&up.AdvertInterval, "advert-int", time.Second, "`interval` of the adverts")
	cmd.Flags().IntVar(&up.Version, "vrrp-version", 3, "VRRP `version`, 2 or 3")
	cmd.Flags().BoolVar(&up.NoPreempt, "nopreempt", false, "a returning director stays backup")
	cmd.Flags().DurationVar(&up.CheckInterval, "delay-loop", time.Second, "`interval` of the health checks")
}

// building completes the options of a lab that is about to be built.
func (o *labOptions) building(cmd *cobra.Command, up lab.Options) lab.Options {
	up.Name, up.Dir = o.name, o.dir
	up.Progress = func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), what) }
	return up
}

func newLabDown() *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop everything in the lab and remove it",
		Args:  cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			found, err := lab.Down(ctx, o.name, o.dir)
			if err != nil {
				return err
			}
			if !found {
				fmt.Fprintln(cmd.OutOrStdout(), "there was no lab")
			}
			return nil
		}),
	}
	o.add(cmd)
	return cmd
}

func newLabExec() *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use:     "exec NODE COMMAND [ARGUMENT…]",
		Short:   "Run a command in a node of the lab",
		Long:    "Runs a command in the network namespace of a node: " + strings.Join(lab.Nodes(), ", ") + ";\nin mode dr-routed also " + lab.Router2Node + ".",
		Example: "  baton lab exec client curl -s http://192.168.16.200/\n  baton lab exec lvs-a ipvsadm -Ln",
		Args:    cobra.MinimumNArgs(2),
		RunE: action(func(_ *cobra.Command, args []string) error {
			known := func(nodes []string) error {
				if !slices.Contains(nodes, args[0]) {
					return usage{fmt.Errorf("there is no node %q; nodes are %s", args[0], strings.Join(nodes, ", "))}
				}
				return nil
			}
			if err := known(lab.EveryNode()); err != nil {
				return err
			}
			l, err := o.open()
			if err != nil {
				return err
			}
			if err := known(l.Topology().Nodes()); err != nil {
				return err
			}
			return l.Exec(args[0], args[1:])
		}),
	}
	o.add(cmd)
	// What follows NODE belongs to the command, its flags too.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func newLabStatus() *cobra.Command {
	var (
		o      labOptions
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the nodes of the lab",
		Args:  cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			l, err := o.open()
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), l.Status(ctx))
			}
			return l.Status(ctx).Write(cmd.OutOrStdout())
		}),
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

func modeNames() string {
	var names []string
	for _, t := range lab.Topologies() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

func modeList() string {
	var b strings.Builder
	for _, t := range lab.Topologies() {
		fmt.Fprintf(&b, "  %-10s %s\n", t, t.Sentence())
	}
	return b.String()
}
