package doctor

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The command for a VRID that is somebody else's changes the file however its
// line is written, and nothing else in it.
func TestPasteVRID(t *testing.T) {
	for line, want := range map[string]string{
		"virtual_router_id = 51":              "virtual_router_id = 1",
		"  virtual_router_id=51 # since 2019": "  virtual_router_id=1 # since 2019",
		"virtual_router_id\t=\t51\t":          "virtual_router_id\t=\t1\t",
		"virtual_router_id = 51\r":            "virtual_router_id = 1\r",
	} {
		file := filepath.Join(t.TempDir(), "baton.toml")
		rest := "# virtual_router_id = 51\n"
		if err := os.WriteFile(file, []byte(strings.Replace(pair, "virtual_router_id = 51", line, 1)+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := configured(t, pair, "DR", "")
		cfg.File = file
		f := healthy()
		heard(func(h *Heard) { h.Addresses = []netip.Addr{ip("10.9.9.9")} })(&f)
		for _, g := range Judge(cfg, f).Findings {
			if g.ID == "wire.duplicate_vrid" {
				if out, err := exec.Command("sh", "-c", g.Mend).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", g.Mend, err, out)
				}
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != strings.Replace(pair, "virtual_router_id = 51", want, 1)+rest {
			t.Errorf("%q became\n%s", line, got)
		}
	}
}
