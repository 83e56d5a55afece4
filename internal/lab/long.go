package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// LongOptions says which connections a client keeps open.
type LongOptions struct {
	// Target is the address and port. Default the VIP's service.
	Target string
	// Downloads and Idle are how many of each. Round robin over two servers gives
	// each server one of two. Default 2 and 2.
	Downloads, Idle int
}

func (o LongOptions) withDefaults() LongOptions {
	if o.Target == "" {
		o.Target = net.JoinHostPort(VIP.String(), strconv.Itoa(ServicePort))
	}
	if o.Downloads == 0 {
		o.Downloads = 2
	}
	if o.Idle == 0 {
		o.Idle = 2
	}
	return o
}

// The two kinds of long connections.
const (
	Download = "download" // an endless answer at a few kilobytes a second, each byte compared
	Idle     = "idle"     // a byte now and then, and its echo
)

// LongConnection is how one of them fares.
type LongConnection struct {
	Kind   string `json:"kind"`
	Server string `json:"server"` // by its own word
	Local  string `json:"local"`  // address and port of the client
	Bytes  int64  `json:"bytes"`  // that came and were right
	// Broken is why it ended, "" while it lives: reset, closed, a wrong byte, or
	// silence for longer than longSilence.
	Broken string `json:"broken,omitempty"`
}

// longSilence is after how long without a byte a connection counts as broken.
// TCP sends again after 0.2, 0.6, 1.4, 3, 6, 13, 25 seconds: a takeover within
// seconds is over long before.
const longSilence = time.Minute

// idleEvery is the pause between two bytes on an idle connection.
const idleEvery = 500 * time.Millisecond

type longMessage struct {
	Connections []LongConnection `json:"connections"`
	Final       bool             `json:"final,omitempty"`
}

// Long are connections that a client in the client node keeps open.
type Long struct {
	follower[longMessage]
}

// StartLong opens long connections, one after the other, and returns when each
// has got its first byte. Stop ends them.
func (l *Lab) StartLong(ctx context.Context, o LongOptions) (*Long, error) {
	o = o.withDefaults()
	c := &Long{follower[longMessage]{what: "long connections", final: func(m longMessage) bool { return m.Final }}}
	if err := c.follow(ctx, l, "long", o.Target, strconv.Itoa(o.Downloads), strconv.Itoa(o.Idle)); err != nil {
		return nil, err
	}
	err := c.until(ctx, "all are open", func() (bool, error) {
		all := c.latest.Connections
		return len(all) == o.Downloads+o.Idle && !slices.ContainsFunc(all, func(k LongConnection) bool { return k.Bytes == 0 }), broken(all)
	})
	if err != nil {
		_ = c.stop(ctx) // it would tell the same
		return nil, err
	}
	return c, nil
}

// Connections is how they fare, at most 200 ms old.
func (c *Long) Connections() []LongConnection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.latest.Connections)
}

// Alive returns when every connection has carried bytes that were sent after
// the call: it lives. The error names one that is broken.
func (c *Long) Alive(ctx context.Context) error {
	before := c.Connections()
	return c.until(ctx, "each carries more", func() (bool, error) {
		for i, k := range c.latest.Connections {
			if i >= len(before) {
				break
			}
			// What is under way now may have been sent before: no more than that.
			more := int64(2)
			if k.Kind == Download {
				more = 2 * downloadPiece
			}
			if k.Bytes < before[i].Bytes+more {
				return false, broken(c.latest.Connections)
			}
		}
		return true, broken(c.latest.Connections)
	})
}

// Stop closes them and returns how they fared.
func (c *Long) Stop(ctx context.Context) ([]LongConnection, error) {
	err := c.stop(ctx)
	return c.Connections(), err
}

// broken names the first broken connection.
func broken(all []LongConnection) error {
	for _, k := range all {
		if k.Broken != "" {
			return fmt.Errorf("the %s connection from %s to %s broke after %d bytes: %s", k.Kind, k.Local, k.Server, k.Bytes, k.Broken)
		}
	}
	return nil
}

// serveLong is the client process.
func serveLong(ctx context.Context, o LongOptions, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// The end of the input is the order to stop.
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	var (
		mu   sync.Mutex
		all  []*longConn
		done sync.WaitGroup
	)
	kinds := append(slices.Repeat([]string{Download}, o.Downloads), slices.Repeat([]string{Idle}, o.Idle)...)
	opening := make(chan struct{})
	go func() {
		defer close(opening)
		// One after the other, so that the scheduler deals them out in order.
		for _, kind := range kinds {
			c := &longConn{kind: kind, opened: make(chan struct{})}
			mu.Lock()
			all = append(all, c)
			mu.Unlock()
			done.Go(func() { c.run(ctx, o.Target) })
			select {
			case <-c.opened:
			case <-ctx.Done():
				return
			}
		}
	}()
	enc := json.NewEncoder(out)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		var msg longMessage
		select {
		case <-tick.C:
		case <-ctx.Done():
			<-opening
			done.Wait()
			msg.Final = true
		}
		mu.Lock()
		for _, c := range all {
			msg.Connections = append(msg.Connections, c.report())
		}
		mu.Unlock()
		if err := enc.Encode(msg); err != nil {
			return fmt.Errorf("write progress: %w", err)
		}
		if msg.Final {
			return nil
		}
	}
}

