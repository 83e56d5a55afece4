package conf

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"baton/healthcheck"
)

// decoder fills raw structs from the tree that the TOML library made, and
// collects what is wrong on the way. One mistake does not hide the next.
type decoder struct {
	file      string
	index     *index
	problems  []*Problem
	kept      map[Severity]int
	told      map[string]bool                // path and message of what is kept
	more      int                            // problems beyond maxCollected, which are not kept
	tables    []nodeTable                    // every per-node table of the file
	disk      bool                           // files that the configuration names may be looked at
	pem       map[healthcheck.TLSSpec]string // files of TLS → what is wrong with them
	careful   bool                           // the index is read first whatever the text is like
	unchecked []string                       // paths of the real servers without a check; of this node at last
	uses      map[int]map[string]bool        // virtual_server by its index → names of check tables that it uses
	rest      []section                      // virtual_servers of the file that are not in the text, but count as names
	recovered bool                           // statements were left out: a missing key may be one of them
	alias     map[string]string              // paths of keys that stand in the file as a bare value, to its path
}

// nodeTable is a value given per node, as { lvs-a = 1, lvs-b = 2 }.
type nodeTable struct {
	path  string
	names []string
}

// maxCollected bounds how many problems of each severity are kept until they
// are put in order and cut at maxProblems. Warnings must not crowd out errors:
// the first error is what refuses the file.
const maxCollected = 10 * maxProblems

// maxElements bounds a list of tables. IPVS itself gets slow before that.
const maxElements = 1 << 16

// flooded says that nobody will read what is reported from now on.
func (d *decoder) flooded(s Severity) bool { return d.kept[s] >= maxCollected }

// add keeps a problem, or forgets it if there are too many. Either way the
// caller may write its remedy.
func (d *decoder) add(p Problem) *Problem {
	if d.flooded(p.Severity) {
		d.more++
		return &p
	}
	d.kept[p.Severity]++
	d.problems = append(d.problems, &p)
	return &p
}

func (d *decoder) report(path string, s Severity, format string, args ...any) *Problem {
	if a, ok := d.alias[path]; ok {
		path = a
	}
	path = d.written(path)
	message := fmt.Sprintf(format, args...)
	if id := path + " " + message; d.told[id] {
		return &Problem{} // of a template, for one server after the other
	} else if !d.flooded(s) {
		d.told[id] = true
	}
	line, column := d.index.find(path)
	return d.add(Problem{
		Severity: s, File: d.file, Line: line, Column: column,
		Key: path, Message: message,
	})
}

// errorf reports a problem that refuses the file. The caller adds the remedy.
func (d *decoder) errorf(path, format string, args ...any) *Problem {
	return d.report(path, SeverityError, format, args...)
}

// warnf reports a problem that does not.
func (d *decoder) warnf(path, format string, args ...any) *Problem {
	return d.report(path, SeverityWarning, format, args...)
}

func (p *Problem) remedy(format string, args ...any) { p.Remedy = fmt.Sprintf(format, args...) }

// where names the line of a path, for messages that point at a second place.
func (d *decoder) where(path string) string {
	line, _ := d.index.find(path)
	return fmt.Sprintf("line %d", line)
}

// ordered returns the keys of a table as they stand in the file, or by name
// where nobody has asked yet for their places: what is told is put in order at
// the end.
func (d *decoder) ordered(path string, m map[string]any) []string {
	keys := slices.Sorted(maps.Keys(m))
	if !d.index.unread {
		slices.SortStableFunc(keys, func(a, b string) int {
			return cmp.Compare(d.index.offset(join(path, a)), d.index.offset(join(path, b)))
		})
	}
	return keys
}

// rooted is implemented by raw structs that want to know their own path.
type rooted interface{ setPath(string) }

// table fills the raw struct dst from m. m is nil for a table that the file
// does not have: its keys then get their defaults and nothing is required.
func (d *decoder) table(path string, m map[string]any, dst reflect.Value) {
	spec := specOf(dst.Type())
	if r, ok := dst.Addr().Interface().(rooted); ok {
		r.setPath(path)
	}
	for _, k := range spec.keys {
		f := dst.FieldByIndex(k.index)
		if k.kind == kindLeaf {
			f.Addr().Interface().(leaf).bind(path, k)
		} else if k.kind == kindTable && f.Kind() == reflect.Struct {
			// bind the keys of tables that are always there
			if _, given := m[k.name]; !given {
				d.table(join(path, k.name), nil, f)
			}
		}
		if k.required == "" || m == nil || d.recovered {
			continue
		}
		if _, given := m[k.name]; !given {
			d.errorf(join(path, k.name), "is missing").remedy("add %s = %s", k.name, k.required)
		}
	}
	for _, name := range d.ordered(path, m) {
		k, ok := spec.byName[name]
		if !ok {
			d.unknown(path, name, spec)
			continue
		}
		d.key(join(path, name), k, m[name], dst.FieldByIndex(k.index))
	}
}

