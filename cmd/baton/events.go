package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baton/internal/control"
	"baton/internal/event"
)

func newEvents() *cobra.Command {
	var (
		o      options
		q      control.EventsQuery
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happened",
		Long: `Prints the events that the director remembers, oldest first: time, level, event
and its fields. With -f it goes on with those that come; then --since says how
much of the past is shown first, and without it that is nothing. docs/events.md
explains each event. Of --level, --event, --instance and --server all must fit.`,
		Example: `  baton events --since 1h --level warn
  baton events -f --event 'vrrp.*' --instance VI_1
  baton events --since 24h --server 192.168.16.103`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if _, err := control.ParseSince(q.Since, time.Now()); err != nil {
				return usage{err}
			}
			if err := q.Check(); err != nil {
				return usage{err}
			}
			ctx, cancel := interruptible(cmd)
			defer cancel()
			out := cmd.OutOrStdout()
			paint := paintFor(out)
			return o.client().Events(ctx, q, func(e event.Event) error {
				line := consoleLine(e, time.Local, paint)
				if asJSON {
					raw, err := json.Marshal(e)
					if err != nil {
						return fmt.Errorf("encode event: %w", err)
					}
					line = string(raw)
				}
				if _, err := io.WriteString(out, line+"\n"); err != nil {
					return fmt.Errorf("print event: %w", err)
				}
				return nil
			})
		}),
	}
	o.addSocket(cmd)
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with what comes, until interrupted")
	cmd.Flags().StringVar(&q.Since, "since", "", "only what happened since then: a `duration` like 1h, or a time like 2006-01-02T15:04:05Z")
	cmd.Flags().StringVar(&q.Level, "level", "", "only of this `level` or above: debug, info, warn, error")
	cmd.Flags().StringVar(&q.Event, "event", "", "only events of this `name`, or pattern: server.down, 'vrrp.*'")
	cmd.Flags().StringVar(&q.Instance, "instance", "", "only about this instance or sync group")
	cmd.Flags().StringVar(&q.Server, "server", "", "only about this real server: `ADDRESS[:PORT]`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// consoleLine renders an event as time, level, event, key=value.
func consoleLine(e event.Event, zone *time.Location, p paint) string {
	colour := map[event.Level]colour{event.LevelDebug: dim, event.LevelWarn: yellow, event.LevelError: red}[e.Level]
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s", e.Time.In(zone).Format("2006-01-02 15:04:05.000"),
		p.as(colour, fmt.Sprintf("%-5s", strings.ToUpper(clean(string(e.Level))))),
		p.as(bold, fmt.Sprintf("%-20s", clean(string(e.Name)))))
	for _, f := range e.Fields {
		fmt.Fprintf(&b, " %s=%s", p.as(dim, clean(string(f.Key))), quoted(f.Value))
	}
	return strings.TrimRight(b.String(), " ")
}

// quoted puts a value in quotes where it would not stand as one word.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \"=") || clean(s) != s {
		return strconv.Quote(s)
	}
	return s
}
