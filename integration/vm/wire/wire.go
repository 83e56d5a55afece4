// Package wire is what the host and the guest's init say to one another: a
// job in a file of the initramfs, then frames over one virtio-serial port.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// JobFile is where the guest's init finds its Job.
const JobFile = "/job.json"

// PortName is the virtio-serial port that carries the frames.
const PortName = "baton"

// OutDir is the directory in the guest whose files go back to the host.
const OutDir = "/out"

// Path is the guest's PATH.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Job is all that the guest has to do before it switches itself off.
type Job struct {
	// Transport lists the modules that make the serial port appear, in the
	// order in which they can be loaded; Modules the rest.
	Transport []Module
	Modules   []Module
	Commands  []Command
}

// Module is a kernel module: its file in the initramfs and its parameters.
type Module struct {
	Path   string
	Params string `json:",omitempty"`
}

// Command is one program to run in the guest. Env is its whole environment.
type Command struct {
	Args    []string
	Env     []string
	Dir     string
	Timeout time.Duration
}

// Kind says what a frame carries.
type Kind byte

// The frames. Hello is the first, Done the last; Stdout and Stderr belong to
// the command whose Exit follows them.
const (
	KindHello  Kind = 'H' // JSON Hello
	KindLog    Kind = 'L' // text: a remark of the guest's init
	KindStdout Kind = 'O' // bytes
	KindStderr Kind = 'E' // bytes
	KindExit   Kind = 'X' // JSON Exit
	KindFiles  Kind = 'F' // bytes of one tar archive of OutDir
	KindDone   Kind = 'D' // empty
)

// Hello says that the kernel is up.
type Hello struct {
	Release string        // uname -r
	Uptime  time.Duration // since the kernel's start
}

// Exit is the end of one command.
type Exit struct {
	Code     int // as a shell would give it: 128 + signal, 124 on time-out, 127 not found
	Took     time.Duration
	TimedOut bool
}

// MaxPayload bounds one frame; a longer write is cut into several.
const MaxPayload = 64 << 10

const headerSize = 5

// Writer writes frames. Safe for concurrent use.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
	b  []byte
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, b: make([]byte, headerSize+MaxPayload)}
}

// Send writes p as frames of kind k, at least one.
func (w *Writer) Send(k Kind, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		n := copy(w.b[headerSize:], p)
		w.b[0] = byte(k)
		binary.BigEndian.PutUint32(w.b[1:], uint32(n))
		if _, err := w.w.Write(w.b[:headerSize+n]); err != nil {
			return fmt.Errorf("write frame %q: %w", k, err)
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
}

// SendJSON writes v as one frame of kind k.
func (w *Writer) SendJSON(k Kind, v any) error {
	p, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode frame %q: %w", k, err)
	}
	return w.Send(k, p)
}

// Stream returns an io.Writer whose writes become frames of kind k.
func (w *Writer) Stream(k Kind) io.Writer { return stream{w, k} }

type stream struct {
	w *Writer
	k Kind
}

func (s stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.w.Send(s.k, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Reader reads frames.
type Reader struct {
	r io.Reader
	b []byte
}

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: r, b: make([]byte, headerSize+MaxPayload)}
}

// Next returns the next frame; the payload is good until the following call.
// The error is io.EOF between frames and io.ErrUnexpectedEOF within one.
func (r *Reader) Next() (Kind, []byte, error) {
	if _, err := io.ReadFull(r.r, r.b[:headerSize]); err != nil {
		return 0, nil, err
	}
	k, n := Kind(r.b[0]), binary.BigEndian.Uint32(r.b[1:])
	if n > MaxPayload {
		return 0, nil, fmt.Errorf("read frame %q: %d bytes are over the limit of %d", k, n, MaxPayload)
	}
	p := r.b[headerSize : headerSize+n]
	if _, err := io.ReadFull(r.r, p); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return k, p, nil
}
