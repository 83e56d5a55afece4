package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"baton/internal/control"
)

// maxWeight is the largest weight that ipvsadm takes.
const maxWeight = 65535

func newWeight() *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "weight SERVER N|default",
		Short: "Give a real server another weight than the configured one",
		Long: `Gives a real server the weight N, 0 to 65535, in place of the configured one and
of what its checks say, over reloads and restarts, until baton weight SERVER
default. With 0 it keeps its connections and gets no new ones; what is to leave
the table in the end wants baton drain.` + whichServers,
		Args: cobra.ExactArgs(2),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			req := control.WeightRequest{ServerRequest: f.request(args)}
			if args[1] != "default" {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 0 || n > maxWeight {
					return usage{fmt.Errorf("weight %q is neither a number from 0 to %d nor default", clip(args[1], 40), maxWeight)}
				}
				req.Weight.Value = &n
			}
			out, err := f.client().Weight(ctx, req)
			return answered(cmd, out, err)
		}),
	}
	f.add(cmd)
	return cmd
}
