package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

func newExplain() *cobra.Command {
	var (
		o      options
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "explain INSTANCE|SERVER",
		Short: "Say why an instance or a real server is in its state",
		Long: `Says of a vrrp_instance, or of a real server, ADDRESS or ADDRESS:PORT, in which
state it is, since when and why, and what would change that. A virtual server,
ADDRESS:PORT, stands for all of its real servers. Of each health check it shows
what the last attempts found, oldest first, and when the next one begins; then
what the journal has of it. Attempts that ended alike are one line.`,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usage{errors.New("the name is empty")}
			}
			ctx, cancel := interruptible(cmd)
			defer cancel()
			e, err := o.client().Explain(ctx, args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(out, e)
			}
			if _, err := io.WriteString(out, explanation(e, time.Local, paintFor(out))); err != nil {
				return fmt.Errorf("print explanation: %w", err)
			}
			return nil
		}),
	}
	o.addSocket(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
