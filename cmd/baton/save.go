package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newSave() *cobra.Command {
	return &cobra.Command{
		Use:   "save",
		Short: "Print the kernel's IPVS table in ipvsadm-save's format",
		Long: `Prints the whole IPVS table of this network namespace, services that are not
Baton's included, in the format of ipvsadm-save -n, which ipvsadm -R reads. It
needs root, and no running director. Services are sorted, so that two tables can
be compared with diff.

As in ipvsadm-save, counters, connections and what concerns IPVS as a whole
(time-outs, sysctls, synchronisation daemons) are not in it.`,
		Example: `  baton save >table                 keep it
  ipvsadm -C && ipvsadm -R <table   bring it back, where no director runs
  diff <(baton save) table          what has changed since`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			k, err := machine.Kernel()
			if err != nil {
				return fmt.Errorf("open ipvs: %w", err)
			}
			defer k.Close()
			table, err := k.Read(ctx)
			if err != nil {
				return fmt.Errorf("read ipvs table: %w", err)
			}
			if _, err := fmt.Fprint(cmd.OutOrStdout(), table); err != nil {
				return fmt.Errorf("print ipvs table: %w", err)
			}
			return nil
		}),
	}
}
