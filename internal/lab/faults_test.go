package lab

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFaultsAreShown: docs/faults.md names drills and tests that exist, and
// every drill with its numbers.
func TestFaultsAreShown(t *testing.T) {
	root := filepath.Join("..", "..")
	raw, err := os.ReadFile(filepath.Join(root, "docs", "faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`^\| (\d+) \|.*\| ([^|]+) \|$`)
	drill, test := regexp.MustCompile("`baton drill ([a-z-]+)`"), regexp.MustCompile(`\b(Test[A-Z]\w+)`)
	shown := map[string][]string{} // faults by drill
	rows := 0
	tests := testNames(t, root)
	for line := range strings.Lines(string(raw)) {
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		rows++
		drills, named := drill.FindAllStringSubmatch(m[2], -1), test.FindAllStringSubmatch(m[2], -1)
		if len(drills)+len(named) == 0 {
			t.Errorf("fault %s is shown by nothing", m[1])
		}
		for _, d := range drills {
			shown[d[1]] = append(shown[d[1]], m[1])
		}
		for _, n := range named {
			if !tests[n[1]] {
				t.Errorf("fault %s: there is no %s", m[1], n[1])
			}
		}
	}
	if rows == 0 {
		t.Fatal("docs/faults.md has no row")
	}
	for _, s := range Scenarios() {
		if got := strings.Join(shown[s.Name], ", "); got != s.Faults {
			t.Errorf("baton drill %s stands at fault %q, and says that it is %q", s.Name, got, s.Faults)
		}
		delete(shown, s.Name)
	}
	for name := range shown {
		t.Errorf("there is no drill %q", name)
	}
}

func testNames(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, pattern := range []string{"integration/*_test.go", "vrrp/*_test.go", "vrrp/*/*_test.go", "internal/*/*_test.go", "conf/*_test.go", "ipvs/*_test.go", "healthcheck/*_test.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range slices.Sorted(slices.Values(files)) {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range declared.FindAllSubmatch(raw, -1) {
				names[string(m[1])] = true
			}
		}
	}
	return names
}
