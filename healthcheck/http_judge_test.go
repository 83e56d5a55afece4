package healthcheck

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// TestFinderSeesThroughPieces: the needle is found however the text is cut.
func TestFinderSeesThroughPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfN(rapid.SampledFrom([]byte("ab")), 0, 40)
		text, needle := letters.Draw(t, "text"), rapid.SliceOfN(rapid.SampledFrom([]byte("ab")), 1, 6).Draw(t, "needle")
		f := &finder{needle: needle}
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if m, err := f.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("Write = %d, %v", m, err)
			}
			rest = rest[n:]
		}
		if want := bytes.Contains(text, needle); f.found != want {
			t.Fatalf("%q in %q: %v, want %v", needle, text, f.found, want)
		}
	})
}

func judgeOf(t testing.TB, h *HTTPSpec) *judge {
	t.Helper()
	b := &builder{spec: spec("judge")}
	j := h.judge(b, "HTTP", h.request(b, "HTTP"))
	if len(b.problems) > 0 {
		t.Fatal(errors.Join(b.problems...))
	}
	return j
}

// TestBodyOfExactlyTheBound is judged as a whole; one byte more is not.
func TestBodyOfExactlyTheBound(t *testing.T) {
	body := strings.Repeat("x", MaxBody-6) + "needle"
	sum := sha256.Sum256([]byte(body))
	j := judgeOf(t, &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "needle", BodyRegex: "needle$", BodySHA256: hex.EncodeToString(sum[:])}})
	read := func(body string) error {
		return j.response(iotest.HalfReader(strings.NewReader("HTTP/1.1 200 OK\r\n\r\n" + body)))
	}
	if err := read(body); err != nil {
		t.Errorf("exactly %d bytes: %v", MaxBody, err)
	}
	if err := read(body + "y"); ReasonOf(err) != Body {
		t.Errorf("one byte more: %v", err)
	}
	if err := read("y" + body[1:]); ReasonOf(err) != Body {
		t.Errorf("another first byte: %v", err)
	}
	j = judgeOf(t, &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "needle"}})
	if err := read("y" + body); ReasonOf(err) != Body {
		t.Errorf("needle beyond the bound by one: %v", err)
	}
	j = judgeOf(t, &HTTPSpec{HTTPRequest: HTTPRequest{BodyRegex: "needle"}})
	if err := read("y" + body); ReasonOf(err) != Body {
		t.Errorf("match beyond the bound by one: %v", err)
	}
}

// TestJudgeMemory: an endless answer takes no more memory than a short one.
func TestJudgeMemory(t *testing.T) {
	j := judgeOf(t, &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "needle", BodyRegex: "z$", BodySHA256: strings.Repeat("0", 64)}})
	long := "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 2*MaxBody)
	run := func() {
		if err := j.response(strings.NewReader(long)); ReasonOf(err) != Body {
			t.Fatal(err)
		}
	}
	run() // fills the pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 128<<10 {
		t.Errorf("%d bytes for an answer of %d", got, len(long))
	}
}

// meteredReader counts what is taken of it.
type meteredReader struct {
	r io.Reader
	n int
}

func (m *meteredReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += n
	return n, err
}

// FuzzResponse: whatever a server sends, in whatever pieces, the verdict comes
// after a bounded number of bytes, is one of the reasons that an answer can
// give, and does not depend on the pieces. An accepted answer is one.
func FuzzResponse(f *testing.F) {
	plain := judgeOf(f, &HTTPSpec{})
	strict := judgeOf(f, &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "needle", BodyRegex: "(?s)n.*e", Status: []StatusRange{{200, 299}, {503, 503}}}})
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, j := range []*judge{plain, strict} {
			src := &meteredReader{r: bytes.NewReader(in)}
			err := j.response(src)
			if bound := MaxHeader + maxRaw + 4096; src.n > bound {
				t.Fatalf("read %d bytes, bound %d", src.n, bound)
			}
			switch reason := ReasonOf(err); reason {
			case "", Status, Body, Protocol:
				pieces := j.response(iotest.OneByteReader(bytes.NewReader(in)))
				if ReasonOf(pieces) != reason {
					t.Fatalf("%v as a whole, %v byte by byte", err, pieces)
				}
			default:
				t.Fatalf("reason %q: %v", reason, err)
			}
			if err != nil {
				if detailOf(err) == "" || len(detailOf(err)) > maxDetail+len("…") {
					t.Fatalf("detail %q", detailOf(err))
				}
				continue
			}
			if !bytes.HasPrefix(in, []byte("HTTP/")) {
				t.Fatalf("accepted %q", in)
			}
			if j == strict && !bytes.Contains(in, []byte("n")) {
				t.Fatalf("accepted %q without the needle", in)
			}
		}
	})
}

// TestJudgeHeadHasNoBody: the length in an answer to HEAD is that of a body
// which does not come.
func TestJudgeHeadHasNoBody(t *testing.T) {
	j := judgeOf(t, &HTTPSpec{HTTPRequest: HTTPRequest{Method: http.MethodHead}})
	if err := j.response(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")); err != nil {
		t.Error(err)
	}
}
