package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newFailover() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "failover [INSTANCE]",
		Short: "Hand the virtual addresses to the peer without losing a request",
		Long: `Hands one vrrp_instance, or every one that is MASTER here, to its peer and waits
until the peer has taken over. The addresses stay here if no peer answers; the
exit code is then 1. Until the peer goes away, or a reload or restart here, this
director does not preempt it.`,
		Args: cobra.MaximumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			instance := ""
			if len(args) == 1 {
				if instance = args[0]; instance == "" {
					return usage{errors.New("the name of the instance is empty")}
				}
			}
			out, err := o.client().Failover(ctx, instance)
			if err != nil {
				return err
			}
			if !out.OK {
				return errors.New(clean(out.Message))
			}
			fmt.Fprintln(cmd.OutOrStdout(), clean(out.Message))
			return nil
		}),
	}
	o.addSocket(cmd)
	return cmd
}
