package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"baton/conf"
	"baton/internal/control"
	"baton/ipvs"
)

// openKernel and openAddresses are where a plan meets the machine.
var (
	openKernel    = func() (reader, error) { return ipvs.OpenKernel() }
	openAddresses = readAddresses
)

// reader reads the kernel's IPVS table.
type reader interface {
	Read(ctx context.Context) (ipvs.Table, error)
	Close() error
}

func newPlan() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what applying the configuration would change",
		Long: `Prints the difference between the kernel and the configuration as ipvsadm and ip
commands that can be pasted. Nothing is changed. Exits 0 without a difference
and 2 with one.

A running director is asked which real servers are up and which instances are
MASTER here. Without one every real server counts as up, and addresses are left
out.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			cfg, err := conf.Load(o.config, o.node)
			var problems conf.Problems
			if errors.As(err, &problems) {
				return refused(cmd, problems)
			}
			if err != nil {
				return err
			}
			now, err := present(ctx, cfg, o.client())
			if err != nil {
				return err
			}
			if now.status == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "# no director answers on %s: every real server counts as up, addresses are left out\n", o.socket)
			}
			commands, notes := planCommands(cfg, now)
			for _, n := range notes {
				fmt.Fprintln(cmd.ErrOrStderr(), "#", n)
			}
			for _, c := range commands {
				fmt.Fprintln(cmd.OutOrStdout(), c)
			}
			if len(commands) > 0 {
				return &failure{code: exitChanges}
			}
			return nil
		}),
	}
	o.addConfig(cmd)
	o.addSocket(cmd)
	return cmd
}

// situation is what a plan starts from.
type situation struct {
	table     ipvs.Table
	owned     ipvs.Ownership
	status    *control.Status       // nil: no director runs
	addresses map[string]addressSet // by interface
}

// present reads what a plan starts from.
func present(ctx context.Context, cfg *conf.Config, client *control.Client) (situation, error) {
	var now situation
	// First, because a director that is asked for its status looks at the
	// kernel as well, and mends what somebody else has changed.
	k, err := openKernel()
	if err != nil {
		return now, fmt.Errorf("open ipvs: %w", err)
	}
	defer k.Close()
	if now.table, err = k.Read(ctx); err != nil {
		return now, fmt.Errorf("read ipvs table: %w", err)
	}
	st, err := client.Status(ctx)
	switch {
	case err == nil:
		now.status = &st
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
	default:
		return now, err
	}
	if now.owned, err = readOwnership(cfg.Global.StateDir); err != nil {
		return now, err
	}
	if now.status != nil {
		now.addresses, err = openAddresses(cfg, now.status)
	}
	return now, err
}

// readOwnership reads which services the director has programmed.
func readOwnership(stateDir string) (ipvs.Ownership, error) {
	name := filepath.Join(stateDir, "ipvs-owned.json")
	owned := ipvs.Ownership{}
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return owned, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ownership record: %w", err)
	}
	if err := json.Unmarshal(raw, &owned); err != nil {
		return nil, fmt.Errorf("read ownership record %s: %w", name, err)
	}
	return owned, nil
}
