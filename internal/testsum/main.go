// Command testsum reads what `go test -json` prints, shows failures as they
// happen and packages as they finish, and counts. Where CI is set a skipped
// test is a failure: a test that is not run proves nothing.
//
//	go test -json ./... | testsum -stage unit -into .cache/results.json
//	testsum -table .cache/results.json
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	stage := flag.String("stage", "tests", "`name` of what is being tested")
	into := flag.String("into", "", "append the counts to `file`")
	table := flag.String("table", "", "print the counts collected in `file` and exit")
	verbose := flag.Bool("v", false, "show every test as it ends")
	flag.Parse()
	if *table != "" {
		if err := printTable(os.Stdout, *table); err != nil {
			fail(err)
		}
		return
	}
	s := &summary{Stage: *stage, out: os.Stdout, verbose: *verbose, output: map[string][]string{}}
	if err := s.read(os.Stdin); err != nil {
		fail(err)
	}
	if *into != "" {
		if err := s.save(*into); err != nil {
			fail(err)
		}
	}
	_, ci := os.LookupEnv("CI")
	if err := s.verdict(ci); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "testsum: %v\n", err)
	os.Exit(1)
}

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
	Stage                     string
	Packages                  []string // that have tests
	Passed, Failed, Skipped   int
	Seconds                   float64  // all packages' times together
	FailedNames, SkippedNames []string `json:",omitempty"`
	out                       io.Writer
	verbose                   bool
	output                    map[string][]string // by package and test, until it has passed
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
	case "output":
		lines := append(s.output[key], e.Output)
		s.output[key] = lines[max(0, len(lines)-keptLines):]
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "build-fail":
		s.Failed++
		s.FailedNames = append(s.FailedNames, e.ImportPath+" (build)")
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e, key)
		}
		delete(s.output, key)
	}
}

func (s *summary) endTest(e event, key string) {
	name := e.Package + "." + e.Test
	switch e.Action {
	case "pass":
		s.Passed++
	case "fail":
		s.Failed++
		s.FailedNames = append(s.FailedNames, name)
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
		if !slices.ContainsFunc(s.FailedNames, func(n string) bool { return strings.HasPrefix(n, e.Package) }) {
			s.Failed++
			s.FailedNames = append(s.FailedNames, e.Package)
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
		return fmt.Errorf("%s: %d failed: %s", s.Stage, s.Failed, strings.Join(s.FailedNames, ", "))
	case s.Passed == 0:
		return fmt.Errorf("%s: no test was run", s.Stage)
	case ci && s.Skipped > 0:
		return fmt.Errorf("%s: %d skipped, which CI does not accept: %s", s.Stage, s.Skipped, strings.Join(s.SkippedNames, ", "))
	}
	return nil
}

func (s *summary) save(file string) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("save counts: %w", err)
	}
	if _, err := f.Write(append(raw, '\n')); err != nil {
		f.Close()
		return fmt.Errorf("save counts: %w", err)
	}
	return f.Close()
}

func printTable(w io.Writer, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read counts: %w", err)
	}
	var stages []summary
	for line := range strings.Lines(string(raw)) {
		var s summary
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return fmt.Errorf("decode %s: %w", file, err)
		}
		if i := slices.IndexFunc(stages, func(x summary) bool { return x.Stage == s.Stage }); i >= 0 {
			stages[i].add(s)
			continue
		}
		stages = append(stages, s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "stage\tpackages\tpassed\tfailed\tskipped\tseconds\t")
	for _, s := range stages {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%.1f\t\n", s.Stage, len(s.Packages), s.Passed, s.Failed, s.Skipped, s.Seconds)
	}
	return t.Flush()
}

// add takes another part of the same stage, which may be other tests of the same
// packages.
func (s *summary) add(part summary) {
	for _, p := range part.Packages {
		if !slices.Contains(s.Packages, p) {
			s.Packages = append(s.Packages, p)
		}
	}
	s.Passed += part.Passed
	s.Failed += part.Failed
	s.Skipped += part.Skipped
	s.Seconds += part.Seconds
}
