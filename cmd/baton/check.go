package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"baton/conf"
)

func newCheck() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration",
		Long: `Validates the configuration without touching anything. Every problem is one line

    FILE:LINE:COL: key: message (remedy)

on standard error. Exits 0 when the file can take effect, also with warnings,
and 1 when it cannot.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			cfg, err := conf.Load(o.config, o.node)
			var problems conf.Problems
			if errors.As(err, &problems) {
				return refused(cmd, problems)
			}
			if err != nil {
				return err
			}
			for _, w := range cfg.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), w)
			}
			servers := 0
			for _, vs := range cfg.Services {
				servers += len(vs.Servers)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: valid for %s: %s, %s, %s\n", o.config, cfg.Global.RouterID,
				count(len(cfg.Instances), "vrrp_instance"), count(len(cfg.Services), "virtual_server"), count(servers, "real_server"))
			return nil
		}),
	}
	o.addConfig(cmd)
	return cmd
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
