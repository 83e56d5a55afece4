package conf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"baton/conf"
	"baton/healthcheck"
	"baton/vrrp"
)

// FuzzParse: no text panics, a refusal has a place inside the file for each
// problem, and what is accepted is accepted by the packages it is for.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/invalid/*.toml", "testdata/warned/*.toml", "testdata/diff/*.toml", "../examples/*.toml", "reference.toml"} {
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
	f.Add([]byte(tracked))
	f.Add([]byte(full))
	f.Fuzz(func(t *testing.T, data []byte) {
		judged(t, data)
		bothWays(t, data)
	})
}

// odd values, for keys of any type.
var odd = []string{
	`-1`, `1e400`, `nan`, `"1h"`, `0.0001`, `{ lvs-a = 255, lvs-b = 255 }`, `{ lvs-a = "x" }`, `[]`, `[[]]`, `[{}]`, `{}`, `""`, `"\u0000"`,
	`1979-05-27T07:32:00Z`, `"::ffff:192.168.16.200"`, `"[fe80::1%eth0]:80"`, `"0.0.0.0:0"`, `{ a = { b = 1 } }`, `"999999h"`, `"%n"`, `"2"`,
	"1\n[global]", "'''\n\n'''", `9223372036854775807`, `["192.168.16.200", { address = "192.168.16.201" }]`, `"("`, `true`,
	`"from ::/0 priority 1 table 1"`, `["default via fe80::1 dev eth0"]`, `"/bin/a 'b"`, `["/bin/x", ""]`, `["10.0.0.1"]`, `"fe80::1"`,
	`"10.0.0.1-300:80"`, `["10.0.0.1-9:80,90-99", "[fe80::1-f]:1-65535"]`, `[0, 4294967295]`,
	`{ lvs-a = ["10.0.0.1"], lvs-b = ["10.0.0.2"] }`, `[{ name = "chk_dns", weight = 0, reverse = true }]`,
}

// reference is reference.toml without its comments, by line, and the numbers
// of the lines that set a key.
func reference(tb testing.TB) (lines []string, assigned []int) {
	tb.Helper()
	raw, err := os.ReadFile("reference.toml")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "#") || line == "\n" {
			continue
		}
		if strings.Contains(line, " = ") {
			assigned = append(assigned, len(lines))
		}
		lines = append(lines, line)
	}
	return lines, assigned
}

// relevant is what of the reference is parsed for other values in line i, which
// is line at of it: [global], and those of the other tables that belong together.
// All of it for each of some thousand values takes several times as long.
func relevant(tb testing.TB, lines []string, i int) (around []string, at int) {
	tb.Helper()
	const global, groups, tracks = "global", "groups", "tracks"
	parts := make([]string, len(lines))
	part, instances := global, 0
	for n, line := range lines {
		switch head, _, _ := strings.Cut(line, "]"); {
		case head == "[[vrrp_instance":
			if instances++; instances <= 2 {
				part = tracks
			} else {
				part = groups
			}
		case head == "[[virtual_server":
			part = servicePart(lines[n+1:])
		case head == "[[virtual_server_group":
			part = groupUsers
		case strings.HasPrefix(head, "[check."):
			part = checkUsers
		case strings.HasPrefix(head, "[ipvs"):
			part = "ipvs"
		case head == "[[vrrp_sync_group":
			part = groups
		case strings.HasPrefix(head, "[[vrrp_") && !strings.Contains(head, "."):
			part = tracks
		}
		parts[n] = part
		if crosses(line) {
			parts[n] = global // wants all parts
		}
	}
	for n, line := range lines {
		if n == i {
			at = len(around)
		}
		wanted := parts[n] == parts[i] || parts[i] == global
		if wanted || parts[n] == global && !crosses(line) {
			around = append(around, line)
		}
	}
	if _, err := conf.Parse("fuzz.toml", []byte(strings.Join(around, "")), "lvs-a"); err != nil || around[at] != lines[i] {
		tb.Fatalf("the part of the reference around %q: %v", lines[i], err)
	}
	return around, at
}

