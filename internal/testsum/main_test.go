package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func summarize(t *testing.T, events string) (*summary, string) {
	t.Helper()
	var out bytes.Buffer
	s := &summary{Stage: "unit", out: &out, output: map[string][]string{}, begun: map[string]int{}}
	if err := s.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	return s, out.String()
}

const mixed = `{"Action":"start","Package":"baton/ipvs"}
{"Action":"output","Package":"baton/ipvs","Test":"TestGood","Output":"all is well\n"}
{"Action":"pass","Package":"baton/ipvs","Test":"TestGood","Elapsed":0.1}
{"Action":"output","Package":"baton/ipvs","Test":"TestBad/x","Output":"plan.go:7: wrong\n"}
{"Action":"fail","Package":"baton/ipvs","Test":"TestBad/x","Elapsed":0.1}
{"Action":"output","Package":"baton/ipvs","Test":"TestSkipped","Output":"no kernel\n"}
{"Action":"skip","Package":"baton/ipvs","Test":"TestSkipped"}
{"Action":"fail","Package":"baton/ipvs","Elapsed":2.5}
{"Action":"skip","Package":"baton/cmd/baton","Elapsed":0}
go: downloading something
`

func TestFailuresAreShownSuccessesAreNot(t *testing.T) {
	s, out := summarize(t, mixed)
	for _, want := range []string{"plan.go:7: wrong", "no kernel", "fail  baton/ipvs", "go: downloading something"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "all is well") || strings.Contains(out, "cmd/baton") {
		t.Errorf("what is not needed is shown:\n%s", out)
	}
	if len(s.Packages) != 1 || s.Passed != 1 || s.Failed != 1 || s.Skipped != 1 || s.Seconds != 2.5 {
		t.Errorf("counts are %+v", s)
	}
	if err := s.verdict(false); err == nil || !strings.Contains(err.Error(), "1 failed: baton/ipvs.TestBad/x") {
		t.Errorf("verdict is %v", err)
	}
}

func TestVerdict(t *testing.T) {
	pass := `{"Action":"pass","Package":"p","Test":"T"}` + "\n"
	skip := `{"Action":"skip","Package":"p","Test":"S"}` + "\n"
	for name, c := range map[string]struct {
		events string
		ci     bool
		want   string
	}{
		"passed":               {pass, true, ""},
		"skipped at home":      {pass + skip, false, ""},
		"skipped in CI":        {pass + skip, true, "1 skipped, which CI does not accept: p.S"},
		"nothing":              {"", false, "no test was run"},
		"build failed":         {pass + `{"Action":"build-fail","ImportPath":"baton/vrrp"}` + "\n", false, "baton/vrrp (build)"},
		"package alone failed": {pass + `{"Action":"fail","Package":"p"}` + "\n", false, "1 failed: p"},
	} {
		s, _ := summarize(t, c.events)
		err := s.verdict(c.ci)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: verdict is %v, want %q", name, err, c.want)
		}
	}
}

func TestBuildErrorsAreShown(t *testing.T) {
	_, out := summarize(t, `{"ImportPath":"baton/vrrp","Action":"build-output","Output":"vrrp/step.go:3: undefined: x\n"}`+"\n")
	if !strings.Contains(out, "undefined: x") {
		t.Errorf("output is %q", out)
	}
}

func TestTableCollectsTheStages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	for _, stage := range []string{"unit", "kernel", "unit"} { // a stage may come in parts
		s, _ := summarize(t, mixed)
		s.Stage = stage
		if err := s.save(file); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := printTable(&out, file); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 3 || strings.Join(strings.Fields(lines[1]), " ") != "unit 1 2 2 2 5.0" ||
		strings.Join(strings.Fields(lines[2]), " ") != "kernel 1 1 1 1 2.5" {
		t.Errorf("table is\n%s", &out)
	}
	if want := "kernel: failed: baton/ipvs.TestBad/x\n    plan.go:7: wrong"; !strings.HasSuffix(strings.TrimSpace(out.String()), want) {
		t.Errorf("what failed is not said at the end:\n%s", &out)
	}
	if err := printTable(&out, file+".gone"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: error is %v", err)
	}
}
