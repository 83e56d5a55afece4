package healthcheck

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// maxControl bounds the frames that bring nothing of the answer.
const maxControl = 1000

// maxFrame is the largest frame that we take, HTTP/2's default.
const maxFrame = 16 << 10

// windowStep is how much of the windows is used up before they are opened again:
// with an update for each frame a server that sends small ones and does not read
// would stop us with its full buffer. Half of HTTP/2's initial window.
const windowStep = 32 << 10

// http2Stream is what a server sends on the one stream of a connection. A
// client with more to do would need goroutines and a buffer for each stream;
// a check needs neither, and its memory does not depend on the server.
type http2Stream struct {
	framer  *http2.Framer
	src     *reader
	status  int
	header  func(name, value string) // told every header and trailer field; may be nil
	rest    []byte                   // of the last DATA frame
	control int
	used    uint32 // of the windows, which have not been opened again
	ended   bool
	err     error // why it ended early
}

// writeHTTP2 writes the opening of a connection: preface, settings, and the
// request on stream 1.
func writeHTTP2(w *bytes.Buffer, scheme string, req *http.Request, body []byte) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	field := func(name, value string) {
		// A bytes.Buffer takes everything.
		_ = enc.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	field(":method", req.Method)
	field(":scheme", scheme)
	field(":authority", req.Host)
	field(":path", req.URL.RequestURI())
	for name, values := range req.Header {
		for _, v := range values {
			field(strings.ToLower(name), v)
		}
	}
	if block.Len() > maxFrame {
		return fmt.Errorf("the header has %d bytes, more than %d", block.Len(), maxFrame)
	}
	w.WriteString(http2.ClientPreface)
	f := http2.NewFramer(w, nil)
	if err := f.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: MaxHeader},
	); err != nil {
		return err
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == nil,
	}); err != nil || body == nil {
		return err
	}
	return f.WriteData(1, true, body)
}

// readHTTP2 returns the stream of a connection on which the opening was sent.
// It is to be closed.
func readHTTP2(c io.ReadWriter) *http2Stream {
	src := readFrom(c)
	f := http2.NewFramer(c, src.buf)
	f.SetMaxReadFrameSize(maxFrame)
	f.SetReuseFrames()
	f.MaxHeaderListSize = MaxHeader
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return &http2Stream{framer: f, src: src}
}

func (s *http2Stream) close() { s.src.done() }

// final reads up to the end of the final answer's header.
func (s *http2Stream) final() error {
	for interim := 0; s.status < 200; {
		before := s.status
		if err := s.frame(); err != nil {
			return err
		}
		if s.status < 200 && s.status != before {
			if interim++; interim > maxInterim {
				return failure(Protocol, "more than %d interim answers", maxInterim)
			}
			s.status = 0
		}
		if s.ended && s.status < 200 {
			return failure(Protocol, "the stream ended before the header")
		}
	}
	s.src.limited.N = maxRaw
	return nil
}

// Read reads the body.
func (s *http2Stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		switch {
		case s.err != nil:
			return 0, s.err
		case s.ended:
			return 0, io.EOF
		}
		s.err = s.frame()
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// frame reads one frame and does what it asks for.
func (s *http2Stream) frame() error {
	f, err := s.framer.ReadFrame()
	if err != nil {
		return s.broken(err)
	}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return s.headers(f)
	case *http2.DataFrame:
		return s.data(f)
	case *http2.RSTStreamFrame:
		return failure(Reset, "the server reset the stream: %v", f.ErrCode)
	case *http2.GoAwayFrame:
		if f.LastStreamID < 1 || f.ErrCode != http2.ErrCodeNo {
			return failure(Reset, "the server wants to go away: %v", f.ErrCode)
		}
	case *http2.PushPromiseFrame:
		return failure(Protocol, "the server pushes what it was told not to")
	case *http2.SettingsFrame:
		if !f.IsAck() {
			err = s.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			err = s.framer.WritePing(true, f.Data)
		}
	}
	if err != nil {
		return fmt.Errorf("answer a frame: %w", err)
	}
	return s.idle()
}

// idle counts a frame that brought nothing of the answer.
func (s *http2Stream) idle() error {
	if s.control++; s.control > maxControl {
		return failure(Protocol, "more than %d frames without anything of an answer", maxControl)
	}
	return nil
}

func (s *http2Stream) headers(f *http2.MetaHeadersFrame) error {
	switch {
	case f.StreamID != 1:
		return failure(Protocol, "a header on stream %d, which nobody opened", f.StreamID)
	case f.Truncated:
		return failure(Protocol, "the header has more than %d bytes", MaxHeader)
	case s.status < 200:
		code := f.PseudoValue("status")
		n, err := strconv.Atoi(code)
		if err != nil || len(code) != 3 || n < 100 {
			return failure(Protocol, "%.20q is not a status code", code)
		}
		s.status = n
	case !f.StreamEnded():
		return failure(Protocol, "a second header that does not end the stream")
	}
	s.ended = f.StreamEnded()
	if s.header != nil {
		for _, x := range f.RegularFields() {
			s.header(x.Name, x.Value)
		}
	}
	return nil
}

func (s *http2Stream) data(f *http2.DataFrame) error {
	if f.StreamID != 1 || s.status < 200 || s.ended {
		return failure(Protocol, "data on stream %d, which is not expected", f.StreamID)
	}
	s.rest, s.ended = f.Data(), f.StreamEnded()
	if s.ended || f.Length == 0 {
		return s.idle()
	}
	if s.used += f.Length; s.used < windowStep {
		return nil
	}
	for stream := range uint32(2) { // the connection's and ours
		if err := s.framer.WriteWindowUpdate(stream, s.used); err != nil {
			return fmt.Errorf("open the window: %w", err)
		}
	}
	s.used = 0
	return nil
}

// broken says why the frames ended with err.
func (s *http2Stream) broken(err error) error {
	r := s.src
	switch {
	case r.limited.N <= 0 && s.status < 200:
		return failure(Protocol, "the header has more than %d bytes", MaxHeader)
	case r.limited.N <= 0:
		return failure(Protocol, "the answer's framing has more than %d bytes", maxRaw)
	case cut(r.end):
		return failure(Protocol, "the connection was closed before the answer's end")
	case r.end != nil:
		return fmt.Errorf("read answer: %w", r.end)
	case s.framer.ErrorDetail() != nil:
		return failure(Protocol, "no HTTP/2: %v: %v", err, s.framer.ErrorDetail())
	default:
		return failure(Protocol, "no HTTP/2: %v", err)
	}
}

// exchange is response over HTTP/2.
func (j *judge) exchange(c net.Conn) error { return j.stream(c) }

func (j *judge) stream(c io.ReadWriter) error {
	s := readHTTP2(c)
	defer s.close()
	if err := s.final(); err != nil {
		return err
	}
	if err := j.code(s.status); err != nil || !j.body() {
		return err
	}
	return j.content(s, func(err error) error { return err })
}
