package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baton/internal/control"
	"baton/internal/event"
)

func newLog() *cobra.Command {
	var (
		o      options
		within time.Duration
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "log [SUBSYSTEM=LEVEL…]",
		Short: "Show or change what is logged, by subsystem, for a while",
		Long: `Without arguments it shows from which level on each subsystem is logged. With
SUBSYSTEM=LEVEL it changes that in the running director, and back by itself when
the time of --for is over.

Subsystems, and what debug adds:
  vrrp      elections, adverts, addresses, links   each advert sent and received
  checks    health checks, servers, tracking       each attempt and its outcome
  ipvs      the kernel's table and its settings    each change, as ipvsadm command
  config    the configuration                      each change of a reload
  director  the daemon and its children            each notify script that ran
  all       all of them
Levels: debug, info, warn, error, and default for log_level of the configuration.

What debug adds is bounded in each second, what was left out is counted. It goes
to the log and to baton events -f, and is not kept in the journal; the journal
has every other event whatever the level.`,
		Example: `  baton log vrrp=debug --for 2m
  baton log checks=debug ipvs=debug
  baton log all=default`,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			req, err := logRequest(args, within)
			if err != nil {
				return usage{err}
			}
			var out control.Log
			if len(args) == 0 {
				out, err = o.client().Log(ctx)
			} else {
				out, err = o.client().SetLog(ctx, req)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), out)
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), logTable(out)); err != nil {
				return fmt.Errorf("print log levels: %w", err)
			}
			return nil
		}),
	}
	o.addSocket(cmd)
	cmd.Flags().DurationVar(&within, "for", 10*time.Minute, "how `long`; 0 is as long as the director runs, 24h at most")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// logRequest reads SUBSYSTEM=LEVEL.
func logRequest(args []string, within time.Duration) (control.LogRequest, error) {
	req := control.LogRequest{Levels: map[string]string{}, For: within.String()}
	for _, a := range args {
		name, level, ok := strings.Cut(a, "=")
		if !ok {
			return req, fmt.Errorf("%q is not SUBSYSTEM=LEVEL, such as vrrp=debug", clip(a, 40))
		}
		if name != "all" {
			req.Levels[name] = level
			continue
		}
		for _, s := range event.Subsystems {
			req.Levels[string(s)] = level
		}
	}
	if len(args) == 0 {
		return req, nil
	}
	return req, req.Check()
}

// logTable is one line for each subsystem.
func logTable(l control.Log) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %-6s %s\n", "SUBSYSTEM", "LEVEL", "FOR")
	for _, s := range l.Subsystems {
		left := "as configured"
		switch {
		case !s.Until.IsZero():
			left = "another " + max(0, s.Until.Sub(l.Time)).Round(time.Second).String() + ", then " + l.Level
		case s.Level != l.Level:
			left = "as long as the director runs, configured is " + l.Level
		}
		fmt.Fprintf(&b, "%-10s %-6s %s\n", clean(s.Subsystem), clean(s.Level), clean(left))
	}
	return b.String()
}
