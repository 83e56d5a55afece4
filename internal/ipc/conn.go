// Package ipc connects the director with its two children: a small framed
// codec over an inherited socket pair, and the supervision of the processes
// at its other end.
package ipc

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxFrame bounds one message. The largest is the prober's desired state:
// 10,000 checks at about 600 bytes each, with room to spare.
const MaxFrame = 32 << 20

// sendTimeout bounds one write. A peer that does not read for so long hangs,
// and a hung peer is treated like a dead one: the connection ends.
const sendTimeout = 10 * time.Second

// Kind names a message. Each direction has its own few; see the package that
// composes the processes.
type Kind string

// Message is one received frame.
type Message struct {
	Kind Kind            `json:"kind"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Decode reads the message's body into v.
func (m Message) Decode(v any) error {
	if err := json.Unmarshal(m.Body, v); err != nil {
		return fmt.Errorf("decode %s message: %w", m.Kind, err)
	}
	return nil
}

// Conn is one end of the channel. Send may be called from several goroutines,
// Receive from one.
type Conn struct {
	nc net.Conn
	r  *bufio.Reader
	mu sync.Mutex // orders frames
}

// NewConn wraps a stream.
func NewConn(nc net.Conn) *Conn {
	return &Conn{nc: nc, r: bufio.NewReaderSize(nc, 64<<10)}
}

// Pair makes a connected pair: this process's end, and a file for the child to
// inherit.
func Pair() (*Conn, *os.File, error) {
	nc, theirs, err := pair(unix.SOCK_STREAM)
	if err != nil {
		return nil, nil, err
	}
	return NewConn(nc), theirs, nil
}

func pair(typ int) (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	ours := os.NewFile(uintptr(fds[0]), "ipc-parent")
	theirs := os.NewFile(uintptr(fds[1]), "ipc-child")
	nc, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("open socket pair: %w", err)
	}
	return nc, theirs, nil
}

// Where the child finds its ends: exec's ExtraFiles in order.
const (
	inheritedFD = 3
	recordsFD   = 4
)

// Inherited opens the end that the parent passed on. It fails in a process
// that was not started by the director.
func Inherited() (*Conn, error) {
	nc, err := inherited(inheritedFD)
	if err != nil {
		return nil, err
	}
	return NewConn(nc), nil
}

// InheritedRecords opens the socket of records that Child.Records has the other
// end of. It fails in a process whose parent has none.
func InheritedRecords() (*net.UnixConn, error) {
	nc, err := inherited(recordsFD)
	if err != nil {
		return nil, err
	}
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		nc.Close()
		return nil, fmt.Errorf("open inherited socket of records: it is a %T", nc)
	}
	return uc, nil
}

func inherited(fd int) (net.Conn, error) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "ipc")
	nc, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("open inherited socket (this command is started by `baton run` only): %w", err)
	}
	return nc, nil
}

// ErrUnsendable is wrapped by errors about a message that no connection could
// carry. Others can still be sent after it.
var ErrUnsendable = errors.New("message cannot be sent")

// Send writes one message: four bytes of length in network order, then JSON.
// After an error that is no ErrUnsendable the connection is of no more use.
func (c *Conn) Send(kind Kind, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode %s message: %w: %w", kind, ErrUnsendable, err)
	}
	frame, err := json.Marshal(Message{Kind: kind, Body: raw})
	if err != nil {
		return fmt.Errorf("encode %s message: %w: %w", kind, ErrUnsendable, err)
	}
	if len(frame) > MaxFrame {
		return fmt.Errorf("send %s message: %w: %d bytes exceed the bound of %d", kind, ErrUnsendable, len(frame), MaxFrame)
	}
	out := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(frame)), uint32(len(frame)))
	out = append(out, frame...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.nc.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("send %s message: %w", kind, err)
	}
	if _, err := c.nc.Write(out); err != nil {
		// Half a frame may be out: nothing after it could be understood.
		c.nc.Close()
		return fmt.Errorf("send %s message: %w", kind, err)
	}
	return nil
}

// ErrFrame is wrapped by errors about bytes that are not a message.
var ErrFrame = errors.New("malformed frame")

// Receive waits for the next message. It returns io.EOF when the other end has
// closed between two messages.
func (c *Conn) Receive() (Message, error) {
	return readFrame(c.r)
}

func readFrame(r io.Reader) (Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Message{}, fmt.Errorf("receive message: %w: length cut short", ErrFrame)
		}
		return Message{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return Message{}, fmt.Errorf("receive message: %w: %d bytes exceed the bound of %d", ErrFrame, n, MaxFrame)
	}
	// Grown while bytes arrive, so that a length alone claims no memory.
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return Message{}, fmt.Errorf("receive message: %w", err)
	}
	if uint32(len(body)) < n {
		return Message{}, fmt.Errorf("receive message: %w: %d of %d bytes", ErrFrame, len(body), n)
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return Message{}, fmt.Errorf("receive message: %w: %w", ErrFrame, err)
	}
	return m, nil
}

// Close ends the connection; the other end sees io.EOF.
func (c *Conn) Close() error { return c.nc.Close() }
