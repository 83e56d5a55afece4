package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"baton/integration/vm/still"
)

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// summary counts one stage's tests. Subtests count as tests.
type summary struct {
	Stage                   string
	Packages                []string // that have tests
	Passed, Failed, Skipped int
	Seconds                 float64   // all packages' times together
	Failures                []failure `json:",omitempty"`
	SkippedNames            []string  `json:",omitempty"`
	Broken                  bool      `json:",omitempty"` // a package did not come to its end

	out     io.Writer
	verbose bool
	output  map[string][]string // by package and test, until it has passed
	begun   map[string]int      // by package and test: len(stood) when it began
	stood   []string            // each time that the machine stood still, see package still
}

// failure is a test that failed, or a package if there is none to name.
type failure struct {
	Package, Test string
	// Still tells for how long the machine stood still meanwhile, "" if it did not.
	Still string   `json:",omitempty"`
	Words []string `json:",omitempty"` // what it said at last
}

func (f failure) String() string {
	if f.Test == "" {
		return f.Package
	}
	return f.Package + "." + f.Test
}

// keptLines bounds what is kept of one test's output: its end.
const keptLines = 400

func (s *summary) read(r io.Reader) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 4<<20)
	for in.Scan() {
		var e event
		if !strings.HasPrefix(in.Text(), "{") || json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Fprintln(s.out, in.Text())
			continue
		}
		s.event(e)
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("read test events: %w", err)
	}
	return nil
}

func (s *summary) event(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "run":
		s.begun[key] = len(s.stood)
	case "output":
		if _, d, ok := strings.Cut(e.Output, still.Mark); ok {
			s.stood = append(s.stood, strings.TrimSpace(d))
		}
		lines := append(s.output[key], e.Output)
		s.output[key] = lines[max(0, len(lines)-keptLines):]
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "build-fail":
		s.Failed++
		s.Failures = append(s.Failures, failure{Package: e.ImportPath + " (build)"})
		s.Broken = true
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e, key)
		}
		delete(s.output, key)
		delete(s.begun, key)
	}
}

func (s *summary) endTest(e event, key string) {
	name := e.Package + "." + e.Test
	switch e.Action {
	case "pass":
		s.Passed++
	case "fail":
		s.Failed++
		s.Failures = append(s.Failures, failure{Package: e.Package, Test: e.Test,
			Still: strings.Join(s.stood[s.begun[key]:], ", "), Words: lastWords(s.output[key])})
		s.show(key)
	case "skip":
		s.Skipped++
		s.SkippedNames = append(s.SkippedNames, name)
		s.show(key)
	}
	if s.verbose && e.Action == "pass" {
		fmt.Fprintf(s.out, "%s %s (%.2f s)\n", e.Action, name, e.Elapsed)
	}
}

func (s *summary) endPackage(e event) {
	key := e.Package + " "
	if e.Action == "skip" {
		return // no test files
	}
	s.Packages = append(s.Packages, e.Package)
	s.Seconds += e.Elapsed
	if e.Action == "fail" {
		s.show(key)
		// Where this line is missing it panicked, timed out or was killed: tests
		// that were to come did not run.
		s.Broken = s.Broken || !slices.Contains(s.output[key], "FAIL\n")
		if !slices.ContainsFunc(s.Failures, func(f failure) bool { return f.Package == e.Package }) {
			s.Failed++
			s.Failures = append(s.Failures, failure{Package: e.Package, Words: lastWords(s.output[key])})
			s.Broken = true
		}
	}
	fmt.Fprintf(s.out, "%-4s  %-40s %7.2f s\n", e.Action, e.Package, e.Elapsed)
}

func (s *summary) show(key string) {
	for _, line := range s.output[key] {
		fmt.Fprint(s.out, line)
	}
}

// verdict is an error unless tests ran and all of them passed.
func (s *summary) verdict(ci bool) error {
	switch {
	case s.Failed > 0:
		names := make([]string, len(s.Failures))
		for i, f := range s.Failures {
			names[i] = f.String()
		}
		return fmt.Errorf("%s: %d failed: %s", s.Stage, s.Failed, strings.Join(names, ", "))
	case s.Passed == 0:
		return fmt.Errorf("%s: no test was run", s.Stage)
	case ci && s.Skipped > 0:
		return fmt.Errorf("%s: %d skipped, which CI does not accept: %s", s.Stage, s.Skipped, strings.Join(s.SkippedNames, ", "))
	}
	return nil
}
