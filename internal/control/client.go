package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"baton/internal/event"
)

// DefaultSocket is where baton listens unless control_socket says otherwise.
const DefaultSocket = "/run/baton/control.sock"

const (
	connectWithin = 5 * time.Second
	maxAnswer     = 64 << 20 // a status of 100,000 real servers
	grace         = 5 * time.Second
)

// Client asks the director that serves a socket. It is safe for concurrent
// use. Its errors name the socket and the remedy; those of the director are
// *Error.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the director behind the socket. It connects
// when it is asked something.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: connectWithin}
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{
		Transport: &http.Transport{
			DialContext: dial, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for everything that `baton status` shows.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	err := c.call(ctx, statusWithin, http.MethodGet, "/v1/status", nil, &st)
	return st, err
}

// Reload asks the director to read its configuration again. A refused
// configuration is an answer with OK false, not an error.
func (c *Client) Reload(ctx context.Context) (Reload, error) {
	var out Reload
	err := c.call(ctx, reloadWithin, http.MethodPost, "/v1/reload", struct{}{}, &out, http.StatusUnprocessableEntity)
	return out, err
}

// Failover asks the director to hand an instance ("" is every one that is
// master) to its peer and returns when that has ended. One that was not handed
// over is an answer with OK false, not an error.
func (c *Client) Failover(ctx context.Context, instance string) (Failover, error) {
	var out Failover
	err := c.call(ctx, failoverWithin, http.MethodPost, "/v1/failover", failoverRequest{instance}, &out, http.StatusConflict)
	return out, err
}

// EventsQuery says which events are wanted.
type EventsQuery struct {
	// Since is a duration before now or a time as in RFC 3339, see ParseSince.
	// "" is everything, or with Follow only what comes.
	Since string
	// Follow goes on until the context ends.
	Follow bool
	Filter
}

// Events calls f for each event, oldest first. It returns nil at the end of
// the past or, with Follow, when ctx ends; else the error of f or why the
// stream has ended.
func (c *Client) Events(ctx context.Context, q EventsQuery, f func(event.Event) error) error {
	v := url.Values{}
	if q.Since != "" {
		v.Set("since", q.Since)
	}
	if q.Follow {
		v.Set("follow", "1")
	}
	for name, value := range map[string]string{"level": q.Level, "event": q.Event, "instance": q.Instance, "server": q.Server} {
		if value != "" {
			v.Set(name, value)
		}
	}
	answer, err := c.send(ctx, http.MethodGet, "/v1/events?"+v.Encode(), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return c.refusal(answer)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 256<<10)
	for lines.Scan() {
		var e event.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("decode event: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case q.Follow && ctx.Err() != nil:
		return nil
	case err != nil:
		return c.explain(err)
	case q.Follow:
		return &Error{Message: "the director has ended the stream", Remedy: "it stops, or this reader was too slow; baton status tells which"}
	}
	return nil
}

// call sends a request and decodes the answer, also that of the other statuses.
func (c *Client) call(ctx context.Context, within time.Duration, method, path string, body, out any, others ...int) error {
	// The director's own bound ends first and has the better message.
	ctx, cancel := context.WithTimeout(ctx, within+grace)
	defer cancel()
	answer, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	ok := answer.StatusCode == http.StatusOK
	for _, s := range others {
		ok = ok || answer.StatusCode == s
	}
	if !ok {
		return c.refusal(answer)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(out); err != nil {
		return c.explain(fmt.Errorf("decode answer: %w", err))
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var raw io.Reader
	if body != nil {
		raw = bytes.NewReader(encode(body))
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://baton"+path, raw)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	return answer, nil
}

// refusal is the error in an answer that is no success.
func (c *Client) refusal(answer *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return c.explain(err)
	}
	e := &Error{Status: answer.StatusCode}
	if json.Unmarshal(raw, e) != nil || e.Message == "" {
		// net/http itself refuses what is no HTTP, in plain text.
		e.Message, e.Remedy = "the director answers "+answer.Status, "are this baton and the running one of the same version? baton version"
	}
	return e
}

// explain turns the system's error into what an operator can act on.
func (c *Client) explain(err error) error {
	e := &Error{cause: err}
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("ask baton at %s: %w", c.socket, context.Canceled)
	case errors.Is(err, fs.ErrNotExist):
		e.Message, e.Remedy = "there is no "+c.socket, "is baton running? systemctl status baton; another control_socket is given with --socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Message, e.Remedy = "nobody listens on "+c.socket, "baton has died: systemctl status baton, journalctl -u baton"
	case errors.Is(err, fs.ErrPermission):
		e.Message, e.Remedy = "no permission to connect to "+c.socket, c.permission()
	case errors.Is(err, syscall.EAGAIN):
		e.Message, e.Remedy = "too many clients wait at "+c.socket, "try again; ss -xtp shows who they are"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Message, e.Remedy = "no answer in time from "+c.socket, "baton hangs or the machine is overloaded: systemctl status baton, journalctl -u baton"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Message, e.Remedy = "the connection to "+c.socket+" was closed without an answer", "baton stops or is restarted: systemctl status baton"
	default:
		e.Message, e.Remedy = fmt.Sprintf("ask baton at %s: %v", c.socket, err), "systemctl status baton"
	}
	return e
}

// permission says who may connect.
func (c *Client) permission() string {
	st, err := os.Stat(c.socket)
	if err != nil {
		return "run it as root; its directory is closed to you"
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return "run it as root"
	}
	group := strconv.FormatUint(uint64(sys.Gid), 10)
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	if sys.Gid == 0 {
		return "run it as root, or set control_group in the configuration to a group that you are in"
	}
	return fmt.Sprintf("run it as root, or join its group: usermod -aG %s $USER, then log in again", group)
}
