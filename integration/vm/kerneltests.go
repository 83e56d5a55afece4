package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// KernelTag is the build tag of test files that need a kernel with IPVS.
const KernelTag = "kernel"

// TestPackage is a package that has tests with the build tag kernel.
type TestPackage struct {
	ImportPath string
	Dir        string
	Tests      []string // names of the functions in its tagged files
}

// KernelTests lists those of the packages, in go list's patterns, that have
// tests in files that are only compiled with the build tag kernel.
func KernelTests(ctx context.Context, patterns ...string) ([]TestPackage, error) {
	args := append([]string{"list", "-tags", KernelTag, "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)
	cmd := exec.CommandContext(ctx, "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var found []TestPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); err == io.EOF {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode package list: %w", err)
		}
		t := TestPackage{ImportPath: p.ImportPath, Dir: p.Dir}
		for _, f := range append(p.TestGoFiles, p.XTestGoFiles...) {
			names, err := taggedTests(filepath.Join(p.Dir, f), nil)
			if err != nil {
				return nil, err
			}
			t.Tests = append(t.Tests, names...)
		}
		if len(t.Tests) > 0 {
			found = append(found, t)
		}
	}
}

// taggedTests lists the test functions of a file that is compiled with the tag
// kernel and not without it. src is the file's text, nil to read it.
func taggedTests(file string, src any) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse tests: %w", err)
	}
	if !needsTag(f) {
		return nil, nil
	}
	var names []string
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && isTest(fn.Name.Name) {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

func isTest(name string) bool {
	rest, ok := strings.CutPrefix(name, "Test")
	if !ok || name == "TestMain" {
		return false
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return rest == "" || !unicode.IsLower(r)
}

func needsTag(f *ast.File) bool {
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			return false
		}
		for _, c := range group.List {
			if !constraint.IsGoBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			return err == nil && !expr.Eval(func(tag string) bool { return tag != KernelTag })
		}
	}
	return false
}

// BuildTests compiles the package's tests, tagged ones included, to run
// anywhere.
func (p TestPackage) BuildTests(ctx context.Context, out string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-tags", KernelTag, "-o", out, p.ImportPath)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := startAndWait(cmd); err != nil {
		return fmt.Errorf("build tests of %s: %w", p.ImportPath, err)
	}
	return nil
}
