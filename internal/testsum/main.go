// Command testsum reads what `go test -json` prints, shows failures as they
// happen and packages as they finish, and counts. Where CI is set a skipped
// test is a failure: a test that is not run proves nothing.
//
//	go test -json ./... | testsum -stage unit -into .cache/results.json
//	testsum -again .cache/results.json
//	testsum -table .cache/results.json
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	stage := flag.String("stage", "tests", "`name` of what is being tested")
	into := flag.String("into", "", "append the counts to `file`")
	table := flag.String("table", "", "print the counts collected in `file` and exit")
	again := flag.String("again", "", "print which tests in `file` are to be run once more, a line for each stage (name, pattern, packages), and exit")
	verbose := flag.Bool("v", false, "show every test as it ends")
	flag.Parse()
	if *table != "" {
		if err := printTable(os.Stdout, *table); err != nil {
			fail(err)
		}
		return
	}
	_, ci := os.LookupEnv("CI")
	if *again != "" {
		if err := printAgain(os.Stdout, *again, ci); err != nil {
			fail(err)
		}
		return
	}
	s := &summary{Stage: *stage, out: os.Stdout, verbose: *verbose, output: map[string][]string{}, begun: map[string]int{}}
	if err := s.read(os.Stdin); err != nil {
		fail(err)
	}
	if *into != "" {
		if err := s.save(*into); err != nil {
			fail(err)
		}
	}
	if err := s.verdict(ci); err != nil {
		fmt.Fprintf(os.Stderr, "testsum: %v\n", err)
		os.Exit(1)
	}
}

// fail ends with another status than failed tests do.
func fail(err error) {
	fmt.Fprintf(os.Stderr, "testsum: %v\n", err)
	os.Exit(2)
}
