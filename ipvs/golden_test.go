package ipvs_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

var update = flag.Bool("update", false, "rewrite the plans in testdata")

// TestPlanGolden reads tables in ipvsadm-save's format and compares the plan
// with the commands in the file, which reviewers read.
func TestPlanGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			given, _, _ := strings.Cut(string(data), "-- plan --\n")
			part := sections(string(data))
			desired, observed := ipvstest.New(part["desired"]).Table(), ipvstest.New(part["observed"]).Table()
			owned := ipvs.Ownership{}
			for line := range strings.Lines(part["owned"]) {
				k, err := ipvs.ParseServiceKey(strings.TrimSpace(line))
				if err != nil {
					t.Fatal(err)
				}
				owned[k] = struct{}{}
			}
			var plan strings.Builder
			for _, op := range ipvs.Plan(desired, observed, owned) {
				plan.WriteString(op.String() + "\n")
			}
			if *update {
				if err := os.WriteFile(name, []byte(given+"-- plan --\n"+plan.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(part["plan"], plan.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(part["desired"], desired.String()); diff != "" {
				t.Errorf("the desired table does not print itself as it was written (-want +got):\n%s", diff)
			}
		})
	}
}

// sections splits a text at its lines "-- name --"; what is before the first is a comment.
func sections(text string) map[string]string {
	part, at := map[string]string{}, ""
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok {
			at = strings.TrimSuffix(name, " --")
			continue
		}
		part[at] += line
	}
	return part
}
