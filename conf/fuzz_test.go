package conf_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/conf"
	"baton/healthcheck"
	"baton/vrrp"
)

// FuzzParse: no text panics, a refusal has a place inside the file for each
// problem, and what is accepted is accepted by the packages it is for.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/invalid/*.toml", "testdata/diff/*.toml", "../examples/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files: %v", pattern, len(files), err)
		}
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		cfg, err := conf.Parse("fuzz.toml", data, "lvs-a")
		if !bytes.Equal(before, data) {
			t.Fatal("the input was written to")
		}
		var ps conf.Problems
		switch {
		case err == nil:
			accepted(t, cfg)
			ps = cfg.Warnings
		case cfg != nil:
			t.Fatal("a config and an error")
		case !errors.As(err, &ps) || len(ps.Errors()) == 0:
			t.Fatalf("refused without a problem: %v", err)
		}
		lines := strings.Split(string(data), "\n")
		for _, p := range ps {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1])+1 {
				t.Errorf("%s: the file has no such place", p)
			}
			if p.Message == "" || p.Remedy == "" || strings.Contains(p.String(), "\n") {
				t.Errorf("not a line with message and remedy: %q", p)
			}
		}
	})
}

func accepted(t *testing.T, cfg *conf.Config) {
	if err := vrrp.Validate(cfg.Instances); err != nil {
		t.Errorf("accepted, but: %v", err)
	}
	ids := map[string]bool{}
	for _, c := range cfg.Checks() {
		if c.HTTP != nil {
			c.HTTP.TLS.CAFile = "" // whether it is there is not the file's business
		}
		if err := healthcheck.Validate(c); err != nil {
			t.Errorf("accepted, but: %v", err)
		}
		if ids[c.ID] {
			t.Errorf("two checks are called %s", c.ID)
		}
		ids[c.ID] = true
	}
	for _, s := range cfg.Services {
		if !s.Service.Key.Address.IsValid() || s.Service.Scheduler == "" {
			t.Errorf("accepted service %+v", s.Service)
		}
	}
	if d := conf.Diff(cfg, cfg); len(d.List) > 0 {
		t.Errorf("differs from itself: %v", d)
	}
}
