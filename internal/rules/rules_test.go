package rules_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"baton/internal/rules"
)

const root = "../.."

func TestImportRulesHold(t *testing.T) {
	files, err := rules.Load(os.DirFS(root), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Fatalf("found %d Go files, the walk of this test is broken", len(files))
	}
	for _, set := range [][]rules.Rule{rules.Imports, rules.Pure} {
		broken, dead := rules.Check(set, files)
		for _, v := range broken {
			t.Error(v)
		}
		for _, err := range dead {
			t.Error(err)
		}
	}
}

func TestCheckFindsEachBrokenRule(t *testing.T) {
	for file, imp := range map[string]string{
		"vrrp/engine.go":             "baton/ipvs",
		"vrrp/sim/lan.go":            "baton/conf",
		"vrrp/sim/world.go":          "sync",
		"vrrp/core.go":               "baton/vrrp/sim",
		"ipvs/reconcile.go":          "go.uber.org/zap/zapcore",
		"healthcheck/http.go":        "baton/internal/event",
		"vrrp/step.go":               "net",
		"vrrp/timing.go":             "os",
		"ipvs/plan.go":               "github.com/vishvananda/netlink",
		"conf/load.go":               "baton/internal/control",
		"internal/lab/topology.go":   "baton/vrrp",
		"internal/netif/address.go":  "baton/vrrp",
		"internal/event/event.go":    "baton/vrrp",
		"internal/track/track.go":    "baton/vrrp",
		"internal/script/run.go":     "baton/internal/track/x",
		"internal/control/server.go": "baton/internal/director",
		"integration/vm/vm.go":       "baton/internal/lab",
		"internal/settings/read.go":  "baton/internal/event",
		"internal/settings/plan.go":  "os",
		"internal/plan/plan.go":      "baton/internal/event",
		"cmd/baton/run.go":           "log/slog",
	} {
		files := []rules.File{{Path: file, Imports: []string{"fmt", "net/netip", imp}}}
		broken, _ := rules.Check(append(slices.Clone(rules.Imports), rules.Pure...), files)
		if len(broken) == 0 {
			t.Errorf("%s may import %s", file, imp)
		}
		for _, v := range broken {
			if v.Import != imp || !strings.Contains(v.String(), file) {
				t.Errorf("%s imports %s: violation is %s", file, imp, v)
			}
		}
	}
}

func TestCheckAllowsWhatIsDrawn(t *testing.T) {
	files := []rules.File{
		{Path: "conf/load.go", Imports: []string{"baton/vrrp", "baton/ipvs", "baton/healthcheck", "github.com/BurntSushi/toml"}},
		{Path: "internal/director/run.go", Imports: []string{"baton/conf", "baton/vrrp", "go.uber.org/zap", "baton/internal/netif"}},
		{Path: "vrrp/step.go", Imports: []string{"net/netip", "time", "encoding/binary"}},
		{Path: "vrrp/conn_linux.go", Imports: []string{"net", "golang.org/x/net/ipv4", "golang.org/x/sys/unix"}},
		{Path: "cmd/baton/run.go", Imports: []string{"baton/internal/director", "github.com/spf13/cobra"}},
	}
	broken, _ := rules.Check(append(slices.Clone(rules.Imports), rules.Pure...), files)
	for _, v := range broken {
		t.Error(v)
	}
}

func TestCheckTellsRulesThatBindNothing(t *testing.T) {
	set := []rules.Rule{{Name: "pure", Files: []string{"vrrp/step.go", "vrrp/gone.go"}}}
	_, dead := rules.Check(set, []rules.File{{Path: "vrrp/step.go"}})
	if len(dead) != 1 || !strings.Contains(dead[0].Error(), "vrrp/gone.go") {
		t.Errorf("dead rules are %v, want one for vrrp/gone.go", dead)
	}
}

func TestLoadReadsEveryBuildTagAndNoOtherModule(t *testing.T) {
	tree := fstest.MapFS{
		"go.mod":                   {Data: []byte("module baton\n")},
		"vrrp/conn_other.go":       {Data: []byte("//go:build !linux\n\npackage vrrp\n\nimport \"net\"\n")},
		"vrrp/conn_test.go":        {Data: []byte("package vrrp\n\nimport \"os\"\n")},
		"internal/tools/go.mod":    {Data: []byte("module baton/internal/tools\n")},
		"internal/tools/tools.go":  {Data: []byte("package tools\n\nimport \"os\"\n")},
		".cache/go/src/net/net.go": {Data: []byte("package net\n\nimport \"os\"\n")},
		"conf/testdata/broken.go":  {Data: []byte("not Go\n")},
	}
	files, err := rules.Load(tree, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0].Path != "vrrp/conn_other.go" || !slices.Equal(files[0].Imports, []string{"net"}) {
		t.Errorf("files are %+v", files)
	}
}

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz[A-Za-z0-9_]*)\(`)

// TestEveryFuzzTargetHasACorpus: the corpus runs with each go test, so that a
// crash found once stays found; a directory without its target runs never.
func TestEveryFuzzTargetHasACorpus(t *testing.T) {
	files, err := rules.Load(os.DirFS(root), true)
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{} // directory of the corpus
	for _, f := range files {
		src, err := os.ReadFile(filepath.Join(root, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fuzzFunc.FindAllSubmatch(src, -1) {
			dir := filepath.Join(f.Dir(), "testdata", "fuzz", string(m[1]))
			targets[dir] = true
			if seeds, err := os.ReadDir(filepath.Join(root, dir)); err != nil || len(seeds) == 0 {
				t.Errorf("%s: %s has no seed in %s", f.Path, m[1], dir)
			}
		}
	}
	for _, f := range files {
		corpora, err := filepath.Glob(filepath.Join(root, f.Dir(), "testdata", "fuzz", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range corpora {
			if rel, _ := filepath.Rel(root, c); !targets[rel] {
				t.Errorf("%s has no fuzz target", rel)
				targets[rel] = true // once
			}
		}
	}
}

// TestTopLevel: whoever opens the repository sees the packages and documents that belong together, and
// nothing beside it.
func TestTopLevel(t *testing.T) {
	allowed := strings.Fields(`cmd vrrp ipvs healthcheck conf examples integration internal docs go.mod go.sum Makefile README.md
		LICENSE CHANGELOG.md CONTRIBUTING.md .ci .git .gitignore bin dist .cache`)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if !slices.Contains(allowed, name) && filepath.Ext(name) != ".test" && filepath.Ext(name) != ".out" {
			t.Errorf("%s has no place at the top: put it below internal, docs or examples", name)
		}
	}
}
