package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"baton/integration/vm/wire"
)

func TestFramesComeBackInOrder(t *testing.T) {
	var b bytes.Buffer
	w := wire.NewWriter(&b)
	big := bytes.Repeat([]byte("x"), wire.MaxPayload+7)
	for _, err := range []error{
		w.SendJSON(wire.KindExit, wire.Exit{Code: 3, Took: time.Second}),
		w.Send(wire.KindStdout, big),
		w.Send(wire.KindDone, nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := wire.NewReader(&b)
	var got []string
	for {
		k, p, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(p) > 100 {
			p = p[:3]
		}
		got = append(got, string(k)+" "+string(p))
	}
	want := `X {"Code":3,"Took":1000000000,"TimedOut":false}|O xxx|O xxxxxxx|D `
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("frames are %s, want %s", s, want)
	}
}

func TestStreamIsAWriter(t *testing.T) {
	var b bytes.Buffer
	n, err := wire.NewWriter(&b).Stream(wire.KindStderr).Write([]byte("oops"))
	if n != 4 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if k, p, err := wire.NewReader(&b).Next(); k != wire.KindStderr || string(p) != "oops" || err != nil {
		t.Errorf("Next = %q %q %v", k, p, err)
	}
}

func TestReaderRefusesWhatIsNoFrame(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"nothing":     {"", io.EOF},
		"half header": {"O\x00\x00", io.ErrUnexpectedEOF},
		"header only": {"O\x00\x00\x00\x04", io.ErrUnexpectedEOF},
		"half body":   {"O\x00\x00\x00\x04ab", io.ErrUnexpectedEOF},
	} {
		if _, _, err := wire.NewReader(strings.NewReader(c.in)).Next(); !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v, want %v", name, err, c.want)
		}
	}
	_, _, err := wire.NewReader(strings.NewReader("O\x00\x01\x00\x01")).Next()
	if err == nil || !strings.Contains(err.Error(), "over the limit of 65536") {
		t.Errorf("oversized frame: error is %v", err)
	}
}

// FuzzReader: whatever the guest says, the reader returns frames within the
// limit or an error, and what it has accepted can be written again.
func FuzzReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		r := wire.NewReader(bytes.NewReader(in))
		var again bytes.Buffer
		w := wire.NewWriter(&again)
		for {
			k, p, err := r.Next()
			if err != nil {
				break
			}
			if err := w.Send(k, p); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(in, again.Bytes()) {
			t.Errorf("read %x as %x", in, again.Bytes())
		}
	})
}
