package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// stood is a run of two tests, during the second of which the machine stands still
// and which fails; more comes before the package ends.
func stood(more string) string {
	return `{"Action":"run","Package":"baton/ipvs","Test":"TestGood"}
{"Action":"pass","Package":"baton/ipvs","Test":"TestGood"}
{"Action":"run","Package":"baton/ipvs","Test":"TestBad"}
{"Action":"run","Package":"baton/ipvs","Test":"TestBad/x"}
{"Action":"output","Package":"baton/ipvs","Test":"TestBad/x","Output":"machine: stood still for 1.3 s\n"}
{"Action":"output","Package":"baton/ipvs","Test":"TestBad/x","Output":"    bad_test.go:7: too late\n"}
{"Action":"output","Package":"baton/ipvs","Test":"TestBad/x","Output":"    {a log}\n"}
{"Action":"fail","Package":"baton/ipvs","Test":"TestBad/x"}
{"Action":"fail","Package":"baton/ipvs","Test":"TestBad"}
` + more
}

const (
	ends   = `{"Action":"output","Package":"baton/ipvs","Output":"FAIL\n"}` + "\n" + `{"Action":"fail","Package":"baton/ipvs"}` + "\n"
	panics = `{"Action":"output","Package":"baton/ipvs","Output":"exit status 2\n"}` + "\n" + `{"Action":"fail","Package":"baton/ipvs"}` + "\n"
	// alsoBad fails while the machine runs.
	alsoBad = `{"Action":"run","Package":"baton/ipvs","Test":"TestAlsoBad"}` + "\n" + `{"Action":"fail","Package":"baton/ipvs","Test":"TestAlsoBad"}` + "\n"
	passes  = `{"Action":"pass","Package":"baton/vrrp","Test":"TestFine"}` + "\n"
)

func TestAgain(t *testing.T) {
	once := "kernel ^(TestBad)$ baton/ipvs\n"
	for name, c := range map[string]struct {
		runs []string // each in a stage of its own
		want string
	}{
		"the machine stood still":          {[]string{stood(ends)}, once},
		"in two stages":                    {[]string{stood(ends), stood(ends)}, once + strings.Replace(once, "kernel", "stage 1", 1)},
		"beside a stage that is well":      {[]string{stood(ends), passes}, once},
		"nothing failed":                   {[]string{passes}, ""},
		"another failed of itself":         {[]string{stood(alsoBad + ends)}, ""},
		"another stage failed":             {[]string{stood(ends), alsoBad + ends}, ""},
		"the package panicked":             {[]string{stood(panics)}, ""},
		"the package was killed":           {[]string{stood(`{"Action":"fail","Package":"baton/ipvs"}` + "\n")}, ""},
		"a package alone failed":           {[]string{stood(ends) + `{"Action":"fail","Package":"baton/vrrp"}` + "\n"}, ""},
		"a package does not compile":       {[]string{stood(ends) + `{"Action":"build-fail","ImportPath":"baton/vrrp"}` + "\n"}, ""},
		"a test was skipped":               {[]string{stood(ends) + `{"Action":"skip","Package":"baton/ipvs","Test":"TestSkipped"}` + "\n"}, ""},
		"a stage has not run":              {[]string{stood(ends), ""}, ""},
		"it stood still before, not after": {[]string{stood(ends) + alsoBad}, ""},
	} {
		file := filepath.Join(t.TempDir(), "results.json")
		for i, run := range c.runs {
			s, _ := summarize(t, run)
			if s.Stage = "kernel"; i > 0 {
				s.Stage = fmt.Sprintf("stage %d", i)
			}
			if err := s.save(file); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		if err := printAgain(&out, file, true); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestFailuresTellOfTheMachine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	s, _ := summarize(t, stood(ends))
	if err := s.save(file); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printTable(&out, file); err != nil {
		t.Fatal(err)
	}
	want := "unit: failed: baton/ipvs.TestBad/x; the machine stood still meanwhile: 1.3 s\n    bad_test.go:7: too late\n"
	if !strings.Contains(out.String(), want) {
		t.Errorf("%q is not in\n%s", want, &out)
	}
}

func TestLastWords(t *testing.T) {
	long := strings.Repeat("x", 2*wordsBytes)
	for name, c := range map[string]struct{ in, want []string }{
		"places":    {[]string{"noise\n", "  a_test.go:3: wrong\n", "noise\n"}, []string{"a_test.go:3: wrong"}},
		"none":      {[]string{"1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "7\n", "8\n", "9\n"}, []string{"2", "3", "4", "5", "6", "7", "8", "9"}},
		"long":      {[]string{long}, []string{long[:wordsBytes] + "…"}},
		"a panic":   {[]string{"panic: oh\n", "goroutine 1\n"}, []string{"panic: oh"}},
		"frames":    {[]string{"=== RUN   TestX\n", "\n", "machine: stood still for 1.0 s\n", "word\n", "--- FAIL: TestX\n"}, []string{"word"}},
		"not a one": {nil, nil},
	} {
		if got := lastWords(c.in); strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
