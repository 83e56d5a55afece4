package conf_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/conf"
)

// inParts holds what is read of a text by small parts against what is read of
// it as a whole. It says whether the first could be done.
func inParts(t *testing.T, text []byte) bool {
	t.Helper()
	parts := conf.InParts("f", text, "lvs-a", 150)
	if parts == nil {
		return false
	}
	whole, err := conf.Parse("f", text, "lvs-a")
	if err != nil {
		t.Fatalf("accepted what is refused: %.500v\n%.2000s", err, text)
	}
	wantSame(t, parts, whole)
	again(t, parts, text)
	return true
}

// TestPartsReadWhatTheWholeReads over random edits.
func TestPartsReadWhatTheWholeReads(t *testing.T) {
	const n = 40
	read := 0
	for p, text := range pairs(t) {
		r := rand.New(rand.NewPCG(2, uint64(p)))
		for range n {
			next := edit(r, text)
			if inParts(t, next) {
				read++
			}
			if _, err := conf.Parse("f", next, "lvs-a"); err == nil && r.IntN(3) > 0 {
				text = next
			}
		}
	}
	if read < n {
		t.Errorf("only %d of the texts were read in parts", read)
	}
}

// TestLargeFilesAreReadInParts: a mistake in any of them is found where it is.
func TestLargeFilesAreReadInParts(t *testing.T) {
	text := services(600, 4)
	cfg := parse(t, "lvs-a", string(text))
	if len(cfg.Services) != 600 {
		t.Fatalf("%d services", len(cfg.Services))
	}
	if conf.InParts("f", text, "lvs-a", len(text)/4) == nil {
		t.Fatal("read at once")
	}
	lines := bytes.Count(text, []byte{'\n'})
	text = append(text, "[[virtual_server]]\naddress = \"10.0.3.1:80\"\n"...)
	_, err := conf.Parse("f", text, "lvs-a")
	want := fmt.Sprintf("f:%d:1: virtual_server[600].address: tcp 10.0.3.1:80 is served in line 71 already", lines+2)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("an address twice, in two parts: %v", err)
	}
}

// TestReloadLooksAtFilesAgain, of a service whose text is as it was.
func TestReloadLooksAtFilesAgain(t *testing.T) {
	dir, srv := t.TempDir(), httptest.NewTLSServer(nil)
	defer srv.Close()
	ca, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "baton.toml")
	text := bytes.Replace(services(3, 1), []byte("tcp_check = {}"), []byte("https_get = { ca_file = \""+ca+"\" }"), 1)
	for name, data := range map[string]string{ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})), file: string(text)} {
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := conf.Load(file, "lvs-a")
	if err != nil || len(cfg.Warnings) != 0 {
		t.Fatal(err, cfg.Warnings)
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err, cfg.Warnings)
	}
	next, err := conf.Reload(cfg, file, "lvs-a")
	if err != nil || len(next.Warnings) != 1 || !strings.Contains(next.Warnings[0].Message, "ca.pem cannot be used") {
		t.Error(err, next.Warnings)
	}
}
