package conf

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// keySpec is what the tags of a raw struct's field say about its key. The
// same words are checked while decoding and printed in docs/config.md.
//
//	toml:"advert_int"       the key
//	default:"1s"            applied when the key is absent
//	inherit:"…"             where an absent value comes from, for the document
//	range:"10ms…40.95s"     inclusive, of numbers and durations
//	enum:"DR|NAT|TUN"       the words that are allowed, in any case
//	required:"example"      must be given; the example goes into the remedy
//	shorthand:"true"        a bare value instead of the table means this key
//	single:"true"           one [table] is a list of one
//	secret:"true"           no message repeats what the file has
type keySpec struct {
	name      string
	index     []int // of the struct's field
	kind      kind
	nodes     bool // may be given per node
	def       string
	inherit   string
	min, max  string
	enum      []string
	required  string
	shorthand bool
	single    bool
	secret    bool
	value     any          // the default as the leaf has it, nil without one
	table     reflect.Type // of kinds that are tables
}

type kind uint8

const (
	kindLeaf   kind = iota
	kindTable       // a struct or a pointer to one: nil when absent
	kindTables      // a slice of structs
	kindNamed       // a map of pointers to structs: [key.NAME]
)

// tableSpec is a raw struct: its keys by name and in order.
type tableSpec struct {
	keys   []*keySpec
	byName map[string]*keySpec
}

var (
	leafType = reflect.TypeFor[leaf]()
	specs    sync.Map // reflect.Type → *tableSpec
)

// specOf reads the tags of a raw struct, once for each type. A malformed tag
// is a mistake in this package and panics.
func specOf(t reflect.Type) *tableSpec {
	if s, ok := specs.Load(t); ok {
		return s.(*tableSpec)
	}
	s := &tableSpec{byName: map[string]*keySpec{}}
	for _, f := range reflect.VisibleFields(t) {
		name := f.Tag.Get("toml")
		if name == "" {
			continue
		}
		k := &keySpec{
			name: name, index: f.Index,
			def: f.Tag.Get("default"), inherit: f.Tag.Get("inherit"), required: f.Tag.Get("required"),
			shorthand: f.Tag.Get("shorthand") != "", secret: f.Tag.Get("secret") != "", single: f.Tag.Get("single") != "",
		}
		if r := f.Tag.Get("range"); r != "" {
			var ok bool
			if k.min, k.max, ok = strings.Cut(r, "…"); !ok {
				panic(fmt.Sprintf("%s.%s: range %q", t, f.Name, r))
			}
		}
		if e := f.Tag.Get("enum"); e != "" {
			k.enum = strings.Split(e, "|")
		}
		switch ft := f.Type; {
		case reflect.PointerTo(ft).Implements(leafType):
			l := reflect.New(ft).Interface().(leaf)
			k.nodes, k.value = l.perNode(), l.defaultOf(k)
		case ft.Kind() == reflect.Map:
			k.kind, k.table = kindNamed, ft.Elem().Elem()
		case ft.Kind() == reflect.Slice:
			k.kind, k.table = kindTables, ft.Elem()
		case ft.Kind() == reflect.Pointer:
			k.kind, k.table = kindTable, ft.Elem()
		default:
			k.kind, k.table = kindTable, ft
		}
		s.keys = append(s.keys, k)
		s.byName[name] = k
	}
	got, _ := specs.LoadOrStore(t, s)
	return got.(*tableSpec)
}

func (t *tableSpec) names() []string {
	out := make([]string, len(t.keys))
	for i, k := range t.keys {
		out[i] = k.name
	}
	return out
}

// rangeText is how the range is written for people: "1 … 255".
func (k *keySpec) rangeText() string {
	switch {
	case k.enum != nil:
		return strings.Join(k.enum, ", ")
	case k.min != "":
		return k.min + " … " + k.max
	}
	return ""
}

func (k *keySpec) inRange(v any) bool {
	if k.min == "" {
		return true
	}
	switch v := v.(type) {
	case int:
		return v >= mustInt(k.min) && v <= mustInt(k.max)
	case time.Duration:
		return v >= mustDuration(k.min) && v <= mustDuration(k.max)
	}
	panic(fmt.Sprintf("key %s: a range for a %T", k.name, v))
}

func mustInt(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func mustDuration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}
