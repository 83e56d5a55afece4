package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Apply the configuration file to the running director",
		Long: `Tells the running director to read its configuration file again. Prints what
changed; or every problem, and then nothing has changed and the exit code is 1.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			out, err := o.client().Reload(ctx)
			if err != nil {
				return err
			}
			if !out.OK {
				for _, p := range out.Problems {
					fmt.Fprintln(cmd.ErrOrStderr(), p)
				}
				return fmt.Errorf("the configuration is refused, the one before stays in force: %s", count(len(out.Problems), "problem"))
			}
			for _, c := range out.Changes {
				fmt.Fprintln(cmd.OutOrStdout(), clean(c))
			}
			if len(out.Changes) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no changes")
			}
			return nil
		}),
	}
	o.addSocket(cmd)
	return cmd
}