// Parts of those services that name something outside of them.
const groupUsers, checkUsers = "groups of services", "named checks"

// servicePart names the part of the service that these lines begin with.
func servicePart(lines []string) string {
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "[[virtual_server]"):
			return lines[0]
		case strings.HasPrefix(line, "virtual_server_group "):
			return groupUsers
		case strings.HasPrefix(line, "checks "):
			return checkUsers
		}
	}
	return lines[0]
}

// crosses says whether the line names something in another part.
func crosses(line string) bool {
	return strings.HasPrefix(line, "track_virtual_server ") || strings.HasPrefix(line, "vrrp_instance ")
}

// replaced is the text with another value in line i.
func replaced(lines []string, i int, value string) []byte {
	key, _, _ := strings.Cut(lines[i], " = ")
	return []byte(strings.Join(lines[:i], "") + key + " = " + value + "\n" + strings.Join(lines[i+1:], ""))
}

func TestEveryKeyWithOddValues(t *testing.T) {
	lines, assigned := reference(t)
	percent := debug.SetGCPercent(400) // a third of the time goes into collecting small garbage
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	for half := range 2 {
		t.Run(strconv.Itoa(half), func(t *testing.T) {
			t.Parallel()
			for i, line := range assigned {
				if i%2 != half {
					continue
				}
				around, at := relevant(t, lines, line)
				for j, v := range odd {
					if (i+j)%stride == 0 {
						judged(t, replaced(around, at, v))
					}
				}
			}
		})
	}
}

// FuzzValue puts any text where a line of the reference has its value: what
// byte-wise mutation of whole files seldom gets to.
func FuzzValue(f *testing.F) {
	lines, assigned := reference(f)
	for i, v := range odd {
		f.Add(uint16(i*8), v)
	}
	f.Fuzz(func(t *testing.T, which uint16, v string) {
		data := replaced(lines, assigned[int(which)%len(assigned)], v)
		judged(t, data)
		bothWays(t, data)
	})
}

// judged parses and holds what comes out against what must be true of it.
func judged(t *testing.T, data []byte) {
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
}

func accepted(t *testing.T, cfg *conf.Config) {
	if err := vrrp.Validate(cfg.Instances, cfg.SyncGroups); err != nil {
		t.Errorf("accepted, but: %v", err)
	}
	ids := map[string]bool{}
	for _, c := range cfg.Checks() {
		// Whether files are there is not the configuration's business.
		if err := healthcheck.Validate(conf.WithoutFiles(c)); err != nil {
			t.Errorf("accepted, but: %v", err)
		}
		if ids[c.ID] {
			t.Errorf("two checks are called %s", c.ID)
		}
		ids[c.ID] = true
	}
	for _, s := range cfg.Services {
		if len(s.Keys) == 0 || s.Keys[0] != s.Service.Key || !s.Service.Key.Address.IsValid() == (s.Service.Key.FWMark == 0) || s.Service.Scheduler == "" {
			t.Errorf("accepted service %+v", s.Service)
		}
	}
	if d := conf.Diff(cfg, cfg); len(d.List) > 0 {
		t.Errorf("differs from itself: %v", d)
	}
}

// bothWays holds the quick way of reading against the careful one: the places
// of keys are found when they are asked for, or before all else.
func bothWays(t *testing.T, data []byte) {
	cfg, err := conf.Parse("fuzz.toml", data, "lvs-a")
	carefully, problem := conf.ParseCarefully("fuzz.toml", data, "lvs-a")
	if fmt.Sprint(err) != fmt.Sprint(problem) {
		t.Fatalf("read in one way: %v\nin the other: %v", err, problem)
	}
	wantSame(t, cfg, carefully)
}

// wantSame shows where two configurations part.
func wantSame(t *testing.T, a, b *conf.Config) {
	t.Helper()
	one, _ := json.Marshal(a)
	other, _ := json.Marshal(b)
	at := 0
	for at < min(len(one), len(other)) && one[at] == other[at] {
		at++
	}
	if at < max(len(one), len(other)) {
		t.Fatalf("read in one way: …%.200s\nin the other: …%.200s", one[at:], other[at:])
	}
}
