package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"baton/internal/nstest"
)

// large answers a scrape with pieces of text, as the director does.
type large struct {
	*backend
	piece []byte
	n     int
}

func (l large) Metrics(_ context.Context, w io.Writer) error {
	for range l.n {
		if _, err := w.Write(l.piece); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkSend is what it costs to send the 18 MB that a scrape of 10,000 servers has over
// TCP. The client is this process too, so it is more than what a director has of it.
func BenchmarkSend(b *testing.B) {
	l := large{&backend{}, bytes.Repeat([]byte("x"), 256<<10), 72}
	at, room := read(b, l), make([]byte, 256<<10)
	begun := nstest.CPU(b)
	for b.Loop() {
		c, err := net.Dial("tcp", at)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		got := 0
		for err == nil {
			var n int
			n, err = c.Read(room)
			got += n
		}
		if !errors.Is(err, io.EOF) || got < l.n*len(l.piece) {
			b.Fatalf("%d bytes, %v", got, err)
		}
		c.Close()
	}
	b.ReportMetric(float64((nstest.CPU(b)-begun).Microseconds())/1e3/float64(b.N), "ms-cpu/scrape")
}
