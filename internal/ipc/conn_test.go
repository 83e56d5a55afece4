package ipc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

type body struct{ N int }

func pipe(t *testing.T) (*Conn, *Conn) {
	t.Helper()
	a, b := net.Pipe()
	ca, cb := NewConn(a), NewConn(b)
	t.Cleanup(func() { ca.Close(); cb.Close() })
	return ca, cb
}

func TestMessagesArriveInOrderAndWhole(t *testing.T) {
	a, b := pipe(t)
	go func() {
		for i := range 100 {
			if err := a.Send("n", body{i}); err != nil {
				t.Error(err)
			}
		}
		a.Close()
	}()
	for i := range 100 {
		m, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		var got body
		if err := m.Decode(&got); err != nil || got.N != i || m.Kind != "n" {
			t.Fatalf("message %d is %s %+v, %v", i, m.Kind, got, err)
		}
	}
	if _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last message: %v, want EOF", err)
	}
}

func TestOversizedMessageIsRefusedBeforeItIsSent(t *testing.T) {
	a, _ := pipe(t)
	err := a.Send("big", strings.Repeat("x", MaxFrame))
	if err == nil || !strings.Contains(err.Error(), "exceed the bound") {
		t.Errorf("error is %v", err)
	}
}

func TestBrokenFrames(t *testing.T) {
	frame := func(n uint32, s string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, n), s...)
	}
	for name, in := range map[string][]byte{
		"length cut short": {0, 0},
		"too long":         frame(MaxFrame+1, ""),
		"body cut short":   frame(10, "{}"),
		"not JSON":         frame(3, "abc"),
		"empty":            frame(0, ""),
	} {
		if _, err := readFrame(bytes.NewReader(in)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
}

// FuzzReadFrame: whatever arrives, reading ends with a message or an error and
// never claims more memory than arrived.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{255, 255, 255, 255})
	f.Add([]byte("\x00\x00\x00\x1d{\"kind\":\"apply\",\"body\":[1,2]}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := readFrame(bytes.NewReader(in))
		if err == nil && len(m.Body) > len(in) {
			t.Errorf("body of %d bytes out of %d", len(m.Body), len(in))
		}
	})
}
