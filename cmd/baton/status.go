package main

import (
	"context"
	"encoding/json"
	"errors"
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
		o      options
		v      view
		counts bool
		plugin bool
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who is master and why, services and real servers",
		Long: `Shows each vrrp_instance with its state, since when and why, what [ipvs] has set,
and each service with its real servers as the kernel has them.

With --counters it shows what has passed each service and server since its entry
was made, as ipvsadm --stats does, and with --rates what passes in a second, as
ipvsadm --rate. Numbers of more than ten digits are in thousands (K), millions
(M) and so on; --json has all of them whole. With DR and TUN replies do not pass
the director: OUT is 0.

With --watch it is shown again every second until interrupted; with --json as
JSON, and then with --watch as one object a line.

With --nagios it is a plugin for Nagios, Icinga, Sensu and whatever else speaks
their protocol (the flag is not called --check: baton check is for the
configuration): one line with performance data, and the exit code says all:
  0 OK        nothing to report
  1 WARNING   a server is down, drained or flapping, or its path is broken; the
              last reload was refused; a child was restarted within the hour;
              something tracked is down; [ipvs] or connection sync fails
  2 CRITICAL  an instance is in FAULT or knows no master; a service has lost its
              quorum or is not in the kernel's table; the speaker does not run
  3 UNKNOWN   the director cannot be asked
Without it the exit code is 0 whenever the director could be asked.`,
		Example: `  baton status                      who is master, what is wrong
  baton status --watch --rates      what the servers get, second by second
  baton status --nagios             for the monitoring: see docs/operations.md
  baton status --json | jq '.services[].servers[] | {address, active_conns}'`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			if counts && v.rates {
				return usage{errors.New("--counters and --rates exclude each other")}
			}
			if plugin && (counts || v.rates || v.json || v.watch) {
				return usage{errors.New("--nagios excludes --json, --watch, --counters and --rates")}
			}
			if plugin {
				return nagios(ctx, cmd, o.client())
			}
			v.out, v.client, v.every = cmd.OutOrStdout(), o.client(), watchEvery
			v.counters = counts || v.rates
			v.screen = v.watch && !v.json && isTerminal(v.out)
			if v.watch {
				return v.follow(ctx)
			}
			return v.once(ctx)
		}),
	}
	o.addSocket(cmd)
	cmd.Flags().BoolVar(&v.json, "json", false, "as JSON")
	cmd.Flags().BoolVarP(&v.watch, "watch", "w", false, "again every second, until interrupted")
	cmd.Flags().BoolVar(&plugin, "nagios", false, "one line and an exit code for a monitoring system")
	cmd.Flags().BoolVar(&counts, "counters", false, "connections, packets and bytes of services and servers")
	cmd.Flags().BoolVar(&v.rates, "rates", false, "the same by the second")
	return cmd
}

// view shows the status of one director.
type view struct {
	out    io.Writer
	client *control.Client
	json   bool
	watch  bool
	screen bool // redraw a terminal's screen

	counters bool // in place of states
	rates    bool // of these, by the second
	every    time.Duration
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
		text := ""
		if v.counters {
			text = counterTable(st, v.rates, time.Local, paintFor(v.out))
		} else {
			text = statusTable(st, time.Local, paintFor(v.out))
		}
		err = v.print(text)
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
