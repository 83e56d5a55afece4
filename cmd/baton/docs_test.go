package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"baton/internal/control"
	"baton/internal/event"
)

// manuals are the documents for operators.
func manuals(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(names) < 10 {
		t.Fatalf("found %d documents: %v", len(names), err)
	}
	out := map[string]string{}
	for _, name := range append(names, filepath.Join(root, "README.md")) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(raw)
	}
	return out
}

var (
	// A command stands in a line of its own, indented, or within backquotes.
	shownLine   = regexp.MustCompile("(?m)^ {4}(?:\\S*/)?baton ([^\n#]*)")
	shownInText = regexp.MustCompile("`(?:\\S*/)?baton ([^`\n]*)`")
	flagWord    = regexp.MustCompile(`^--?[a-z][a-z0-9-]*`)
)

// TestDocumentedCommands: each command in a document is one that there is, with
// flags that it has, and what is said of events and log levels can be asked for.
func TestDocumentedCommands(t *testing.T) {
	seen := 0
	for file, text := range manuals(t) {
		lines := append(shownLine.FindAllStringSubmatch(text, -1), shownInText.FindAllStringSubmatch(text, -1)...)
		for _, m := range lines {
			command := m[1]
			if i := strings.Index(command, "   "); i >= 0 {
				command = command[:i] // an explanation follows
			}
			command, _, _ = strings.Cut(command, ";")
			command, _, _ = strings.Cut(command, " | ")
			command, _, _ = strings.Cut(command, " && ")
			args := strings.Fields(command)
			if len(args) == 0 || !regexp.MustCompile(`^[a-z]+$`).MatchString(args[0]) {
				continue // a sentence about baton, or a choice of words
			}
			seen++
			problem := undocumentable(args)
			if problem != "" {
				t.Errorf("%s: baton %s: %s", file, command, problem)
			}
		}
	}
	if seen < 100 {
		t.Errorf("found %d commands, the expressions of this test are broken", seen)
	}
}

// undocumentable says what of a command there is not.
func undocumentable(args []string) string {
	cmd, rest, err := newRoot().Find(args)
	if err != nil {
		return err.Error()
	}
	if !cmd.HasParent() {
		return "there is no such command"
	}
	for i, a := range rest {
		a = strings.Trim(a, "[]'\",.")
		if cmd.Name() == "exec" {
			return "" // what follows is another program's
		}
		name := flagWord.FindString(a)
		switch {
		case name == "":
		case strings.HasPrefix(name, "--") && cmd.Flags().Lookup(name[2:]) == nil && name != "--help":
			return "it has no flag " + name
		case !strings.HasPrefix(name, "--") && cmd.Flags().ShorthandLookup(name[1:2]) == nil:
			return "it has no flag " + name
		case cmd.Name() == "events" && name == "--event" && i+1 < len(rest):
			if err := (control.Filter{Event: strings.Trim(rest[i+1], "'")}).Check(); err != nil {
				return err.Error()
			}
		}
	}
	return ""
}

// TestDocumentedEvents: what looks like an event in the documents for operators is
// one.
func TestDocumentedEvents(t *testing.T) {
	nouns := map[string]bool{}
	var names []string
	for _, s := range event.Catalogue {
		noun, _, _ := strings.Cut(string(s.Name), ".")
		nouns[noun] = true
		names = append(names, string(s.Name))
	}
	found := regexp.MustCompile("`([a-z]+(?:\\.[a-z]+)+)(?: [^`]*)?`")
	all := manuals(t)
	for _, file := range []string{"operations.md", "troubleshooting.md", "tutorial.md"} {
		for _, m := range found.FindAllStringSubmatch(all[file], -1) {
			noun, _, _ := strings.Cut(m[1], ".")
			if nouns[noun] && !slices.Contains(names, m[1]) && !strings.HasSuffix(m[1], ".toml") {
				t.Errorf("%s: there is no event %s", file, m[1])
			}
		}
	}
}

// TestDocumentsLinkToWhatThereIs: files, and the headings within them.
func TestDocumentsLinkToWhatThereIs(t *testing.T) {
	all := manuals(t)
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	other := regexp.MustCompile(`[^a-z0-9 _-]`)
	for file, text := range all {
		dir := filepath.Join("..", "..", "docs")
		if file == "README.md" {
			dir = filepath.Join("..", "..")
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor := m[1], m[2]
			if target != "" {
				if _, err := os.Stat(filepath.Join(dir, target)); err != nil {
					t.Errorf("%s links to %s, which does not exist", file, target)
					continue
				}
			}
			body, known := all[filepath.Base(target)]
			if target == "" {
				body, known = text, true
			}
			if anchor == "" || !known {
				continue
			}
			there := false
			for _, h := range heading.FindAllStringSubmatch(body, -1) {
				slug := strings.ReplaceAll(other.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")
				there = there || slug == anchor
			}
			if !there {
				t.Errorf("%s links to #%s of %s, which has no such heading", file, anchor, target)
			}
		}
	}
}

// TestEveryCommandHasAScript: what an operator can type has its words and exit
// codes in testdata/script.
func TestEveryCommandHasAScript(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	line := regexp.MustCompile(`(?m)^code \d+ (.*)$`)
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllStringSubmatch(string(raw), -1) {
			if cmd, _, err := newRoot().Find(strings.Fields(m[1])); err == nil {
				ran[cmd.CommandPath()] = true
			}
		}
	}
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			if !c.Hidden && !ran[c.CommandPath()] {
				t.Errorf("no script of testdata/script runs %s", c.CommandPath())
			}
			check(c)
		}
	}
	check(newRoot())
}
