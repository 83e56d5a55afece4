package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"baton/internal/manual"
)

// Every command has a page with all of its sections, and every page is there.
func TestEveryCommandHasAPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man")
	var out bytes.Buffer
	if code := run([]string{"man", dir}, &out, &out); code != exitDone {
		t.Fatalf("exit code %d: %s", code, &out)
	}
	written := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		written[e.Name()] = string(raw)
	}
	commands := manual.All(newRoot())
	if len(commands) < 20 || len(written) != len(commands)+1 {
		t.Errorf("%d commands have %d pages", len(commands), len(written))
	}
	referred := regexp.MustCompile(`(?m)^\.BR (baton\S*) \((\d)\)`)
	for _, c := range commands {
		name := strings.ReplaceAll(c.CommandPath(), " ", `-`) + ".8"
		page := written[name]
		sections := []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"}
		for i, s := range sections {
			body := page[strings.Index(page, ".SH "+s)+1:]
			if end := strings.Index(body, "\n.SH "); end >= 0 {
				body = body[:end]
			}
			if !strings.Contains(page, "\n.SH "+s+"\n") || len(strings.TrimSpace(strings.TrimPrefix(body, "SH "+s))) < 5 {
				t.Errorf("%s: section %s is missing or empty", name, s)
			}
			if i > 0 && strings.Index(page, ".SH "+s) < strings.Index(page, ".SH "+sections[i-1]) {
				t.Errorf("%s: section %s stands before %s", name, s, sections[i-1])
			}
		}
		if !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: no example calls it; it has %q (cmd/baton/examples.go)", c.CommandPath(), c.Example)
		}
		for _, m := range referred.FindAllStringSubmatch(page, -1) {
			if file := strings.ReplaceAll(m[1], `\-`, "-") + "." + m[2]; written[file] == "" {
				t.Errorf("%s refers to %s, which is not there", name, file)
			}
		}
	}
	if page := written["baton.toml.5"]; !strings.Contains(page, "advert_int") || !strings.Contains(page, ".SS [[virtual_server]]") {
		t.Error("baton.toml.5 does not have the reference")
	}
	for name, page := range written {
		for i, l := range strings.Split(page, "\n") {
			if strings.HasPrefix(l, ".") && !regexp.MustCompile(`^\.(TH|SH|SS|PP|TP|br|B|BR|nf|fi|nh|ad)( |$)`).MatchString(l) {
				t.Errorf("%s:%d: %q is a request that nobody wrote", name, i+1, l)
			}
		}
	}
}

// The examples are of commands that exist, and of flags that they have.
func TestExamplesAreOfCommands(t *testing.T) {
	known := map[string]bool{}
	for _, c := range manual.All(newRoot()) {
		known[manual.Path(c)] = true
		if c.HasAvailableSubCommands() {
			continue // their examples are of those
		}
		for _, m := range regexp.MustCompile(`(?m)^  `+regexp.QuoteMeta(c.CommandPath())+` (.*)$`).FindAllStringSubmatch(c.Example, -1) {
			words, _, _ := strings.Cut(m[1], "   ")
			for _, w := range strings.Fields(words) {
				if flag, ok := strings.CutPrefix(w, "--"); ok && c.Flags().Lookup(flag) == nil {
					t.Errorf("%s: the example names --%s, which it does not have", c.CommandPath(), flag)
				}
			}
		}
	}
	for path := range examples {
		if !known[path] {
			t.Errorf("examples.go has examples for %q, which is no command", path)
		}
	}
	for path := range exitCodes {
		if path != "" && !known[path] {
			t.Errorf("man.go has exit codes for %q, which is no command", path)
		}
	}
}

func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default -F __start_baton baton", "zsh": "#compdef baton", "fish": "complete -c baton"} {
		var out, errs bytes.Buffer
		if code := run([]string{"completion", shell}, &out, &errs); code != exitDone || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit code %d, %s, without %q", shell, code, &errs, want)
		}
	}
	var out bytes.Buffer
	// What a shell asks when a key is pressed.
	if code := run([]string{"__complete", "fail"}, &out, &bytes.Buffer{}); code != exitDone || !strings.HasPrefix(out.String(), "failover\t") {
		t.Errorf("completion of fail: %d, %s", code, &out)
	}
	if code := run([]string{"completion", "tcsh"}, &out, &out); code != exitUsage || !strings.Contains(out.String(), `invalid argument "tcsh"`) {
		t.Errorf("of another shell: %d, %s", code, &out)
	}
}
