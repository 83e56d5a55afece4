package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

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

// load reads what save has written, the parts of a stage put together.
func load(file string) ([]summary, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	var stages []summary
	for line := range strings.Lines(string(raw)) {
		var s summary
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return nil, fmt.Errorf("decode %s: %w", file, err)
		}
		s.Broken = s.Broken || s.Passed+s.Failed == 0
		if i := slices.IndexFunc(stages, func(x summary) bool { return x.Stage == s.Stage }); i >= 0 {
			stages[i].add(s)
			continue
		}
		stages = append(stages, s)
	}
	return stages, nil
}

func printTable(w io.Writer, file string) error {
	stages, err := load(file)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "stage\tpackages\tpassed\tfailed\tskipped\tseconds\t")
	for _, s := range stages {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%.1f\t\n", s.Stage, len(s.Packages), s.Passed, s.Failed, s.Skipped, s.Seconds)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range stages {
		for _, f := range s.Failures {
			printFailure(w, s.Stage, f)
		}
	}
	return nil
}

// printFailure says at the end what went wrong, for a log of which the end alone is read.
func printFailure(w io.Writer, stage string, f failure) {
	if f.Still != "" {
		f.Still = "; the machine stood still meanwhile: " + f.Still
	}
	fmt.Fprintf(w, "\n%s: failed: %s%s\n", stage, f, f.Still)
	for _, line := range f.Words {
		fmt.Fprintf(w, "    %s\n", line)
	}
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
	s.Failures = append(s.Failures, part.Failures...)
	s.Broken = s.Broken || part.Broken
}