// key decodes one known key.
func (d *decoder) key(path string, k *keySpec, v any, f reflect.Value) {
	switch k.kind {
	case kindLeaf:
		f.Addr().Interface().(leaf).decode(d, v)
	case kindTable:
		m, ok := v.(map[string]any)
		if short := shorthand(k.table); !ok && short != nil {
			d.alias[join(path, short.name)] = path
			m, ok = map[string]any{short.name: v}, true
		}
		if !ok {
			found := kindOf(v)
			if k.secret {
				found = "something else"
			}
			d.errorf(path, "expected a table, found %s", found).remedy("write [%s] and its keys below it", heading(path))
			if f.Kind() == reflect.Struct {
				d.table(path, nil, f)
			}
			return
		}
		if f.Kind() == reflect.Pointer {
			f.Set(reflect.New(k.table))
			f = f.Elem()
		}
		d.table(path, m, f)
	case kindTables:
		d.elements(path, k, v, f)
	case kindNamed:
		d.named(path, k, v, f)
	}
}

// named decodes a table of tables that the file gives names to.
func (d *decoder) named(path string, k *keySpec, v any, f reflect.Value) {
	m, ok := v.(map[string]any)
	if !ok {
		d.errorf(path, "expected a table, found %s", kindOf(v)).remedy("write [%s.NAME]", heading(path))
		return
	}
	f.Set(reflect.MakeMapWithSize(f.Type(), len(m)))
	for _, name := range d.ordered(path, m) {
		p := join(path, name)
		e := reflect.New(k.table)
		t, ok := m[name].(map[string]any)
		if !ok {
			d.errorf(p, "expected a table, found %s", kindOf(m[name])).remedy("write [%s]", heading(p))
		}
		d.table(p, t, e.Elem())
		f.SetMapIndex(reflect.ValueOf(name), e)
	}
}

// elements decodes an array of tables.
func (d *decoder) elements(path string, k *keySpec, v any, f reflect.Value) {
	if m, one := v.(map[string]any); one && k.single {
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		d.table(path, m, f.Index(0))
		return
	}
	var list []any
	switch v := v.(type) {
	case []map[string]any:
		list = make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
	case []any:
		list = v
	default:
		if bareText(k.table) {
			d.errorf(path, "expected a list, found %s", kindOf(v)).remedy(`write %s = ["…"]`, k.name)
		} else if k.single {
			d.errorf(path, "expected a table, found %s", kindOf(v)).remedy("write [%s] and its keys below it", heading(path))
		} else {
			d.errorf(path, "expected a list of tables, found %s", kindOf(v)).remedy("write [[%s]], with two brackets, for each", heading(path))
		}
		return
	}
	if len(list) > maxElements {
		d.errorf(path, "has %d elements", len(list)).remedy("use %d at most", maxElements)
		return
	}
	f.Set(reflect.MakeSlice(f.Type(), len(list), len(list)))
	for i, e := range list {
		p := element(path, i)
		m, ok := e.(map[string]any)
		if short := shorthand(k.table); !ok && short != nil {
			if _, ok = e.(string); ok {
				d.alias[join(p, short.name)] = p
				m = map[string]any{short.name: e}
			}
		}
		if x, expands := f.Index(i).Addr().Interface().(expander); !ok && expands {
			if text, is := e.(string); is {
				m, ok = x.expand(d, p, text), true // nil, told, if it makes no sense
			}
		}
		if !ok {
			if bareText(k.table) {
				d.errorf(p, "expected a text or a table, found %s", kindOf(e)).remedy("write a text in quotes")
			} else {
				d.errorf(p, "expected a table, found %s", kindOf(e)).remedy("write [[%s]] for each", heading(path))
			}
			d.table(element(path, i), nil, f.Index(i))
			continue
		}
		d.table(p, m, f.Index(i))
	}
}

// shorthand returns the key that a bare value of this table stands for.
func shorthand(t reflect.Type) *keySpec {
	for _, k := range specOf(t).keys {
		if k.shorthand {
			return k
		}
	}
	return nil
}

// expander is implemented by the elements of a list that may also be written
// as one line of another syntax.
type expander interface {
	// expand returns the keys that the text stands for, or tells what is wrong
	// and returns nil.
	expand(d *decoder, path, text string) map[string]any
}

// bareText says whether a text may stand for a table of this type.
func bareText(t reflect.Type) bool {
	_, expands := reflect.New(t).Interface().(expander)
	return expands || shorthand(t) != nil
}

// heading turns a path into the words of a [header]: TOML has no indexes.
func heading(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '[' {
			if end := strings.IndexByte(path[i:], ']'); end > 0 {
				i += end
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
