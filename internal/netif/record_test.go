package netif

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	file := filepath.Join(t.TempDir(), "addresses.json")
	p, q := netip.MustParsePrefix("192.0.2.200/24"), netip.MustParsePrefix("192.0.2.201/32")
	r := newRecord(file)
	if err := r.add("eth0", []netip.Prefix{p, q, p}); err != nil {
		t.Fatal(err)
	}
	if err := r.add("eth1", []netip.Prefix{p}); err != nil {
		t.Fatal(err)
	}
	r = newRecord(file) // another run
	if err := r.remove("eth0", []netip.Prefix{p}); err != nil {
		t.Fatal(err)
	}
	r = newRecord(file)
	for _, tt := range []struct {
		iface  string
		prefix netip.Prefix
		want   bool
	}{{"eth0", p, false}, {"eth0", q, true}, {"eth1", p, true}, {"eth1", q, false}} {
		if got := r.has(tt.iface, tt.prefix); got != tt.want {
			t.Errorf("record has %s on %s: %t, want %t", tt.prefix, tt.iface, got, tt.want)
		}
	}
	b, err := os.ReadFile(file)
	want := `[{"interface":"eth0","address":"192.0.2.201/32"},{"interface":"eth1","address":"192.0.2.200/24"}]` + "\n"
	if err != nil || string(b) != want {
		t.Errorf("file holds %q, %v, want %q", b, err, want)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("directory holds %v, %v, want the record alone", left, err)
	}
}

func TestRecordUnreadable(t *testing.T) {
	p := netip.MustParsePrefix("192.0.2.200/24")
	for name, content := range map[string]string{
		"cut off":         `[{"interface":"eth0","addr`,
		"not a prefix":    `[{"interface":"eth0","address":"192.0.2.1"}]`,
		"without address": `[{"interface":"eth0"}]`,
		"too large":       strings.Repeat(" ", maxRecord) + "[]",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "addresses.json")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := newRecord(file)
			if r.has("eth0", p) {
				t.Error("found an address in it")
			}
			err := r.takeLoadError()
			if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "remove the file") {
				t.Errorf("error %v, want one naming %s and the remedy", err, file)
			}
			if err := r.takeLoadError(); err != nil {
				t.Errorf("told a second time: %v", err)
			}
			// The next address is recorded all the same.
			if err := r.add("eth0", []netip.Prefix{p}); err != nil {
				t.Fatal(err)
			}
			if !newRecord(file).has("eth0", p) {
				t.Error("address not recorded")
			}
		})
	}
}

func TestRecordUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "missing", "addresses.json")
	r := newRecord(file)
	p := netip.MustParsePrefix("192.0.2.200/24")
	if err := r.add("eth0", []netip.Prefix{p}); err == nil || !strings.HasPrefix(err.Error(), "write address record: ") {
		t.Errorf("error %v, want one about writing the record", err)
	}
	if !r.has("eth0", p) {
		t.Error("forgotten by this run as well")
	}
	if err := newRecord("").add("eth0", []netip.Prefix{p}); err != nil {
		t.Errorf("without a file: %v", err)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`[{"interface":"eth0","address":"192.0.2.200/24"}]`))
	f.Add([]byte(`[{"interface":"","address":"::/0"}]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseRecord("f", data)
		if err != nil {
			if entries != nil {
				t.Errorf("entries %v beside error %v", entries, err)
			}
			return
		}
		for _, e := range entries {
			if e.Interface == "" || !e.Address.IsValid() {
				t.Errorf("accepted %+v", e)
			}
		}
	})
}
