package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/conf"
	"baton/vrrp"
)

// TestExamples: every example is right on both of its directors, without as
// much as a warning.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/*.toml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	kinds, shown := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		for _, node := range []string{"lvs-a", "lvs-b"} {
			cfg, err := conf.Load(file, node)
			if err != nil {
				t.Fatal(err)
			}
			if len(cfg.Warnings) > 0 || len(cfg.Instances) == 0 || len(cfg.Services) == 0 {
				t.Errorf("%s on %s: %d instances, %d services, warnings %v", file, node, len(cfg.Instances), len(cfg.Services), cfg.Warnings)
			}
			for _, vi := range cfg.Instances {
				shown["IPv6"] = shown["IPv6"] || vi.Family() == vrrp.IPv6
				shown["unicast"] = shown["unicast"] || len(vi.Peers) > 0
				shown["VMAC"] = shown["VMAC"] || vi.VMAC != nil
			}
			for _, g := range cfg.SyncGroups {
				for _, t := range g.Track {
					shown[string(t.Kind)] = true
				}
			}
			shown["notify"] = shown["notify"] || len(cfg.Notify) > 0
			shown["sync daemon"] = shown["sync daemon"] || cfg.IPVS.Sync != nil
			for _, c := range cfg.Checks() {
				shown[string(c.Kind)+" check"] = true
			}
			for _, s := range cfg.Services {
				shown["fwmark"] = shown["fwmark"] || s.Service.Key.FWMark != 0
				shown["group"] = shown["group"] || len(s.Keys) > 1
				shown["sorry server and quorum"] = shown["sorry server and quorum"] || s.Sorry != nil && s.Quorum > 1
				for _, r := range s.Servers {
					kinds[string(r.Server.Forward)] = true
				}
			}
		}
	}
	if len(kinds) != 3 {
		t.Errorf("the examples show %v only", kinds)
	}
	for _, what := range []string{
		"IPv6", "unicast", "VMAC", "script", "file", "virtual_server", "notify", "sync daemon", "fwmark", "group", "sorry server and quorum",
		"tcp check", "http check", "https check", "dns check", "smtp check", "udp check", "ping check", "grpc check", "exec check", "file check",
	} {
		if !shown[what] {
			t.Errorf("no example shows %s", what)
		}
	}
}

// TestConfigurationsInTheDocuments reads every TOML block of the documents that
// show configurations.
func TestConfigurationsInTheDocuments(t *testing.T) {
	for file, least := range map[string]int{"docs/config.md": 7, "README.md": 1} {
		raw, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(raw), "```toml\n")[1:]
		if len(blocks) < least {
			t.Fatalf("%s has %d blocks", file, len(blocks))
		}
		for _, b := range blocks {
			text, _, _ := strings.Cut(b, "```")
			cfg, err := conf.Parse(file, []byte(text), "lvs-a")
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			if len(cfg.Warnings) > 0 {
				t.Errorf("%v in\n%s", cfg.Warnings, text)
			}
		}
	}
}