// longConn is one long connection.
type longConn struct {
	kind   string
	opened chan struct{} // closed when it is, or has failed
	bytes  atomic.Int64

	mu                    sync.Mutex
	server, local, broken string
}

func (c *longConn) report() LongConnection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return LongConnection{Kind: c.kind, Server: c.server, Local: c.local, Bytes: c.bytes.Load(), Broken: c.broken}
}

// run keeps the connection until ctx ends, or notes why it could not.
func (c *longConn) run(ctx context.Context, target string) {
	var once sync.Once
	opened := func() { once.Do(func() { close(c.opened) }) }
	defer opened()
	err := c.talk(ctx, target, opened)
	if err != nil && ctx.Err() == nil {
		c.mu.Lock()
		c.broken = err.Error()
		c.mu.Unlock()
	}
}

func (c *longConn) talk(ctx context.Context, target string, opened func()) error {
	conn, err := (&net.Dialer{Timeout: longSilence, KeepAlive: -1}).DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(longSilence)); err != nil {
		return err
	}
	path, upgrade := downloadPath, ""
	if c.kind == Idle {
		path, upgrade = echoPath, "Connection: Upgrade\r\nUpgrade: "+echoProtocol+"\r\n"
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: baton-lab\r\n%s\r\n", path, target, upgrade); err != nil {
		return err
	}
	reader := bufio.NewReaderSize(conn, 4<<10)
	res, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: %s", errStatus, res.Status)
	}
	c.mu.Lock()
	c.server, c.local = res.Header.Get(serverHeader), conn.LocalAddr().String()
	c.mu.Unlock()
	opened()
	if c.kind == Idle {
		return c.echo(ctx, conn, reader)
	}
	return c.download(conn, res.Body)
}

// download compares every byte of an endless answer.
func (c *longConn) download(conn net.Conn, body io.Reader) error {
	buf := make([]byte, downloadPiece)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(longSilence)); err != nil {
			return err
		}
		n, err := body.Read(buf)
		at := c.bytes.Load()
		for i, b := range buf[:n] {
			if want := downloadByte(at + int64(i)); b != want {
				return fmt.Errorf("byte %d is %#02x, not %#02x", at+int64(i), b, want)
			}
		}
		c.bytes.Add(int64(n))
		if err != nil {
			return err
		}
	}
}

// echo sends a byte now and then and waits for the same one.
func (c *longConn) echo(ctx context.Context, conn net.Conn, reader io.Reader) error {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	one := make([]byte, 1)
	for {
		if err := conn.SetDeadline(time.Now().Add(longSilence)); err != nil {
			return err
		}
		want := downloadByte(c.bytes.Load())
		if _, err := conn.Write([]byte{want}); err != nil {
			return err
		}
		if _, err := io.ReadFull(reader, one); err != nil {
			return err
		}
		if one[0] != want {
			return fmt.Errorf("the echo of %#02x is %#02x", want, one[0])
		}
		c.bytes.Add(1)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// What real servers serve beside their name.
const (
	downloadPath = "/download"
	echoPath     = "/echo"
	sizePath     = "/size" // how many bytes the request's body had, behind the name
	echoProtocol = "baton-echo"
	serverHeader = "Baton-Server" // who answers

	downloadPiece = 512
	downloadEvery = 100 * time.Millisecond // 5 kB/s
)

// downloadByte is what stands at a place of a download. Its period is longer
// than any packet, so that one that is lost or comes twice is noticed.
func downloadByte(at int64) byte { return byte(at ^ at>>8 ^ at>>16) }

// serveDownload never ends by itself.
func (s *realServer) serveDownload(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(serverHeader, s.name)
	w.Header().Set("Content-Type", "application/octet-stream")
	flush := http.NewResponseController(w)
	piece := make([]byte, downloadPiece)
	tick := time.NewTicker(downloadEvery)
	defer tick.Stop()
	for at := int64(0); ; at += downloadPiece {
		for i := range piece {
			piece[i] = downloadByte(at + int64(i))
		}
		_, err := w.Write(piece)
		if err := errors.Join(err, flush.SetWriteDeadline(time.Now().Add(longSilence)), flush.Flush()); err != nil {
			return // the client has gone
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// serveEcho sends back whatever comes.
func (s *realServer) serveEcho(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), echoProtocol) {
		http.Error(w, "upgrade to "+echoProtocol, http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(s.ending, func() { conn.Close() })
	defer stop()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\n%s: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", serverHeader, s.name, echoProtocol)
	one := make([]byte, 1)
	for {
		if err := errors.Join(rw.Flush(), conn.SetDeadline(time.Now().Add(2*longSilence))); err != nil {
			return
		}
		if _, err := io.ReadFull(rw, one); err != nil {
			return
		}
		if _, err := rw.Write(one); err != nil {
			return
		}
	}
}
