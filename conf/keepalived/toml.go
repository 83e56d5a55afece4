package keepalived

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// table is a TOML table whose keys stay in their order.
type table struct {
	keys []key
	subs []*sub
}

type key struct{ name, value string }

// sub is a table within a table, or an element of an array of such.
type sub struct {
	name  string
	array bool
	table *table
}

// set gives a key its value, as TOML has it. The last one counts.
func (t *table) set(name, value string) {
	for i := range t.keys {
		if t.keys[i].name == name {
			t.keys[i].value = value
			return
		}
	}
	t.keys = append(t.keys, key{name, value})
}

// get is a key's value, "" without one.
func (t *table) get(name string) string {
	for _, k := range t.keys {
		if k.name == name {
			return k.value
		}
	}
	return ""
}

// has says whether there is a key or a table of that name.
func (t *table) has(name string) bool {
	if t.get(name) != "" {
		return true
	}
	for _, s := range t.subs {
		if s.name == name {
			return true
		}
	}
	return false
}

// add begins a table in this one.
func (t *table) add(name string, array bool) *table {
	s := &sub{name, array, &table{}}
	t.subs = append(t.subs, s)
	return s.table
}

// single makes tables of arrays with one element.
func (t *table) single() {
	n := map[string]int{}
	for _, s := range t.subs {
		n[s.name]++
	}
	for _, s := range t.subs {
		s.array = s.array && n[s.name] > 1
	}
}

// write writes what is in the table; path is its own name.
func (t *table) write(b *strings.Builder, path string) {
	for _, k := range t.keys {
		fmt.Fprintf(b, "%s = %s\n", k.name, k.value)
	}
	for _, s := range t.subs {
		name := s.name
		if path != "" {
			name = path + "." + s.name
		}
		if path == "" && b.Len() > 0 {
			b.WriteString("\n")
		}
		if empty := len(s.table.keys) == 0 && len(s.table.subs) > 0 && !s.array; empty {
			s.table.write(b, name) // its name stands in theirs
			continue
		}
		if s.array {
			fmt.Fprintf(b, "[[%s]]\n", name)
		} else {
			fmt.Fprintf(b, "[%s]\n", name)
		}
		s.table.write(b, name)
	}
}

// quote is a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// list is an array of strings.
func list(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// seconds is a duration of keepalived's, which has seconds with a fraction.
func seconds(s string) (string, bool) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || v > 1e9 {
		return "", false
	}
	if v == float64(int64(v)) {
		return quote(fmt.Sprintf("%ds", int64(v))), true
	}
	return quote(strconv.FormatFloat(v*1e3, 'f', -1, 64) + "ms"), true
}
