package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baton/internal/control"
)

// drainBeat is how often the director is asked how far a drain is.
var drainBeat = 500 * time.Millisecond

// drainLine is how often that is printed where no terminal is.
const drainLine = 10 * time.Second

// serverFlags are what names real servers.
type serverFlags struct {
	options
	service string
}

func (f *serverFlags) add(cmd *cobra.Command) {
	f.addSocket(cmd)
	cmd.Flags().StringVar(&f.service, "service", "", "the `service` that is meant, as baton status names it (default: all)")
}

func (f *serverFlags) request(args []string) control.ServerRequest {
	return control.ServerRequest{Server: args[0], Service: f.service}
}

// whichServers explains SERVER to those who ask for help.
const whichServers = `

SERVER is ADDRESS:PORT as baton status has it, or an address alone, which means
the server in all of its services.`

func newDrain() *cobra.Command {
	var (
		f       serverFlags
		timeout time.Duration
		noWait  bool
	)
	cmd := &cobra.Command{
		Use:   "drain [SERVER]",
		Short: "Take a real server out of service without breaking its connections",
		Long: `Gives a real server the weight 0, so that it gets no new connections, and waits
until those that it has are gone; then it is taken out of the table and stays
out, over restarts as well, until baton undrain. When the time is over it is
taken out all the same, and what it still had is told. Ctrl-C ends the waiting,
not the drain. Without SERVER the drained servers are listed.` + whichServers,
		Args: cobra.MaximumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			if len(args) == 0 {
				if cmd.Flags().Changed("timeout") {
					return usage{errors.New("--timeout needs a server")}
				}
				return listDrains(ctx, cmd.OutOrStdout(), f.client(), f.service)
			}
			req := control.DrainRequest{ServerRequest: f.request(args)}
			if cmd.Flags().Changed("timeout") {
				if timeout < 0 || timeout > 24*time.Hour {
					return usage{fmt.Errorf("--timeout %v is not from 0s to 24h", timeout)}
				}
				req.Timeout = &timeout
			}
			out, err := f.client().Drain(ctx, req)
			if err != nil {
				return err
			}
			for _, n := range out.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), clean(n))
			}
			if noWait {
				printOrders(cmd.OutOrStdout(), out.Servers)
				return nil
			}
			w := drainWatch{out: cmd.OutOrStdout(), progress: cmd.ErrOrStderr(), client: f.client(), req: req.ServerRequest, beat: drainBeat}
			return w.wait(ctx, out)
		}),
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "most to wait for connections, 0s to 24h (default: the service's drain_timeout)")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return at once")
	return cmd
}

func newUndrain() *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "undrain SERVER",
		Short: "Put a drained real server back into service",
		Long: `Puts a real server that baton drain has taken out, or is about to, back into
service: at once if its checks pass; with slow_start its weight rises.` + whichServers,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			out, err := f.client().Undrain(ctx, f.request(args))
			return answered(cmd, out, err)
		}),
	}
	f.add(cmd)
	return cmd
}

// answered prints what the director has made of an order.
func answered(cmd *cobra.Command, out control.Orders, err error) error {
	if err != nil {
		return err
	}
	for _, n := range out.Notes {
		fmt.Fprintln(cmd.ErrOrStderr(), clean(n))
	}
	printOrders(cmd.OutOrStdout(), out.Servers)
	return nil
}

func printOrders(w io.Writer, servers []control.Ordered) {
	for _, s := range servers {
		fmt.Fprintln(w, clean(orderLine(s)))
	}
}

// orderLine says in a line what a server is.
func orderLine(s control.Ordered) string {
	line := fmt.Sprintf("%s of %s: %s", s.Address, s.Service, s.State)
	switch d := s.Drain; {
	case s.State == "drained" && d != nil:
		line += ", " + d.Reason
		if d.Left > 0 {
			line += fmt.Sprintf(", %s broken", count(d.Left, "connection"))
		}
		return line
	case d != nil:
		return line + fmt.Sprintf(", %s left, at most until %s", count(int(s.Active), "connection"), d.Deadline.Local().Format(time.DateTime))
	}
	line += fmt.Sprintf(", weight %d", s.Effective)
	if s.Effective != s.Weight || s.Why != "" {
		line += fmt.Sprintf(" of %d (%s)", s.Weight, whyWords(s.Server, time.Local))
	}
	return line
}

func listDrains(ctx context.Context, w io.Writer, c *control.Client, service string) error {
	out, err := c.Drains(ctx, control.ServerRequest{Service: service})
	if err != nil {
		return err
	}
	if len(out.Servers) == 0 {
		fmt.Fprintln(w, "no real server is drained")
	}
	printOrders(w, out.Servers)
	return nil
}

// drainWatch shows how far a drain is.
type drainWatch struct {
	out, progress io.Writer
	client        *control.Client
	req           control.ServerRequest
	beat          time.Duration
}

// wait returns when no server drains any more. An interruption leaves the drain
// going on.
func (w drainWatch) wait(ctx context.Context, now control.Orders) error {
	terminal := isTerminal(w.progress)
	var printed time.Time
	for {
		text, going := drainProgress(now.Servers)
		if !going {
			if terminal {
				fmt.Fprint(w.progress, "\r\x1b[K")
			}
			printOrders(w.out, now.Servers)
			return nil
		}
		switch {
		case terminal:
			fmt.Fprint(w.progress, "\r\x1b[K"+clean(text))
		case time.Since(printed) >= drainLine:
			printed = time.Now()
			fmt.Fprintln(w.progress, clean(text))
		}
		select {
		case <-time.After(w.beat):
		case <-ctx.Done():
		}
		next, err := w.client.Drains(ctx, w.req)
		switch {
		case ctx.Err() != nil:
			if terminal {
				fmt.Fprintln(w.progress)
			}
			return errors.New("interrupted; the drain goes on: baton drain shows it, baton undrain ends it")
		case err != nil:
			return fmt.Errorf("%w; the drain itself goes on", err)
		}
		now = next
	}
}

// drainProgress is a line about the servers that drain, and whether any does.
func drainProgress(servers []control.Ordered) (text string, going bool) {
	connections, draining := 0, 0
	var deadline time.Time
	for _, s := range servers {
		if s.State != "draining" || s.Drain == nil {
			continue
		}
		draining++
		connections += int(s.Active)
		if s.Drain.Deadline.After(deadline) {
			deadline = s.Drain.Deadline
		}
	}
	parts := []string{"draining"}
	if draining > 1 || draining < len(servers) {
		parts = append(parts, fmt.Sprintf("%d of %s", draining, count(len(servers), "server")))
	}
	return fmt.Sprintf("%s: %s left, at most until %s", strings.Join(parts, " "), count(connections, "connection"), deadline.Local().Format(time.TimeOnly)), draining > 0
}
