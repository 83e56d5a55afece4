package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"baton/conf"
	"baton/internal/director"
)

func newRun() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the director in the foreground",
		Long: `Runs the director with its two children, the speaker (VRRP) and the prober
(health checks), in the foreground. SIGHUP reloads the configuration; SIGTERM
and SIGINT hand the addresses over and stop. Logs go to standard error.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			// The director handles signals itself: they mean more to it than
			// an end.
			err := director.Run(cmd.Context(), director.Options{
				ConfigFile: o.config, Node: o.node, Version: versionText(), Log: os.Stderr,
			})
			var problems conf.Problems
			if errors.As(err, &problems) {
				return refused(cmd, problems)
			}
			return err
		}),
	}
	o.addConfig(cmd)
	return cmd
}

// refused prints the problems of a configuration, one a line.
func refused(cmd *cobra.Command, problems conf.Problems) error {
	for _, p := range problems {
		fmt.Fprintln(cmd.ErrOrStderr(), p)
	}
	return &failure{code: exitFailed}
}
