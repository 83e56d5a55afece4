package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// startLong runs the client process of long connections; next returns what it
// tells next, stop is whoever asked for it going away.
func startLong(t *testing.T, target string, args ...string) (next func() longMessage, stop func()) {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	go func() {
		if err := Hidden(t.Context(), append([]string{"long", target}, args...), inR, outW); err != nil {
			t.Error(err)
		}
		outW.Close()
	}()
	lines := json.NewDecoder(outR)
	next = func() longMessage {
		var m longMessage
		if err := lines.Decode(&m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	return next, func() { inW.Close() }
}

func TestLongConnectionsLiveUntilTheServerEnds(t *testing.T) {
	url, s := startServer(t, "rs9")
	target := strings.Trim(strings.TrimPrefix(url, "http://"), "/")
	next, stop := startLong(t, target, "2", "1")
	moved := func(m longMessage) bool {
		if len(m.Connections) < 3 {
			return false
		}
		for _, c := range m.Connections {
			if c.Broken != "" || c.Server != "" && c.Server != "rs9" {
				t.Fatalf("%+v", c)
			}
			if least := map[string]int64{Download: downloadPiece + 1, Idle: 1}[c.Kind]; c.Bytes < least {
				return false
			}
		}
		return true
	}
	for !moved(next()) {
	}
	if err := s.setMode(Refuse); err != nil { // which is for new ones
		t.Fatal(err)
	}
	before := next().Connections
	for m := next(); ; m = next() {
		if m.Connections[0].Bytes > before[0].Bytes && m.Connections[2].Bytes > before[2].Bytes {
			break
		}
	}
	s.close()
	for m := next(); ; m = next() {
		ended := 0
		for _, c := range m.Connections {
			if c.Broken != "" {
				ended++
			}
		}
		if ended == 3 {
			break
		}
	}
	stop()
	m := next()
	for !m.Final {
		m = next()
	}
	if err := broken(m.Connections); err == nil || !strings.Contains(err.Error(), "download connection from 127.0.0.1:") {
		t.Errorf("broken: %v", err)
	}
}

// TestLongConnectionsThatEndInOrderAreNotBroken: the end that we ask for is none
// of theirs.
func TestLongConnectionsThatEndInOrderAreNotBroken(t *testing.T) {
	url, _ := startServer(t, "rs9")
	next, stop := startLong(t, strings.Trim(strings.TrimPrefix(url, "http://"), "/"), "1", "1")
	for m := next(); len(m.Connections) < 2 || m.Connections[1].Bytes == 0; m = next() {
	}
	stop()
	m := next()
	for !m.Final {
		m = next()
	}
	if err := broken(m.Connections); err != nil {
		t.Error(err)
	}
}

func TestWrongByteBreaksALongConnection(t *testing.T) {
	for kind, serve := range map[string]http.HandlerFunc{
		Download: func(w http.ResponseWriter, _ *http.Request) {
			for i := range int64(5000) {
				b := downloadByte(i)
				if i == 3000 {
					b++
				}
				if _, err := w.Write([]byte{b}); err != nil {
					return
				}
			}
		},
		Idle: func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\n\r\nxyz")
			rw.Flush()
			_, _ = io.Copy(io.Discard, conn)
		},
	} {
		server := httptest.NewServer(serve)
		args := map[string][]string{Download: {"1", "0"}, Idle: {"0", "1"}}[kind]
		next, stop := startLong(t, server.Listener.Addr().(*net.TCPAddr).String(), args...)
		m := next()
		for len(m.Connections) == 0 || m.Connections[0].Broken == "" {
			m = next()
		}
		if want := map[string]string{Download: "byte 3000 is", Idle: "the echo of 0x00 is 0x78"}[kind]; !strings.Contains(m.Connections[0].Broken, want) {
			t.Errorf("%s: %q, want %q", kind, m.Connections[0].Broken, want)
		}
		stop()
		for !m.Final {
			m = next()
		}
		server.CloseClientConnections()
		server.Close()
	}
}
