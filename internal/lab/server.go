package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Mode is how a real server of the lab treats its clients.
type Mode string

// The modes of a real server.
const (
	Answer Mode = "answer" // with its name
	Refuse Mode = "refuse" // nobody listens: the kernel resets
	Hang   Mode = "hang"   // connections are accepted, requests never answered
	Slow   Mode = "slow"   // answers come after a second
	Broken Mode = "broken" // every answer is 503
)

const slowAnswer = time.Second

// realServer answers HTTP on one address and takes its mode over a unix
// socket.
type realServer struct {
	name, listen string

	mu       sync.Mutex
	mode     Mode
	changed  chan struct{} // closed when the mode changes
	hung     chan struct{} // one for each request that begins to hang, while there is room
	listener net.Listener
	web      *http.Server
	serving  sync.WaitGroup
	ending   context.Context // ends with the server
	end      context.CancelFunc
}

func newRealServer(name, listen string) *realServer {
	s := &realServer{name: name, listen: listen, changed: make(chan struct{}), hung: make(chan struct{}, 100)}
	s.web = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	s.ending, s.end = context.WithCancel(context.Background())
	// A fresh connection for each request is what a director balances.
	s.web.SetKeepAlivesEnabled(false)
	return s
}

// ServeRealServer answers HTTP requests and UDP datagrams to listen (":80") with
// name until ctx ends. Its mode is read and set by GET and PUT /mode on the unix socket.
func ServeRealServer(ctx context.Context, name, listen, socket string) error {
	s := newRealServer(name, listen)
	defer s.close()
	if err := s.setMode(Answer); err != nil {
		return err
	}
	if err := s.answerDatagrams(s.ending); err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove old socket: %w", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/mode", s.control)
	ctl := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { ctl.Close() })
	defer stop()
	if err := ctl.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control: %w", err)
	}
	return nil
}

// close drops every connection and returns when nothing is served any more.
func (s *realServer) close() {
	s.end()
	_ = s.web.Close() // the listeners' errors, which nobody can mend
	s.serving.Wait()
}

func (s *realServer) control(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		raw, err := io.ReadAll(io.LimitReader(r.Body, 64))
		if err == nil {
			err = s.setMode(Mode(raw))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(w, s.mode)
}

// setMode puts a mode into force before it returns.
func (s *realServer) setMode(m Mode) error {
	switch m {
	case Answer, Refuse, Hang, Slow, Broken:
	default:
		return fmt.Errorf("set mode %q: there are %s, %s, %s, %s and %s", m, Answer, Refuse, Hang, Slow, Broken)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m == Refuse && s.listener != nil {
		// Not web.Close, after which a Server cannot serve again.
		if err := s.listener.Close(); err != nil {
			return fmt.Errorf("stop listening: %w", err)
		}
		s.listener = nil
	}
	if m != Refuse && s.listener == nil {
		l, err := net.Listen("tcp", s.listen)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", s.listen, err)
		}
		s.listener = l
		s.serving.Go(func() {
			// It ends when the listener is closed, which is no failure.
			_ = s.web.Serve(l)
		})
	}
	s.mode = m
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *realServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	mode, changed := s.mode, s.changed
	s.mu.Unlock()
	switch mode {
	case Hang:
		select {
		case s.hung <- struct{}{}:
		default:
		}
		select {
		case <-r.Context().Done():
		case <-changed:
		}
		// Neither an answer nor a clean end: the client must not count it.
		panic(http.ErrAbortHandler)
	case Slow:
		select {
		case <-time.After(slowAnswer):
		case <-r.Context().Done():
			return
		}
	case Broken:
		http.Error(w, s.name+" is broken", http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case downloadPath:
		s.serveDownload(w, r)
	case echoPath:
		s.serveEcho(w, r)
	case sizePath:
		n, err := io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		fmt.Fprintln(w, s.name, n)
	default:
		fmt.Fprintln(w, s.name)
	}
}

// StartServer starts the real server in rs1 or rs2 and returns when it
// listens.
func (l *Lab) StartServer(ctx context.Context, node string) error {
	if !isServer(node) {
		return fmt.Errorf("start real server in %s: the lab has %s and %s", node, RS1, RS2)
	}
	p, err := l.startDaemon(node, kindServer, nil, HiddenCommand, "real-server", node, fmt.Sprintf(":%d", l.Topology().layout().port), l.Paths(node).Socket)
	if err != nil {
		return err
	}
	err = await(ctx, l.opts.Patience, func() (string, error) {
		if !p.alive() {
			return "", errors.New("it ended")
		}
		if _, err := l.ServerMode(ctx, node); err != nil {
			return "it does not answer: " + err.Error(), nil
		}
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("start real server %s: %w; its log ends:\n%s", node, err, lastLines(p.Log, 20))
	}
	return nil
}

// SetServer puts a real server into a mode, in force when it returns.
func (l *Lab) SetServer(ctx context.Context, node string, m Mode) error {
	_, err := l.serverMode(ctx, node, http.MethodPut, string(m))
	return err
}

// ServerMode asks a real server for its mode.
func (l *Lab) ServerMode(ctx context.Context, node string) (Mode, error) {
	answer, err := l.serverMode(ctx, node, http.MethodGet, "")
	return Mode(answer), err
}

func (l *Lab) serverMode(ctx context.Context, node, method, body string) (string, error) {
	if !isServer(node) {
		return "", fmt.Errorf("set mode of %s: the real servers are %s and %s", node, RS1, RS2)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	socket := l.Paths(node).Socket
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+node+"/mode", strings.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("ask real server %s: %w", node, err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", fmt.Errorf("ask real server %s: %w", node, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	if err != nil {
		return "", fmt.Errorf("ask real server %s: %w", node, err)
	}
	answer := strings.TrimSpace(string(raw))
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("set mode of %s: %s", node, answer)
	}
	return answer, nil
}
