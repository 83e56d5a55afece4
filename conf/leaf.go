package conf

import (
	"slices"
	"strings"
)

// leaf is a key with a value, as against a table.
type leaf interface {
	// bind tells the leaf where it stands and gives it its default.
	bind(path string, k *keySpec)
	// decode takes the value from the file; problems go to d.
	decode(d *decoder, v any)
	// perNode says whether a table of one value for each node is allowed.
	perNode() bool
	// defaultOf reads the default in the key's tags, nil if it has none.
	defaultOf(k *keySpec) any
}

// value is a key with one value for every node.
type value[T any] struct {
	v   T
	set bool // the file has the key, right or wrong
	bad bool // and its value is wrong: told already, v is the default

	table string // path of the table that the key is in
	spec  *keySpec
}

// path is where the key stands. It is put together when something is to be
// told: a large file has some hundred thousand keys.
func (l *value[T]) path() string { return join(l.table, l.spec.name) }

func (l *value[T]) perNode() bool { return false }

func (l *value[T]) bind(path string, k *keySpec) {
	l.table, l.spec = path, k
	if k.value != nil {
		l.v = k.value.(T)
	}
}

func (l *value[T]) decode(d *decoder, v any) {
	l.set = true
	if _, table := v.(map[string]any); table && !holdsTable[T]() {
		l.bad = true
		d.errorf(l.path(), "expected %s, found a table", describe[T]()).remedy("this key has the same value on every node, or is misplaced")
		return
	}
	got, ok := read[T](d, l.path(), l.spec, v)
	if !ok {
		l.bad = true
		return
	}
	l.v = got
}

// nodeValue is a key whose value may differ between the nodes that share the
// file: priority = { lvs-a = 150, lvs-b = 100 }.
type nodeValue[T any] struct {
	value[T]
	of  map[string]T // nil when one value serves all
	err map[string]bool
}

func (l *nodeValue[T]) perNode() bool { return true }

func (l *nodeValue[T]) decode(d *decoder, v any) {
	nodes, ok := v.(map[string]any)
	if !ok {
		l.value.decode(d, v)
		return
	}
	if len(nodes) > maxNodes {
		l.set, l.bad = true, true
		d.errorf(l.path(), "names %d nodes", len(nodes)).remedy("use %d at most", maxNodes)
		return
	}
	l.set, l.of, l.err = true, make(map[string]T, len(nodes)), nil
	path := l.path()
	for _, name := range d.ordered(path, nodes) {
		got, ok := read[T](d, join(path, name), l.spec, nodes[name])
		if !ok {
			if l.err == nil {
				l.err = map[string]bool{}
			}
			l.err[name] = true
			got = l.v
		}
		l.of[name] = got
	}
	names := make([]string, 0, len(l.of))
	for name := range l.of {
		names = append(names, name)
	}
	slices.Sort(names)
	d.tables = append(d.tables, nodeTable{path: path, names: names})
}

// get returns the value for one node: its own, or the default where it has
// none.
func (l *nodeValue[T]) get(node string) T {
	if v, ok := l.of[node]; ok {
		return v
	}
	return l.v
}

// at returns the path that a problem with the node's value belongs to.
func (l *nodeValue[T]) at(node string) string {
	if _, ok := l.of[node]; ok {
		return join(l.path(), node)
	}
	return l.path()
}

// ok says whether the node's value can be reasoned about: it is right, and
// stands in the file or in the defaults.
func (l *nodeValue[T]) ok(node string) bool {
	if l.bad || l.err[node] {
		return false
	}
	_, has := l.of[node]
	return l.of == nil || has
}

func (l *value[T]) defaultOf(k *keySpec) any {
	if k.def == "" {
		return nil
	}
	var zero T
	switch p := any(&zero).(type) {
	case *bool:
		*p = k.def == "true"
	case *int:
		*p = mustInt(k.def)
	case *string:
		*p = k.def
	case *duration:
		*p = duration(mustDuration(k.def))
	default:
		panic("key " + k.name + ": default of a type that has none")
	}
	return zero
}

// read converts, and checks what the key's tags say.
func read[T any](d *decoder, path string, k *keySpec, v any) (T, bool) {
	got, ok := convert[T](d, path, v)
	if !ok {
		return got, false
	}
	switch x := any(&got).(type) {
	case *int:
		if !k.inRange(*x) {
			d.errorf(path, "%d is out of range", *x).remedy("use %s", k.rangeText())
			return got, false
		}
	case *duration:
		if !k.inRange(x.std()) {
			d.errorf(path, "%s is out of range", *x).remedy("use %s", k.rangeText())
			return got, false
		}
	case *string:
		return got, d.word(path, k, x)
	case *texts:
		ok := true
		for i, s := range *x {
			ok = d.text(element(path, i), s) && ok
		}
		return got, ok
	case *numbers:
		for i, n := range *x {
			if !k.inRange(n) {
				d.errorf(element(path, i), "%d is out of range", n).remedy("use %s", k.rangeText())
				ok = false
			}
		}
		return got, ok
	}
	return got, true
}

// word checks a text against the words that the key allows and gives it their
// spelling.
func (d *decoder) word(path string, k *keySpec, s *string) bool {
	if k.enum == nil {
		return d.text(path, *s)
	}
	for _, e := range k.enum {
		if strings.EqualFold(e, *s) {
			*s = e
			return true
		}
	}
	if len(k.enum) == 1 {
		d.errorf(path, "%q is not %s", clip(*s), k.enum[0]).remedy("use %q, or remove the key", k.enum[0])
		return false
	}
	p := d.errorf(path, "%q is not one of %s", *s, strings.Join(k.enum, ", "))
	if n := nearest(*s, k.enum); n != "" {
		p.remedy("did you mean %q?", n)
	} else {
		p.remedy("use one of them")
	}
	return false
}

// text refuses what no text of a configuration should hold.
func (d *decoder) text(path, s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			d.errorf(path, "text contains the control character %q", r).remedy("remove it")
			return false
		}
	}
	return true
}
