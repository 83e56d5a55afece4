package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/journal"
)

func newEvents() *cobra.Command {
	var (
		d      directories
		q      control.EventsQuery
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happened",
		Long: `Prints the events that the director remembers, oldest first: time, level, event
and its fields. These are the last 4096; --since reaches further back, as far as the
files of the journal do (events.jsonl in state_dir and the three before it, of 4 MiB
each). With -f it goes on with those that come; then --since says how much of the
past is shown first, and without it that is nothing. docs/events.md explains each
event. Of --level, --event, --instance and --server all must fit.

When no director answers, the files themselves are read, all of them unless --since
says less, and a line on standard error says so. The configuration, or --state-dir,
says where they are. With -f that is an error.`,
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
			show := func(e event.Event) error {
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
			}
			err := d.client().Events(ctx, q, show)
			if err == nil || q.Follow || !nobody(err) {
				return err
			}
			return d.journal(ctx, cmd.ErrOrStderr(), err, q, show)
		}),
	}
	d.addSocket(cmd)
	d.addConfig(cmd)
	d.addState(cmd)
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with what comes, until interrupted")
	cmd.Flags().StringVar(&q.Since, "since", "", "only what happened since then: a `duration` like 1h, or a time like 2006-01-02T15:04:05Z")
	cmd.Flags().StringVar(&q.Level, "level", "", "only of this `level` or above: debug, info, warn, error")
	cmd.Flags().StringVar(&q.Event, "event", "", "only events of this `name`, or pattern: server.down, 'vrrp.*'")
	cmd.Flags().StringVar(&q.Instance, "instance", "", "only about this instance or sync group")
	cmd.Flags().StringVar(&q.Server, "server", "", "only about this real server: `ADDRESS[:PORT]`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// nobody says whether an error means that no director listens.
func nobody(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// journal shows what is in the files that a director has left, when asking has
// failed with err. It says so first: what happened since then is not there.
func (d *directories) journal(ctx context.Context, stderr io.Writer, err error, q control.EventsQuery, show func(event.Event) error) error {
	dir := d.state
	if dir == "" {
		dirs, no := d.configured("--state-dir")
		if no != nil {
			return fmt.Errorf("%w\nnor is the journal found: %w", err, no)
		}
		dir = dirs.StateDir
	}
	files, no := journal.OpenFiles(dir)
	if no != nil {
		return fmt.Errorf("%w\nnor can its journal be read: %w", err, no)
	}
	defer files.Close()
	since, no := control.ParseSince(q.Since, time.Now())
	if no != nil {
		return no
	}
	fmt.Fprintf(stderr, "baton: nobody answers at %s: this is what the journal at %s has\n", d.socket, journal.Path(dir))
	for e := range files.Events() {
		if e.Time.Before(since) || !q.Shows(e) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := show(e); err != nil {
			return err
		}
	}
	return files.Err()
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
