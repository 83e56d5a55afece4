package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// LoadOptions is how a client behaves.
type LoadOptions struct {
	// Target is the URL that is fetched. Default http://VIP:80/.
	Target string
	// Interval is the beat: a fresh connection begins at each one, whatever
	// became of those before. Default 5 ms.
	Interval time.Duration
	// Timeout bounds a request from connect to the end of the answer. Default
	// 2 s: long enough for one SYN sent again, which Report counts.
	Timeout time.Duration
	// InFlight bounds the requests under way; beats beyond it are missed.
	// Default 1000.
	InFlight int
}

func (o LoadOptions) withDefaults() LoadOptions {
	if o.Target == "" {
		o.Target = fmt.Sprintf("http://%s:%d/", VIP, ServicePort)
	}
	if o.Interval <= 0 {
		o.Interval = referenceBeat
	}
	if o.Timeout <= 0 {
		o.Timeout = referenceTimeout
	}
	if o.InFlight <= 0 {
		o.InFlight = 1000
	}
	return o
}

// client begins requests on an absolute beat.
type client struct {
	o       LoadOptions
	host    string // address:port
	request []byte
	readers sync.Pool
	rec     *recorder
	free    chan struct{}
	wg      sync.WaitGroup
}

func newClient(o LoadOptions, start time.Time) (*client, error) {
	o = o.withDefaults()
	u, err := url.Parse(o.Target)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("load %q: want http://ADDRESS:PORT/PATH", o.Target)
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "80")
	}
	req := "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: baton-lab\r\nConnection: close\r\n\r\n"
	c := &client{o: o, host: host, request: []byte(req), rec: newRecorder(start), free: make(chan struct{}, o.InFlight)}
	c.readers.New = func() any { return bufio.NewReaderSize(nil, 1024) }
	return c, nil
}

// run begins requests until ctx ends and returns when the last has ended.
func (c *client) run(ctx context.Context, start time.Time) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for beat := int64(0); ; beat++ {
		// Beats that passed while nobody let us run are not made up for in a burst.
		if late := int64(time.Since(start)/c.o.Interval) - beat; late > 0 {
			c.rec.missed(int(late))
			beat += late
		}
		timer.Reset(time.Until(start.Add(time.Duration(beat) * c.o.Interval)))
		select {
		case <-ctx.Done():
			c.rec.finish(time.Now())
			c.wg.Wait()
			return
		case <-timer.C:
		}
		select {
		case c.free <- struct{}{}:
			c.wg.Go(func() {
				c.rec.add(c.fetch())
				<-c.free
			})
		default:
			c.rec.missed(1)
		}
	}
}

// fetch makes one request on a connection of its own. It is not cancelled when
// the client stops: a request that was begun is waited for.
func (c *client) fetch() outcome {
	o := outcome{begun: time.Now()}
	deadline := o.begun.Add(c.o.Timeout)
	conn, err := (&net.Dialer{Deadline: deadline, KeepAlive: -1}).Dial("tcp", c.host)
	if o.opened = err == nil; o.opened {
		o.answer, err = c.exchange(conn, deadline)
		o.retransmitted = retransmitted(conn)
		conn.Close()
	}
	o.ended = time.Now()
	o.failure = classify(err)
	return o
}

var errStatus = errors.New("status is not 200")

func (c *client) exchange(conn net.Conn, deadline time.Time) (string, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := conn.Write(c.request); err != nil {
		return "", err
	}
	br := c.readers.Get().(*bufio.Reader)
	defer c.readers.Put(br)
	br.Reset(io.LimitReader(conn, 8<<10))
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", errStatus
	}
	return strings.TrimSpace(string(body)), nil
}

func classify(err error) Failure {
	var network net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errStatus):
		return BadStatus
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return WasReset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Cut
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, syscall.ETIMEDOUT):
		return TimedOut
	}
	return OtherError
}
