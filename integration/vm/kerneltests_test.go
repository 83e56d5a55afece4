package vm

import (
	"slices"
	"testing"
)

func TestTaggedTestsAreThoseThatNeedTheTag(t *testing.T) {
	const body = "\n\npackage x\n\nfunc TestA(t *testing.T) {}\nfunc TestMain(m *testing.M) {}\n" +
		"func Testable() {}\nfunc (s) TestM() {}\nfunc Test(t *testing.T) {}\nfunc helper() {}\n"
	for head, want := range map[string][]string{
		"//go:build kernel":                          {"TestA", "Test"},
		"//go:build linux && kernel":                 {"TestA", "Test"},
		"// Licence.\n\n//go:build kernel && !short": {"TestA", "Test"},
		"//go:build linux":                           nil,
		"//go:build !kernel":                         nil,
		"//go:build kernel || linux":                 nil,
		"":                                           nil,
	} {
		got, err := taggedTests("x_test.go", head+body)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: tests are %v, %v; want %v", head, got, err, want)
		}
	}
	if _, err := taggedTests("x_test.go", "not Go"); err == nil {
		t.Error("a file that is no Go has tests")
	}
}
