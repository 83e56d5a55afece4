package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var word = regexp.MustCompile("`([^`]+)`")

// documented reads the rows of docs/metrics.md.
func documented(t *testing.T) map[string]*Family {
	t.Helper()
	raw, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*Family{}
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, "| `baton_") && !strings.HasPrefix(line, "| `keepalived_") {
			continue
		}
		cell := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cell) != 4 {
			t.Fatalf("a row of %d cells: %s", len(cell), line)
		}
		f := &Family{Name: word.FindStringSubmatch(cell[0])[1], Type: Type(strings.TrimSpace(cell[1])), Help: strings.TrimSpace(cell[3])}
		for _, l := range word.FindAllStringSubmatch(cell[2], -1) {
			f.Labels = append(f.Labels, l[1])
		}
		if out[f.Name] != nil {
			t.Errorf("%s is explained twice", f.Name)
		}
		out[f.Name] = f
	}
	return out
}

// TestDocument: docs/metrics.md explains every metric with its type and labels,
// and none that there is not.
func TestDocument(t *testing.T) {
	told := documented(t)
	for _, f := range Families() {
		d := told[f.Name]
		if d == nil {
			t.Errorf("%s is not in docs/metrics.md", f.Name)
			continue
		}
		delete(told, f.Name)
		if d.Type != f.Type || !slices.Equal(d.Labels, f.Labels) || len(d.Help) < 8 {
			t.Errorf("%s is a %s by %v; docs/metrics.md has a %s by %v: %q", f.Name, f.Type, f.Labels, d.Type, d.Labels, d.Help)
		}
	}
	for name := range told {
		t.Errorf("docs/metrics.md explains %s, which there is not", name)
	}
}
