package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const progressEvery = 200 * time.Millisecond

// message is one line from the load process.
type message struct {
	Report Report `json:"report"`
	Obeyed string `json:"obeyed,omitempty"` // the order that this answers
	Final  bool   `json:"final,omitempty"`
}

// The orders of the load process, lines on its standard input. The end of the
// input is an order to stop, so that it never outlives who asked.
const (
	orderMark    = "mark" // NAME
	orderRestart = "restart"
)

// serveLoad is the load process.
func serveLoad(ctx context.Context, o LoadOptions, in io.Reader, out io.Writer) error {
	start := time.Now()
	c, err := newClient(o, start)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	orders := make(chan string)
	go func() {
		defer close(orders)
		lines := bufio.NewScanner(io.LimitReader(in, 1<<20))
		for lines.Scan() {
			select {
			case orders <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.run(ctx, start)
	}()
	enc := json.NewEncoder(out)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		msg := message{}
		select {
		case order, ok := <-orders:
			verb, name, _ := strings.Cut(order, " ")
			switch {
			case ok && verb == orderMark:
				c.rec.mark(name, time.Now())
			case ok && verb == orderRestart:
				c.rec.restart(time.Now())
			default:
				cancel()
				orders = nil
				continue
			}
			msg.Obeyed = order
		case <-tick.C:
		case <-ended:
			msg.Final = true
		}
		msg.Report = c.rec.report()
		if err := enc.Encode(msg); err != nil {
			cancel()
			<-ended
			return fmt.Errorf("write progress: %w", err)
		}
		if msg.Final {
			return nil
		}
	}
}

// Load is a client at work in the lab's client node.
type Load struct {
	follower[message]
	obeyed map[string]bool // by order; each is given once
}

// StartLoad starts a client in the client node. Stop ends it.
func (l *Lab) StartLoad(ctx context.Context, o LoadOptions) (*Load, error) {
	o = o.withDefaults()
	load := &Load{
		follower: follower[message]{what: "load client", final: func(m message) bool { return m.Final }},
		obeyed:   map[string]bool{},
	}
	load.take = func(m message) {
		if m.Obeyed != "" {
			load.obeyed[m.Obeyed] = true
		}
	}
	err := load.follow(ctx, l, "load", o.Target, o.Interval.String(), o.Timeout.String(), strconv.Itoa(o.InFlight))
	return load, err
}

// Progress is the report so far, at most 200 ms old.
func (l *Load) Progress() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest.Report.clone()
}

// Mark begins a phase of the report; requests begun after it returns belong to
// it. Names must differ.
func (l *Load) Mark(ctx context.Context, name string) error {
	if strings.ContainsAny(name, "\r\n") || name == "" {
		return fmt.Errorf("mark %q: a phase's name is one line", name)
	}
	return l.order(ctx, orderMark+" "+name)
}

// Restart forgets what was: the report begins anew, once.
func (l *Load) Restart(ctx context.Context) error { return l.order(ctx, orderRestart) }

func (l *Load) order(ctx context.Context, order string) error {
	if _, err := fmt.Fprintln(l.in, order); err != nil {
		return fmt.Errorf("order load to %s: %w", order, err)
	}
	return l.until(ctx, order, func() (bool, error) { return l.obeyed[order], nil })
}

// Await returns when n more requests than now have been answered.
func (l *Load) Await(ctx context.Context, n int) error {
	target := l.Progress().Answered() + n
	return l.until(ctx, fmt.Sprintf("%d answers", n), func() (bool, error) { return l.latest.Report.Answered() >= target, nil })
}

// enoughAfter is the time after which a fifth of the answers does: a slow
// machine's beat would make a wait long without telling more.
const enoughAfter = 2 * time.Second

// AwaitEnough returns when n more requests than now have been answered, or after
// two seconds a fifth of them.
func (l *Load) AwaitEnough(ctx context.Context, n int) error {
	enough := time.Now().Add(enoughAfter)
	if err := l.Await(ctx, n/5); err != nil {
		return err
	}
	rest, cancel := context.WithDeadline(ctx, enough)
	defer cancel()
	if err := l.Await(rest, n-n/5); err != nil && (ctx.Err() != nil || rest.Err() == nil) {
		return err
	}
	return nil
}

// Stop ends the beat, waits for the requests under way and returns the report.
func (l *Load) Stop(ctx context.Context) (Report, error) {
	if err := l.stop(ctx); err != nil {
		return Report{}, err
	}
	return l.Progress(), nil
}
