package healthcheck

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// Bounds of what is read of an answer, in bytes.
const (
	MaxHeader = 64 << 10 // status line and header, interim answers included
	MaxBody   = 1 << 20  // body
	maxRaw    = 8 << 20  // body with its chunk framing
)

// maxInterim bounds the 1xx answers before the final one.
const maxInterim = 8

// judge decides about the answer to one request. Its memory does not depend on
// the answer's length.
type judge struct {
	request  *http.Request
	status   []StatusRange
	contains []byte
	regex    *regexp.Regexp
	without  bool // regex must not match
	digest   []byte
}

// body reports whether the body matters; else it is not even read.
func (j *judge) body() bool { return len(j.contains) > 0 || j.regex != nil || j.digest != nil }

// reader is what an answer is read through.
type reader struct {
	src     io.Reader
	end     error // what src ended with: parsers above do not always pass it on
	limited io.LimitedReader
	buf     *bufio.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.end != nil {
		return 0, r.end
	}
	n, err := r.src.Read(p)
	r.end = err
	return n, err
}

var readers = sync.Pool{New: func() any {
	r := new(reader)
	r.limited.R = r
	r.buf = bufio.NewReaderSize(&r.limited, 4096)
	return r
}}

// readFrom returns a reader of the first MaxHeader bytes of src, to be given
// back with done.
func readFrom(src io.Reader) *reader {
	r := readers.Get().(*reader)
	r.src, r.end, r.limited.N = src, nil, MaxHeader
	r.buf.Reset(&r.limited)
	return r
}

func (r *reader) done() {
	r.src = nil
	readers.Put(r)
}

// response reads an answer from src and returns nil if it is the wanted one.
func (j *judge) response(src io.Reader) error {
	r := readFrom(src)
	defer r.done()
	resp, err := j.header(r)
	if err != nil {
		return err
	}
	if err := j.code(resp.StatusCode); err != nil || !j.body() {
		return err
	}
	r.limited.N = maxRaw
	return j.content(resp.Body, r.broken)
}

// broken says why the body's bytes ended with err.
func (r *reader) broken(err error) error {
	switch {
	case r.limited.N <= 0:
		return failure(Protocol, "the body's framing has more than %d bytes", maxRaw)
	case cut(r.end):
		return failure(Protocol, "the connection was closed before the body's end")
	case r.end != nil:
		return fmt.Errorf("read body: %w", r.end)
	default:
		return fmt.Errorf("read body: %w", err)
	}
}

// header reads up to the end of the final answer's header.
func (j *judge) header(r *reader) (*http.Response, error) {
	for range maxInterim {
		resp, err := http.ReadResponse(r.buf, j.request)
		switch {
		case err != nil && r.limited.N <= 0:
			return nil, failure(Protocol, "the header has more than %d bytes", MaxHeader)
		case err != nil && cut(r.end):
			return nil, failure(Protocol, "the connection was closed before the header's end")
		case err != nil && r.end != nil:
			return nil, fmt.Errorf("read header: %w", r.end)
		case err != nil:
			return nil, fmt.Errorf("read header: %w", err)
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			return resp, nil
		}
	}
	return nil, failure(Protocol, "more than %d interim answers", maxInterim)
}

// cut reports whether the connection ended, in TLS without a close notification.
func cut(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// code judges the status code.
func (j *judge) code(code int) error {
	for _, r := range j.status {
		if r.Low <= code && code <= r.High {
			return nil
		}
	}
	return failure(Status, "status %d, wanted %s", code, j.wanted())
}

func (j *judge) wanted() string {
	var s []string
	for _, r := range j.status {
		s = append(s, r.String())
	}
	return strings.Join(s, ", ")
}

// content reads the body to its end, at most MaxBody, and judges it on the way.
// What keeps it from the end is told by broken.
func (j *judge) content(body io.Reader, broken func(error) error) error {
	src := &meter{src: body, left: MaxBody}
	var in io.Reader = src
	var sum hash.Hash
	if j.digest != nil {
		sum = sha256.New()
		in = io.TeeReader(in, sum)
	}
	find := &finder{needle: j.contains}
	if len(j.contains) > 0 {
		in = io.TeeReader(in, find)
	}
	matched := false
	if j.regex != nil {
		br := bodyReaders.Get().(*bufio.Reader)
		br.Reset(in)
		matched = j.regex.MatchReader(br)
		br.Reset(nil)
		bodyReaders.Put(br)
	}
	_, err := io.Copy(io.Discard, in)
	if err == nil {
		err = src.err // the expression's reader may have met it first
	}
	where := ""
	switch {
	case src.over:
		where = fmt.Sprintf(" (only the first %d bytes were read)", MaxBody)
	case err != nil:
		return broken(err)
	}
	switch {
	case len(j.contains) > 0 && !find.found:
		return failure(Body, "the body does not contain %.60q%s", j.contains, where)
	case j.regex != nil && matched && j.without:
		return failure(Body, "the body matches %.60q%s", j.regex, where)
	case j.regex != nil && !matched && !j.without:
		return failure(Body, "the body does not match %.60q%s", j.regex, where)
	case sum != nil && src.over:
		return failure(Body, "the body has more than %d bytes", MaxBody)
	case sum != nil && !bytes.Equal(sum.Sum(nil), j.digest):
		return failure(Body, "the body's SHA-256 is %x", sum.Sum(nil))
	default:
		return nil
	}
}

var bodyReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

// meter passes at most left bytes on, then ends and tells in over whether
// there was more.
type meter struct {
	src  io.Reader
	left int
	over bool
	err  error // other than io.EOF
}

func (m *meter) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if m.left == 0 {
		var one [1]byte
		n, err := io.ReadAtLeast(m.src, one[:], 1)
		m.over = m.over || n > 0
		if n == 0 && err != io.EOF {
			m.err = err
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := m.src.Read(p[:min(len(p), m.left)])
	m.left -= n
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

// finder looks for a needle in what is written to it piece by piece.
type finder struct {
	needle []byte
	tail   []byte // the end of what went before, shorter than the needle
	found  bool
}

func (f *finder) Write(p []byte) (int, error) {
	if f.found {
		return len(p), nil
	}
	keep := len(f.needle) - 1
	seam := append(f.tail, p[:min(len(p), keep)]...)
	f.found = bytes.Contains(seam, f.needle) || bytes.Contains(p, f.needle)
	if len(p) >= keep {
		f.tail = append(f.tail[:0], p[len(p)-keep:]...)
	} else {
		f.tail = append(f.tail[:0], seam[max(0, len(seam)-keep):]...)
	}
	return len(p), nil
}
