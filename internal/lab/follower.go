package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// follower is a process of ours in the client node that tells how it fares, a
// line of JSON at a time, and stops when its standard input ends.
type follower[M any] struct {
	what     string // it is, for errors
	cmd      *exec.Cmd
	in       io.WriteCloser
	stderr   tailBuffer
	patience time.Duration
	final    func(M) bool // says whether a message is the last
	take     func(M)      // called with each message, under mu; may be nil

	mu     sync.Mutex
	latest M
	err    error
	ended  bool
	news   chan struct{} // closed and replaced at each message
	done   chan struct{}
}

// follow starts the process with these arguments after HiddenCommand.
func (f *follower[M]) follow(ctx context.Context, l *Lab, args ...string) error {
	f.cmd = exec.CommandContext(ctx, l.opts.Binary, append([]string{HiddenCommand}, args...)...)
	in, err := f.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", f.what, err)
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", f.what, err)
	}
	f.in, f.patience, f.news, f.done = in, l.opts.Patience, make(chan struct{}), make(chan struct{})
	f.cmd.Stderr = &f.stderr
	if err := l.Start(ClientNode, f.cmd); err != nil {
		return fmt.Errorf("start %s: %w", f.what, err)
	}
	go f.read(out)
	return nil
}

func (f *follower[M]) read(out io.Reader) {
	defer close(f.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	var err error
	for lines.Scan() && err == nil {
		var m M
		if err = json.Unmarshal(lines.Bytes(), &m); err == nil {
			f.publish(m)
		}
	}
	err = errors.Join(err, lines.Err(), f.cmd.Wait())
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && !f.final(f.latest) {
		err = errors.New("it ended without a report")
	}
	if err != nil {
		f.err = fmt.Errorf("run %s: %w: %s", f.what, err, f.stderr.String())
	}
	f.ended = true
	close(f.news)
}

func (f *follower[M]) publish(m M) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = m
	if f.take != nil {
		f.take(m)
	}
	close(f.news)
	f.news = make(chan struct{})
}

// until waits for news after which met, called under mu, is true.
func (f *follower[M]) until(ctx context.Context, what string, met func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	for {
		f.mu.Lock()
		ok, metErr := met()
		err, ended, news := f.err, f.ended, f.news
		f.mu.Unlock()
		switch {
		case metErr != nil:
			return fmt.Errorf("wait for %s (%s): %w", f.what, what, metErr)
		case ok:
			return nil
		case err != nil:
			return err
		case ended:
			return fmt.Errorf("wait for %s (%s): it has ended", f.what, what)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s (%s): %w", f.what, what, ctx.Err())
		}
	}
}

// stop ends the process's input and returns when it has ended.
func (f *follower[M]) stop(ctx context.Context) error {
	// The pipe is closed already when the process has ended, which f.err tells.
	_ = f.in.Close()
	ctx, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	select {
	case <-f.done:
	case <-ctx.Done():
		_ = f.cmd.Process.Kill() // fails only when it has ended
		<-f.done
		return fmt.Errorf("stop %s: %w", f.what, ctx.Err())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
