package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
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
	cmd      *exec.Cmd
	in       io.WriteCloser
	stderr   tailBuffer
	patience time.Duration

	mu     sync.Mutex
	latest message
	obeyed map[string]bool // by order; each is given once
	err    error
	ended  bool
	news   chan struct{} // closed and replaced at each message
	done   chan struct{}
}

// StartLoad starts a client in the client node. Stop ends it.
func (l *Lab) StartLoad(ctx context.Context, o LoadOptions) (*Load, error) {
	o = o.withDefaults()
	cmd := exec.CommandContext(ctx, l.opts.Binary, HiddenCommand, "load", o.Target, o.Interval.String(), o.Timeout.String(), strconv.Itoa(o.InFlight))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start load: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start load: %w", err)
	}
	load := &Load{
		cmd: cmd, in: in, patience: l.opts.Patience, obeyed: map[string]bool{},
		news: make(chan struct{}), done: make(chan struct{}),
	}
	cmd.Stderr = &load.stderr
	if err := l.Start(ClientNode, cmd); err != nil {
		return nil, fmt.Errorf("start load: %w", err)
	}
	go load.read(out)
	return load, nil
}

func (l *Load) read(out io.Reader) {
	defer close(l.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	var err error
	for lines.Scan() && err == nil {
		var m message
		if err = json.Unmarshal(lines.Bytes(), &m); err == nil {
			l.publish(m)
		}
	}
	err = errors.Join(err, lines.Err(), l.cmd.Wait())
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && !l.latest.Final {
		err = errors.New("it ended without a report")
	}
	if err != nil {
		l.err = fmt.Errorf("run load client: %w: %s", err, l.stderr.String())
	}
	l.ended = true
	close(l.news)
}

func (l *Load) publish(m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = m
	if m.Obeyed != "" {
		l.obeyed[m.Obeyed] = true
	}
	close(l.news)
	l.news = make(chan struct{})
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
	return l.until(ctx, order, func() bool { return l.obeyed[order] })
}

// Await returns when n more requests than now have been answered.
func (l *Load) Await(ctx context.Context, n int) error {
	target := l.Progress().Answered() + n
	return l.until(ctx, fmt.Sprintf("%d answers", n), func() bool { return l.latest.Report.Answered() >= target })
}

func (l *Load) until(ctx context.Context, what string, met func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	for {
		l.mu.Lock()
		ok, err, ended, news := met(), l.err, l.ended, l.news
		l.mu.Unlock()
		switch {
		case ok:
			return nil
		case err != nil:
			return err
		case ended:
			return fmt.Errorf("wait for load (%s): it has ended", what)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("wait for load (%s): %w", what, ctx.Err())
		}
	}
}

// Stop ends the beat, waits for the requests under way and returns the report.
func (l *Load) Stop(ctx context.Context) (Report, error) {
	// The pipe is closed already when the process has ended, which l.err tells.
	_ = l.in.Close()
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	select {
	case <-l.done:
	case <-ctx.Done():
		_ = l.cmd.Process.Kill() // fails only when it has ended
		<-l.done
		return Report{}, fmt.Errorf("stop load: %w", ctx.Err())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest.Report.clone(), l.err
}
