package conf

import (
	"bytes"
	"reflect"
	"strconv"

	"github.com/pelletier/go-toml/v2/unstable"
)

// plainTree makes the tree that BurntSushi's parser would make of a text, in a
// quarter of the time, or says that this text wants that parser: it knows what
// large files consist of, tables, texts, whole numbers, true and false, lists and
// inline tables of these, and takes no text on which TOML has an opinion beyond
// its grammar: a table that is extended later, a key that is set twice.
func plainTree(data []byte) (map[string]any, bool) {
	b := treeBuilder{root: map[string]any{}, opened: map[uintptr]bool{}, dotted: map[uintptr]bool{}, words: map[string]string{}}
	b.table = b.root
	b.parser.Reset(data)
	for b.parser.NextExpression() {
		ok := false
		switch e := b.parser.Expression(); e.Kind {
		case unstable.KeyValue:
			ok = b.set(b.table, e)
		case unstable.Table:
			ok = b.header(e, false)
		case unstable.ArrayTable:
			ok = b.header(e, true)
		}
		if !ok {
			return nil, false
		}
	}
	return b.root, b.parser.Error() == nil
}

// treeBuilder puts expressions into a tree.
type treeBuilder struct {
	parser unstable.Parser
	root   map[string]any
	table  map[string]any    // what keys are set in
	opened map[uintptr]bool  // tables of headers, which may have tables of headers in them; false: has no header of its own yet
	dotted map[uintptr]bool  // tables of a.b = …, which others such may add to
	words  map[string]string // keys: ten thousand servers have the same
	path   []string
}

// word is a key, of which there is one copy.
func (b *treeBuilder) word(n *unstable.Node) string {
	w, known := b.words[string(n.Data)]
	if !known {
		w = string(n.Data)
		b.words[w] = w
	}
	return w
}

// header begins a [table] or an element of a list of [[tables]].
func (b *treeBuilder) header(e *unstable.Node, list bool) bool {
	b.path = b.path[:0]
	for keys := e.Key(); keys.Next(); {
		b.path = append(b.path, b.word(keys.Node()))
	}
	at, last := b.root, len(b.path)-1
	for _, name := range b.path[:last] {
		switch v := at[name].(type) {
		case nil:
			at = b.open(at, name, false)
		case []map[string]any:
			at = v[len(v)-1]
		case map[string]any:
			if _, is := b.opened[identity(v)]; !is {
				return false
			}
			at = v
		default:
			return false
		}
	}
	before, there := at[b.path[last]]
	elements, listed := before.([]map[string]any)
	t, _ := before.(map[string]any)
	headed, opened := b.opened[identity(t)]
	switch {
	case list && listed == there:
		b.table = map[string]any{}
		at[b.path[last]] = append(elements, b.table)
	case !list && !there:
		b.table = b.open(at, b.path[last], true)
	case !list && opened && !headed:
		b.table = t
		b.opened[identity(t)] = true
	default:
		return false
	}
	return true
}

func (b *treeBuilder) open(at map[string]any, name string, headed bool) map[string]any {
	t := map[string]any{}
	at[name] = t
	b.opened[identity(t)] = headed
	return t
}

func identity(t map[string]any) uintptr { return reflect.ValueOf(t).Pointer() }

// set sets a key of a table.
func (b *treeBuilder) set(table map[string]any, e *unstable.Node) bool {
	name := ""
	for keys := e.Key(); keys.Next(); {
		name = b.word(keys.Node())
		v, there := table[name]
		if keys.IsLast() {
			if there {
				return false
			}
			break
		}
		next, is := v.(map[string]any)
		switch {
		case !there:
			next = map[string]any{}
			table[name] = next
			b.dotted[identity(next)] = true
		case !is || !b.dotted[identity(next)]:
			return false
		}
		table = next
	}
	v, ok := b.value(e.Value())
	table[name] = v
	return ok
}

func (b *treeBuilder) value(n *unstable.Node) (any, bool) {
	switch n.Kind {
	case unstable.String:
		return string(n.Data), true
	case unstable.Bool:
		return n.Data[0] == 't', true
	case unstable.Integer:
		if !plainNumber(n.Data) {
			return nil, false
		}
		v, err := strconv.ParseInt(string(n.Data), 10, 64)
		return v, err == nil
	case unstable.Array:
		list := []any{}
		for it := n.Children(); it.Next(); {
			v, ok := b.value(it.Node())
			if !ok {
				return nil, false
			}
			list = append(list, v)
		}
		return list, true
	case unstable.InlineTable:
		t := map[string]any{}
		for it := n.Children(); it.Next(); {
			if it.Node().Kind != unstable.KeyValue || !b.set(t, it.Node()) {
				return nil, false
			}
		}
		return t, true
	}
	return nil, false
}

// plainNumber says whether a number is written with digits and a minus at most.
func plainNumber(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("-"))
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0 && (b[0] != '0' || len(b) == 1)
}
