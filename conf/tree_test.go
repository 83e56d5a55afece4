package conf_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"baton/conf"
)

// FuzzPlainTree: a text that is taken for plain is valid, and means what
// BurntSushi's parser says.
func FuzzPlainTree(f *testing.F) {
	for _, pattern := range []string{"../examples/*.toml", "testdata/invalid/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files: %v", pattern, len(files), err)
		}
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) || !conf.Shallow(data) {
			return // which is asked first
		}
		have, plain := conf.PlainTree(data)
		if !plain {
			return
		}
		want := map[string]any{}
		if _, err := toml.Decode(string(data), &want); err != nil {
			t.Fatalf("%q is taken for plain: %v", data, err)
		}
		if !reflect.DeepEqual(have, want) {
			t.Fatalf("%q is taken for\n%#v, and means\n%#v", data, have, want)
		}
	})
}

// TestLargeFilesArePlain: what large files consist of, and operators write, is read in
// the quick way.
func TestLargeFilesArePlain(t *testing.T) {
	text, _ := large(1000)
	files := map[string][]byte{"services": services(3, 4), "two nodes": text}
	examples, err := filepath.Glob("../examples/*.toml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples: %v", len(examples), err)
	}
	for _, file := range examples {
		if files[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range files {
		if _, plain := conf.PlainTree(data); !plain {
			t.Errorf("%s is read with the slower parser", name)
		}
	}
}
