package event_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"baton/internal/event"
)

// constants returns the string constants of the given type in a source file.
func constants(t *testing.T, file, typ string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typ {
			return true
		}
		v, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out[spec.Names[0].Name] = v
		return true
	})
	return out
}

func TestEveryNameIsInTheCatalogueOnce(t *testing.T) {
	seen := map[event.Name]int{}
	for _, s := range event.Catalogue {
		seen[s.Name]++
		if s.Level == "" || len(s.Fields) == 0 {
			t.Errorf("%s: catalogue entry without level or fields", s.Name)
		}
	}
	names := constants(t, "catalogue.go", "Name")
	if len(names) < 40 {
		t.Fatalf("found %d names, the parser of this test is broken", len(names))
	}
	for id, n := range names {
		if seen[event.Name(n)] != 1 {
			t.Errorf("%s (%s) stands %d times in the catalogue", id, n, seen[event.Name(n)])
		}
		if !regexp.MustCompile(`^[a-z]+(\.[a-z]+){1,2}$`).MatchString(n) {
			t.Errorf("%s is not of the form noun.fact", n)
		}
	}
}

// TestDocumentMatchesCatalogue holds docs/events.md against the catalogue in
// both directions, fields included.
func TestDocumentMatchesCatalogue(t *testing.T) {
	raw, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile("(?m)^### `([a-z.]+)` \\(([a-z]+)\\)\n\nFields: (.*)\n")
	documented := map[string][2]string{}
	for _, m := range heading.FindAllStringSubmatch(string(raw), -1) {
		documented[m[1]] = [2]string{m[2], m[3]}
	}
	var missing []string
	for _, s := range event.Catalogue {
		got, ok := documented[string(s.Name)]
		if !ok {
			missing = append(missing, string(s.Name))
			continue
		}
		delete(documented, string(s.Name))
		var keys []string
		for _, k := range s.Fields {
			keys = append(keys, "`"+string(k)+"`")
		}
		if want := [2]string{string(s.Level), strings.Join(keys, " ")}; got != want {
			t.Errorf("%s: docs/events.md says %q, the catalogue %q", s.Name, got, want)
		}
	}
	sort.Strings(missing)
	for _, n := range missing {
		t.Errorf("%s is missing from docs/events.md", n)
	}
	for n := range documented {
		t.Errorf("docs/events.md describes %s, which does not exist", n)
	}
}

// TestDocumentSaysWhatToDo: each event has what it means, what causes it typically
// and what to do, in that order and each in a paragraph of its own.
func TestDocumentSaysWhatToDo(t *testing.T) {
	raw, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile("(?m)^##.*$").Split(string(raw), -1)
	heads := regexp.MustCompile("(?m)^##.*$").FindAllString(string(raw), -1)
	seen := 0
	for i, head := range heads {
		if !strings.HasPrefix(head, "### `") {
			continue
		}
		seen++
		paragraphs := strings.Split(strings.TrimSpace(parts[i+1]), "\n\n")
		if len(paragraphs) < 4 || !strings.HasPrefix(paragraphs[0], "Fields: ") {
			t.Errorf("%s: has %d paragraphs, want fields, meaning, typical cause, what to do, with an empty line between", head, len(paragraphs))
			continue
		}
		last := len(paragraphs) - 2
		for at, begin := range map[int]string{last: "Typical cause: ", last + 1: "What to do: "} {
			if text, ok := strings.CutPrefix(paragraphs[at], begin); !ok || strings.TrimSpace(text) == "" {
				t.Errorf("%s: paragraph %d does not begin with %q", head, at+1, begin)
			}
		}
		for _, meaning := range paragraphs[1:last] {
			if strings.HasPrefix(meaning, "Typical") || strings.HasPrefix(meaning, "What to") || len(meaning) < 20 {
				t.Errorf("%s: the meaning is %q", head, meaning)
			}
		}
	}
	if seen != len(event.Catalogue) {
		t.Errorf("%d entries for %d events", seen, len(event.Catalogue))
	}
}

func TestEmptyFieldsAreLeftOut(t *testing.T) {
	e := event.New("director", event.LinkUp, event.F(event.Interface, "eth0"), event.F(event.Address, ""))
	if len(e.Fields) != 1 || e.Get(event.Interface) != "eth0" || e.Level != event.LevelInfo {
		t.Errorf("event is %+v", e)
	}
}
