package director

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/ipc"
)

// selfPath starts the same binary again, also after a package upgrade has
// replaced or removed the file that this process was started from.
const selfPath = "/proc/self/exe"

// The commands by which the director starts its children; cmd/baton has them
// hidden.
const (
	speakerCommand = "speaker"
	proberCommand  = "prober"
)

// speakerBackoff: the VIP's heartbeat is down, so the first restart is
// immediate; a speaker that cannot live is not restarted in a tight loop.
func speakerBackoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return min(50*time.Millisecond<<min(n-2, 10), 10*time.Second)
}

// proberBackoff: verdicts stand meanwhile, there is no hurry.
func proberBackoff(n int) time.Duration {
	return min(100*time.Millisecond<<min(n-1, 10), 30*time.Second)
}

// stopChild sends the last message to a child.
func stopChild(c *ipc.Conn) {
	// The child that cannot be told is killed when its time is over.
	_ = c.Send(kindStop, nil)
}

func childAttr(cred *syscall.Credential, ambient []uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Credential: cred,
		// A Ctrl-C on the terminal is for the director, which then stops its
		// children in order.
		Setpgid:     true,
		AmbientCaps: ambient,
	}
}

// link is the current connection to a child, nil while there is none. It
// belongs to the core goroutine.
type link struct {
	conn    *ipc.Conn
	pid     int
	started time.Time
	fresh   bool // it has not been told what it is to do yet
	deaths  int
	queue   *ipc.Outbox
	cancel  context.CancelFunc
	waiters []chan<- struct{} // for the answer to a question
	pulse   pulse
}

// connect takes over a new connection. What is sent from now on goes through
// a queue, so that a child that hangs never holds up the core; unsendable hears
// of what cannot be sent, from another goroutine.
func (l *link) connect(pid int, c *ipc.Conn, unsendable func(error)) {
	l.disconnect()
	ctx, cancel := context.WithCancel(context.Background())
	l.conn, l.pid, l.started, l.fresh, l.cancel = c, pid, time.Now(), true, cancel
	l.pulse = pulse{}
	l.queue = ipc.NewOutbox(64)
	go func(q *ipc.Outbox) {
		// An error here means that the connection is gone, which its reader
		// reports as the child's end.
		_ = q.Run(ctx, c, unsendable)
	}(l.queue)
}

func (l *link) disconnect() {
	if l.cancel != nil {
		l.cancel()
	}
	l.conn, l.pid, l.queue, l.cancel = nil, 0, nil, nil
	l.answered() // nobody will any more
}

// send queues a message; a key replaces an unsent one of the same key, which
// is right for whole desired state. Without a child it does nothing: the next
// one gets everything when it starts.
func (l *link) send(kind ipc.Kind, key string, body any) {
	if l.queue != nil {
		l.queue.Put(kind, key, body)
	}
}

// question asks for the child's facts, and closes done when they have come.
// Without a child it does so at once: there is nothing to wait for.
func (l *link) question(kind ipc.Kind, done chan<- struct{}) {
	if l.conn == nil {
		close(done)
		return
	}
	l.waiters = append(l.waiters, done)
	l.send(kind, string(kind), nil)
}

func (l *link) answered() {
	for _, w := range l.waiters {
		close(w)
	}
	l.waiters = nil
}

// swallow takes signals without acting on them. Unlike signal.Ignore it leaves
// them as they should be for the programs that this process starts: what is
// ignored stays so across an exec.
func swallow(sigs ...os.Signal) { signal.Notify(make(chan os.Signal, 1), sigs...) }

// ignoreTerminalSignals: a child acts on its socket, not on the terminal.
func ignoreTerminalSignals(ignore func(...os.Signal)) {
	ignore(unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)
}
