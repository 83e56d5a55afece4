package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"baton/integration/vm/still"
)

// printAgain prints for each stage the tests that failed while the machine stood
// still, as they are to be run once more: its name, a pattern for -run and the
// packages. It prints nothing if anything else is wrong as well: that is what is to
// be mended then.
func printAgain(w io.Writer, file string, ci bool) error {
	stages, err := load(file)
	if err != nil {
		return err
	}
	var lines []string
	for _, s := range stages {
		if s.Broken || ci && s.Skipped > 0 || slices.ContainsFunc(s.Failures, func(f failure) bool { return f.Still == "" }) {
			return nil
		}
		var tests, packages []string
		for _, f := range s.Failures {
			top, _, _ := strings.Cut(f.Test, "/")
			tests, packages = append(tests, regexp.QuoteMeta(top)), append(packages, f.Package)
		}
		if len(tests) > 0 {
			lines = append(lines, fmt.Sprintf("%s ^(%s)$ %s\n", s.Stage, strings.Join(unique(tests), "|"), strings.Join(unique(packages), " ")))
		}
	}
	_, err = io.WriteString(w, strings.Join(lines, ""))
	return err
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// What is kept of a failure for the end: its lines that name a place in a test, else
// its last ones.
const (
	wordsLines = 8
	wordsBytes = 300
)

var place = regexp.MustCompile(`_test\.go:\d+: |^panic: |^fatal error: `)

// frame is what go test says itself, and package still.
var frame = regexp.MustCompile(`^\s*(===|---) |^` + still.Mark)

func lastWords(output []string) []string {
	said := slices.DeleteFunc(slices.Clone(output), func(l string) bool { return !place.MatchString(l) })
	if len(said) == 0 {
		said = slices.DeleteFunc(slices.Clone(output), func(l string) bool { return strings.TrimSpace(l) == "" || frame.MatchString(l) })
	}
	var words []string
	for _, l := range said[max(0, len(said)-wordsLines):] {
		if l = strings.TrimSpace(l); len(l) > wordsBytes {
			l = l[:wordsBytes] + "…"
		}
		words = append(words, l)
	}
	return words
}
