package main

import (
	"os"

	"github.com/spf13/cobra"

	"baton/internal/director"
	"baton/internal/lab"
)

// The commands here are for baton itself: it starts its own binary with them.

func newSpeaker() *cobra.Command {
	return &cobra.Command{
		Use: "speaker", Short: "The director's VRRP process", Hidden: true, Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error { return director.RunSpeaker(cmd.Context()) }),
	}
}

func newProber() *cobra.Command {
	return &cobra.Command{
		Use: "prober", Short: "The director's health-check process", Hidden: true, Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error { return director.RunProber(cmd.Context()) }),
	}
}

func newLabProcess() *cobra.Command {
	return &cobra.Command{
		Use: lab.HiddenCommand, Short: "A process inside the lab", Hidden: true, DisableFlagParsing: true,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			return lab.Hidden(ctx, args, os.Stdin, os.Stdout)
		}),
	}
}
