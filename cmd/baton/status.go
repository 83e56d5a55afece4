package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"baton/internal/control"
)

// watchEvery is the beat of status --watch.
const watchEvery = time.Second

func newStatus() *cobra.Command {
	var (
		o             options
		asJSON, watch bool
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who is master and why, services and real servers",
		Long: `Shows each vrrp_instance with its state, since when and why, and each service
with its real servers as the kernel has them. With --watch it is shown again
every second until interrupted; with --json as JSON, and then with --watch as
one object a line.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			v := view{out: cmd.OutOrStdout(), client: o.client(), json: asJSON, watch: watch, every: watchEvery}
			v.screen = watch && !asJSON && isTerminal(v.out)
			if watch {
				return v.follow(ctx)
			}
			return v.once(ctx)
		}),
	}
	o.addSocket(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "again every second, until interrupted")
	return cmd
}

// view shows the status of one director.
type view struct {
	out    io.Writer
	client *control.Client
	json   bool
	watch  bool
	screen bool // redraw a terminal's screen
	every  time.Duration
}

func (v view) once(ctx context.Context) error {
	st, err := v.client.Status(ctx)
	if err != nil {
		return err
	}
	if v.json {
		if !v.watch {
			return writeJSON(v.out, st)
		}
		err = json.NewEncoder(v.out).Encode(st)
	} else {
		err = v.print(statusTable(st, time.Local, paintFor(v.out)))
	}
	if err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	return nil
}

func (v view) print(text string) error {
	if v.screen {
		// ECMA-48: cursor home, erase display.
		text = "\x1b[H\x1b[2J" + text
	} else if v.watch {
		text += "\n"
	}
	_, err := io.WriteString(v.out, text)
	return err
}

// follow goes on over a restart of the director: that is what one watches.
func (v view) follow(ctx context.Context) error {
	tick := time.NewTicker(v.every)
	defer tick.Stop()
	for first := true; ; first = false {
		err := v.once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || v.json):
			return err
		case err != nil:
			if err := v.print(fmt.Sprintf("%s  %v\n", time.Now().Format(time.TimeOnly), err)); err != nil {
				return fmt.Errorf("print status: %w", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
