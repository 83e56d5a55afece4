package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"baton/conf"
	"baton/internal/plan"
)

// machine is where a plan meets the machine.
var machine = plan.This

func newPlan() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what applying the configuration would change",
		Long: `Prints the difference between the kernel and the configuration as ipvsadm, ip
and sysctl commands that can be pasted into a root shell, in the order in which
the director would do the same. Nothing is changed. What cannot be said as a
command follows as comments on standard error.

A running director is asked which real servers are up, what the operator has
drained or weighed and which instances are MASTER here. Without one every real
server counts as up, and addresses, virtual routes and virtual rules are left
out, as nobody can know whose they are.

A real server or service that leaves the configuration is printed as deleted. A
director drains it first: it gets weight 0, and is deleted when its connections
have ended or drain_timeout is over.

Exits 0 without a difference, 2 with one and 1 if it cannot be known.`,
		Example: `  baton plan                        what baton reload would change
  baton plan -c new.toml            the same for a file that is not in force yet
  baton plan -c new.toml | sh -x    do it by hand, where no director runs
  baton plan >/dev/null || echo kernel and configuration differ`,
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
			now, err := machine.Read(ctx, cfg, o.client())
			if err != nil {
				return err
			}
			if now.Status == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "# no director answers on %s: every real server counts as up, addresses are left out\n", o.socket)
			}
			made := plan.Make(cfg, now)
			for _, n := range made.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), "#", n)
			}
			for _, c := range made.Commands {
				fmt.Fprintln(cmd.OutOrStdout(), c)
			}
			if len(made.Commands) > 0 {
				return &failure{code: exitChanges}
			}
			return nil
		}),
	}
	o.addConfig(cmd)
	o.addSocket(cmd)
	return cmd
}
