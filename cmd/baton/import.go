package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"baton/conf/keepalived"
)

func newImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Translate keepalived's configuration",
		Long: `Reads keepalived's configuration, with all files that it includes, and prints
Baton's. Where keepalived has another default, the result says keepalived's.

What Baton has no counterpart for, or does otherwise, is a line on standard error:

    FILE:LINE: block: word: what becomes of it (remedy)

Exits 0 when the result can take effect, also with such lines. Where it cannot, it
is printed all the same, with what baton check says of it on standard error, and
the exit status is 1. Nothing is read or changed but the files.`,
		Example: `  baton import /etc/keepalived/keepalived.conf >baton.toml
  baton check -c baton.toml && baton plan -c baton.toml`,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			r, err := keepalived.Import(args[0])
			if err != nil {
				return err
			}
			for _, d := range r.Doubts {
				fmt.Fprintln(cmd.ErrOrStderr(), d)
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "# From %s, by baton import.\n%s", clean(args[0]), r.TOML); err != nil {
				return fmt.Errorf("print configuration: %w", err)
			}
			if len(r.Problems) > 0 {
				return refused(cmd, r.Problems)
			}
			return nil
		}),
	}
}
