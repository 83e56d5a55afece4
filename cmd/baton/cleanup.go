package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"baton/conf"
	"baton/internal/director"
	"baton/vrrp"
)

// directories are where a director keeps what others need to know of it.
type directories struct {
	options
	runtime, state string
}

func (d *directories) add(cmd *cobra.Command, state bool) {
	d.addConfig(cmd)
	cmd.Flags().StringVar(&d.runtime, "runtime-dir", "", "runtime `directory` of the director (default: the configuration's)")
	if state {
		d.addState(cmd)
	}
}

func (d *directories) addState(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.state, "state-dir", "", "state `directory` of the director (default: the configuration's)")
}

// The directories without a configuration.
const (
	defaultRuntimeDir = "/run/baton"
	defaultStateDir   = "/var/lib/baton"
)

// resolve takes from the configuration what no flag says. To guess with a
// configuration that cannot be read might be to miss a director that runs.
func (d *directories) resolve(needState bool) error {
	if d.runtime != "" && (d.state != "" || !needState) {
		return nil
	}
	wanted := "--runtime-dir"
	if needState {
		wanted = "--runtime-dir and --state-dir"
	}
	dirs, err := d.configured(wanted)
	if err != nil {
		return err
	}
	if d.runtime == "" {
		d.runtime = dirs.RuntimeDir
	}
	if d.state == "" {
		d.state = dirs.StateDir
	}
	return nil
}

// configured are the directories of the configuration, or where there is none
// the defaults. The flags can be given instead.
func (d *directories) configured(flags string) (conf.Global, error) {
	if _, err := os.Stat(d.config); errors.Is(err, fs.ErrNotExist) {
		return conf.Global{RuntimeDir: defaultRuntimeDir, StateDir: defaultStateDir}, nil
	}
	cfg, err := conf.Load(d.config, d.node)
	if err != nil {
		return conf.Global{}, fmt.Errorf("find the director's directories: %w\n(mend the file, or give %s)", err, flags)
	}
	return cfg.Global, nil
}

// instances are those of the configuration, for this node.
func (d *directories) instances() ([]vrrp.Config, error) {
	cfg, err := conf.Load(d.config, d.node)
	if err != nil {
		return nil, err
	}
	return cfg.Instances, nil
}

func newCleanup() *cobra.Command {
	var d directories
	var o director.CleanupOptions
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what a dead director left: addresses, routes, rules, VMACs",
		Long: `Removes from the kernel what a director that was killed could not take back:
virtual addresses, virtual routes and rules, VMAC interfaces and the rules of a
handover, so that this node does not answer for an address that another one holds
by now. It knows them by the mark that they carry; nothing else is touched. It
prints what it removed, and may be run again.

The peers of an instance whose addresses it removed are told so with an advert of
priority 0, and take over after their skew, which is less than an advertisement
interval, instead of three intervals later. For that the configuration is read; when
that is not possible the addresses are removed all the same.

The IPVS table stays, and with it the connections that go through it, unless --ipvs
is given. While a director runs in this network namespace it refuses, whatever that
one's runtime_dir. A speaker that outlived its director is waited for: it hands the
addresses over without losing a request.

The systemd unit runs it after each stop and crash.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if err := d.resolve(o.IPVS); err != nil {
				return err
			}
			ctx, cancel := interruptible(cmd)
			defer cancel()
			said := false
			o.RuntimeDir, o.StateDir, o.Instances = d.runtime, d.state, d.instances
			o.Say = func(line string) {
				said = true
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			err := director.Cleanup(ctx, o)
			if err == nil && !said {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing to remove")
			}
			return err
		}),
	}
	d.add(cmd, true)
	cmd.Flags().BoolVar(&o.IPVS, "ipvs", false, "also remove the services that are ours, and with them their connections, and take the [ipvs] settings back")
	cmd.Flags().DurationVar(&o.SpeakerWithin, "wait", 30*time.Second, "how `long` a speaker may take to hand over before it is killed")
	return cmd
}

func newStop() *cobra.Command {
	var d directories
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Hand the addresses over and stop the director",
		Long: `Tells the running director to stop, as SIGTERM does, and waits until it has handed its
addresses over and ended. When none runs there is nothing to do.

Where systemd runs the director use "systemctl stop baton": what ends otherwise is
started again.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if err := d.resolve(false); err != nil {
				return err
			}
			ctx, cancel := interruptible(cmd)
			defer cancel()
			told := time.AfterFunc(time.Second, func() {
				fmt.Fprintln(cmd.OutOrStdout(), "waiting for the director to hand over and end")
			})
			defer told.Stop()
			pid, err := director.Stop(ctx, d.runtime)
			if err != nil {
				return err
			}
			told.Stop()
			if pid == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no director runs")
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "stopped the director, pid %d\n", pid)
			return nil
		}),
	}
	d.add(cmd, false)
	return cmd
}
