package rules_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declared is what the code has: functions as package.Func or
// package.Type.Method, tests with the texts that stand in them.
type declared struct {
	functions map[string]bool
	tests     map[string][]string
}

// declarations reads every Go file of a module, whatever its build constraints.
func declarations(t *testing.T, dir string) declared {
	t.Helper()
	d := declared{map[string]bool{}, map[string][]string{}}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		base := filepath.Base(name)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != dir && (strings.HasPrefix(base, ".") || base == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := filepath.Base(filepath.Dir(name))
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			switch {
			case !ok:
			case strings.HasSuffix(base, "_test.go"):
				d.tests[pkg+"."+f.Name.Name] = texts(f)
			default:
				d.functions[pkg+"."+receiver(f)+f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// texts are the string literals in a function, among them its subtests' names.
func texts(f *ast.FuncDecl) []string {
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				out = append(out, s)
			}
		}
		return true
	})
	return out
}

var (
	sectionNumber = regexp.MustCompile(`^[1-9]\d*(\.[1-9]\d*)*$`)
	codeName      = regexp.MustCompile("`([^`]+)`")
)

var levels = []string{"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}

// problems judges one row of a table of requirements: section, level,
// requirement, function, test.
func (d declared) problems(cells []string) []string {
	if len(cells) != 5 {
		return []string{fmt.Sprintf("%d cells, not 5", len(cells))}
	}
	var out []string
	section, level, what, function, test := cells[0], cells[1], cells[2], cells[3], cells[4]
	if !sectionNumber.MatchString(section) {
		out = append(out, fmt.Sprintf("section %q is no number", section))
	}
	if !slices.Contains(levels, level) {
		out = append(out, fmt.Sprintf("level %q is none of %v", level, levels))
	}
	if what == "" {
		out = append(out, "no requirement")
	}
	excused := false
	for _, word := range []string{"not applicable: ", "departs: "} {
		excused = excused || strings.HasPrefix(function, word) && len(function) > len(word)+5
	}
	functions, tests := codeName.FindAllStringSubmatch(function, -1), codeName.FindAllStringSubmatch(test, -1)
	if !excused && len(functions) == 0 {
		out = append(out, "neither a function nor a reason")
	}
	if !excused && len(tests) == 0 {
		out = append(out, "no test")
	}
	for _, f := range functions {
		if !excused && !d.functions[f[1]] {
			out = append(out, "there is no function "+f[1])
		}
	}
	for _, f := range tests {
		name, sub, has := strings.Cut(f[1], "/")
		switch inside, ok := d.tests[name]; {
		case !ok:
			out = append(out, "there is no test "+name)
		case has && !slices.Contains(inside, sub):
			out = append(out, fmt.Sprintf("%s has no subtest %q", name, sub))
		}
	}
	return out
}

// rows are the lines of a document's tables, without their heads.
func rows(text string) [][]string {
	var out [][]string
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| §") || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| --") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, cells)
	}
	return out
}

// after says whether a section stands behind another.
func after(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	return slices.CompareFunc(x, y, func(p, q string) int {
		m, _ := strconv.Atoi(p) // of a well-formed section
		n, _ := strconv.Atoi(q)
		return m - n
	}) > 0
}

// TestRequirementsNameWhatExists: a table of what the RFCs ask for is worth
// something for as long as the functions and the tests that it names exist.
func TestRequirementsNameWhatExists(t *testing.T) {
	code := declarations(t, root)
	for name, least := range map[string]int{"rfc9568.md": 60, "rfc3768.md": 35} {
		text, err := os.ReadFile(path.Join(root, "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		table := rows(string(text))
		if len(table) < least {
			t.Errorf("%s has %d rows: the reader of this test is broken", name, len(table))
		}
		last := "1"
		for _, cells := range table {
			for _, p := range code.problems(cells) {
				t.Errorf("%s: %s: %s", name, strings.Join(cells[:min(3, len(cells))], " | "), p)
			}
			if sectionNumber.MatchString(cells[0]) {
				if after(last, cells[0]) {
					t.Errorf("%s: section %s stands behind %s", name, cells[0], last)
				}
				last = cells[0]
			}
		}
	}
}

func TestRequirementsProblems(t *testing.T) {
	code := declared{map[string]bool{"vrrp.Step": true, "vrrp.machine.inInit": true}, map[string][]string{"vrrp.TestInit": {"owner"}}}
	for row, want := range map[string]string{
		"| 6.4.1 | MUST | x | `vrrp.machine.inInit` | `vrrp.TestInit/owner` |": "",
		"| 8.1 | SHOULD | x | not applicable: no router | — |":                 "",
		"| 8.1 | SHOULD | x | departs: addresses first | `vrrp.TestInit` |":    "",
		"| six | MUST | x | `vrrp.Step` | `vrrp.TestInit` |":                   "is no number",
		"| 6.04 | MUST | x | `vrrp.Step` | `vrrp.TestInit` |":                  "is no number",
		"| 6 | must | x | `vrrp.Step` | `vrrp.TestInit` |":                     "level",
		"| 6 | MUST | x | `vrrp.Stop` | `vrrp.TestInit` |":                     "no function vrrp.Stop",
		"| 6 | MUST | x | `vrrp.Step` | `vrrp.TestGone` |":                     "no test vrrp.TestGone",
		"| 6 | MUST | x | `vrrp.Step` | `vrrp.TestInit/other` |":               "no subtest",
		"| 6 | MUST | x | `vrrp.Step` | — |":                                   "no test",
		"| 6 | MUST | x | — | `vrrp.TestInit` |":                               "neither a function",
		"| 6 | MUST | x | not applicable: | — |":                               "neither a function",
		"| 6 | MUST | x | departs: addresses first | `vrrp.TestGone` |":        "no test vrrp.TestGone",
		"| 6 | MUST | x | `vrrp.Step` |":                                       "4 cells",
		"| 6 | MUST |  | `vrrp.Step` | `vrrp.TestInit` |":                      "no requirement",
	} {
		got := code.problems(rows(row)[0])
		if want == "" && len(got) > 0 || want != "" && !strings.Contains(strings.Join(got, "; "), want) {
			t.Errorf("%s\n got %q, want %q", row, got, want)
		}
	}
}
