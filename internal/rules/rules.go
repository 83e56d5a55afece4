// Package rules holds the repository's own laws, checked by its tests: who may
// import whom, which files stay pure, and that every fuzz target has a corpus.
package rules

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the module's path, the prefix of its packages.
const Module = "baton"

// File is a Go file with what it imports.
type File struct {
	Path    string // from the module's root, with slashes
	Imports []string
}

// Dir is the file's package as a path below the module's root.
func (f File) Dir() string { return path.Dir(f.Path) }

// Rule forbids imports to some files. Patterns are those of Match.
type Rule struct {
	Name   string
	Files  []string // the files that it binds
	Except []string // but not these
	Deny   []string // import paths that they must not have
	Allow  []string // exceptions from Deny
	Why    string
}

// Violation is one import that breaks one rule.
type Violation struct {
	Rule   Rule
	File   string
	Import string
}

// String names the file, the import, the rule and its reason.
func (v Violation) String() string {
	return fmt.Sprintf("%s imports %s: rule %q: %s", v.File, v.Import, v.Rule.Name, v.Rule.Why)
}

// Match reports whether a slash-separated name fits a pattern: "a/b" is
// itself, "a/..." is a and everything below, "*" stands for any part of one
// element, as in path.Match.
func Match(pattern, name string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == dir || strings.HasPrefix(name, dir+"/")
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, name) })
}

// Check returns every broken rule, and an error for each pattern of files that
// binds nothing any more: a rule about a renamed file would hold forever.
func Check(rules []Rule, files []File) (broken []Violation, dead []error) {
	for _, r := range rules {
		for _, pattern := range r.Files {
			if !slices.ContainsFunc(files, func(f File) bool { return Match(pattern, f.Path) }) {
				dead = append(dead, fmt.Errorf("rule %q: no file is called %s", r.Name, pattern))
			}
		}
		for _, f := range files {
			if !matchAny(r.Files, f.Path) || matchAny(r.Except, f.Path) {
				continue
			}
			for _, i := range f.Imports {
				if matchAny(r.Deny, i) && !matchAny(r.Allow, i) {
					broken = append(broken, Violation{Rule: r, File: f.Path, Import: i})
				}
			}
		}
	}
	return broken, dead
}

// Load reads the imports of every Go file of a module, whatever its build
// constraints. Test files are included where tests is set.
func Load(root fs.FS, tests bool) ([]File, error) {
	var files []File
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipDir(root, p):
			return fs.SkipDir
		case d.IsDir() || path.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go") && !tests:
			return nil
		}
		src, err := fs.ReadFile(root, p)
		if err != nil {
			return fmt.Errorf("read imports: %w", err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("read imports: %w", err)
		}
		f := File{Path: p}
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return fmt.Errorf("read imports of %s: %w", p, err)
			}
			f.Imports = append(f.Imports, name)
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// skipDir leaves out what is not of this module.
func skipDir(root fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || base == "testdata" || dir == "bin" || dir == "dist" {
		return true
	}
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	return err == nil
}
