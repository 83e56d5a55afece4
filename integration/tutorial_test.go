package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// step is a command of the tutorial with what it prints, or a file that the
// reader saves.
type step struct {
	command, want string
	file, content string
}

// tutorialSteps reads a document: of a toml block that begins with "# NAME.toml" the
// file, of a console block the commands, which begin with "$ ".
func tutorialSteps(text string) []step {
	var out []step
	for _, block := range regexp.MustCompile("(?ms)^```(console|toml)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		kind, body := block[1], block[2]
		if kind == "toml" {
			if name, ok := strings.CutPrefix(strings.SplitN(body, "\n", 2)[0], "# "); ok && strings.HasSuffix(name, ".toml") {
				out = append(out, step{file: name, content: body})
			}
			continue
		}
		for line := range strings.Lines(body) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				out = append(out, step{command: strings.TrimSpace(command)})
			} else {
				out[len(out)-1].want += line
			}
		}
	}
	return out
}

// varying is what differs from run to run.
var varying = []struct {
	expr *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`), "DATE"},
	{regexp.MustCompile(`\b\d\d-\d\d \d\d:\d\d:\d\d\b`), "WHEN"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d+)?\b`), "TIME"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(d|h|ms|m|µs|ns|s))+\b`), "SPAN"},
	{regexp.MustCompile(`\b(pid|speaker|prober) \d+`), "$1 N"},
	{regexp.MustCompile(`\b(yes|answer|MASTER|BACKUP) +\d+ +(MASTER|BACKUP|answer)`), "$1 N $2"},
	{regexp.MustCompile(`\byes +\d+ +answer`), "yes N answer"},
	{regexp.MustCompile(`\byes +yes +\d+ `), "yes yes N "},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "HASH"},
	{regexp.MustCompile(`\bbaton (unknown|v[0-9]\S*|\(devel\)),`), "baton VERSION,"},
	{regexp.MustCompile(` +`), " "},
}

func settled(text string) string {
	for _, v := range varying {
		text = v.expr.ReplaceAllString(text, v.word)
	}
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// shownAs makes an expression of what a document shows: an ellipsis stands for
// anything within its line, alone in a line for any number of lines.
func shownAs(want string) *regexp.Regexp {
	expr := ""
	for line := range strings.Lines(settled(want)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "…" {
			expr += `(.*\n)*?`
			continue
		}
		parts := strings.Split(line, "…")
		for i, p := range parts {
			parts[i] = regexp.QuoteMeta(p)
		}
		expr += strings.Join(parts, ".*") + "\n"
	}
	return regexp.MustCompile("^" + expr + "$")
}

// changes says whether a command must be run once only. All others are run until
// they print what they should: what they look at takes its time.
var changes = regexp.MustCompile(`\b(drain|undrain|failover|reload|lab up|lab down|sed -i)\b|\(\)`)

// TestTutorial executes docs/tutorial.md: every command in order, every output
// compared.
func TestTutorial(t *testing.T) {
	if _, err := findBaton(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join("..", "docs", "tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := tutorialSteps(string(raw))
	if len(all) < 25 {
		t.Fatalf("found %d steps, the expressions of this test are broken", len(all))
	}
	dir, functions := t.TempDir(), ""
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	shell := func(command string) string {
		cmd := exec.CommandContext(ctx, "sh", "-c", functions+command)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput() // the document shows the status where it matters
		return string(out)
	}
	t.Cleanup(func() {
		ctx, cancel = context.WithTimeout(context.Background(), patience)
		defer cancel()
		shell("baton lab down")
	})
	for _, s := range all {
		switch {
		case s.file != "":
			if err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.content), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		case strings.Contains(s.command, "()"):
			functions += s.command + "\n"
			continue
		}
		want := shownAs(s.want)
		try := func() string {
			out := shell(s.command)
			if end := settled(out); want.MatchString(end) || want.MatchString(end+"\n") || s.want == "" && strings.TrimSpace(out) == "" {
				return ""
			}
			return "$ " + s.command + "\n" + out + "\nwant\n" + s.want
		}
		if changes.MatchString(s.command) {
			if wrong := try(); wrong != "" {
				t.Fatal(wrong)
			}
			continue
		}
		within(t, "what the tutorial shows", try)
	}
}
