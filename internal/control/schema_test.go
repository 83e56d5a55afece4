package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/status.schema.json")

// schemaFile describes the answer to GET /v1/status and baton status --json.
const schemaFile = "../../docs/status.schema.json"

// TestSchema: docs/status.schema.json says what the types say, with their
// comments for descriptions. A key that is there already must not change its
// type: who reads the status would break.
func TestSchema(t *testing.T) {
	s := &schemas{defs: map[string]any{}, words: comments(t)}
	root := s.of(reflect.TypeFor[Status](), "")
	root = map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:baton:status:v1",
		"title": "Baton's status, version 1", "$ref": root.(map[string]any)["$ref"], "$defs": s.defs,
		"description": "The answer to GET /v1/status, and what baton status --json prints. Within version 1 keys may be added; those that are there keep their meaning and type. A key that is not required is left out where it has nothing to say.",
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(root); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Error("docs/status.schema.json is not what the types of this package are: look at what go test ./internal/control -run TestSchema -update changes in it; only additions are allowed within /v1")
	}
}

// schemas makes JSON Schemas of types.
type schemas struct {
	defs  map[string]any
	words map[string]string // comment of "Type" and "Type.Field"
}

// of describes a type as encoding/json writes it.
func (s *schemas) of(t reflect.Type, about string) any {
	out := map[string]any{}
	if about != "" {
		out["description"] = about
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		out["type"], out["format"] = "string", "date-time"
	case t.Kind() == reflect.Pointer:
		inner := s.of(t.Elem(), "")
		out["anyOf"] = []any{inner, map[string]any{"type": "null"}}
	case t.Kind() == reflect.Struct:
		s.define(t)
		out["$ref"] = "#/$defs/" + t.Name()
	case t.Kind() == reflect.Slice:
		out["type"], out["items"] = []string{"array", "null"}, s.of(t.Elem(), "")
	case t.Kind() == reflect.Map:
		out["type"], out["additionalProperties"] = []string{"object", "null"}, s.of(t.Elem(), "")
	case t.Kind() == reflect.String:
		out["type"] = "string"
	case t.Kind() == reflect.Bool:
		out["type"] = "boolean"
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64:
		out["type"], out["minimum"] = "integer", 0
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		out["type"] = "integer"
	default:
		panic("no schema for " + t.String())
	}
	return out
}

func (s *schemas) define(t reflect.Type) {
	if s.defs[t.Name()] != nil {
		return
	}
	required, properties := []string{}, map[string]any{}
	def := map[string]any{"type": "object", "properties": properties}
	s.defs[t.Name()] = def
	if about := s.words[t.Name()]; about != "" {
		def["description"] = about
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = s.of(f.Type, s.words[t.Name()+"."+f.Name])
		if options == "" {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	def["required"] = required
}

// comments are those of this package's types and of their fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	out := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		describe(out, f)
	}
	return out
}

func describe(out map[string]string, file *ast.File) {
	line := func(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
	ast.Inspect(file, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok {
			return true
		}
		for _, spec := range decl.Specs {
			typ, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			out[typ.Name.Name] = line(decl.Doc)
			body, ok := typ.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range body.Fields.List {
				for _, name := range f.Names {
					out[typ.Name.Name+"."+name.Name] = strings.TrimSpace(line(f.Doc) + " " + line(f.Comment))
				}
			}
		}
		return true
	})
}
