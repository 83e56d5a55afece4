package conf

import (
	"bytes"
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxDepth bounds how deep keys and arrays may nest. The format needs four
// levels; a path is spelled out for every level, so without a bound a line of
// dots would cost its length squared.
const maxDepth = 16

// syntaxError is where and why the text is not TOML.
type syntaxError struct {
	offset    int
	statement int // offset of the first byte of the statement it is in
	message   string
	fatal     bool // nothing after it can be trusted
}

// statement is one key = value or one [header], by byte offsets.
type statement struct {
	start, end int
	header     bool
}

// spot is where a path stands.
type spot struct {
	offset int
	set    bool // it has a value of its own, unlike a mere prefix of a dotted key
}

// duplicate is a key that was set before.
type duplicate struct {
	path          string
	offset, first int
	statement     statement
	inline        bool // inside an inline table, so the statement holds more than it
}

// index knows where in the file each key stands. Paths are spelled as in
// Problem.Key, with the index of array elements in brackets.
type index struct {
	unread     bool // at and what belongs to it are filled when somebody asks
	data       []byte
	lines      []int // offset of each line's first byte
	at         map[string]spot
	elements   map[string]int // length of each array of tables so far
	statements []statement
	duplicates []duplicate
}

func newIndex(data []byte) *index {
	lines := bytes.Count(data, []byte{'\n'}) + 1
	paths := bytes.Count(data, []byte{'='}) + bytes.Count(data, []byte("\n["))*3/2
	ix := &index{
		data: data, lines: make([]int, 1, lines+1), // growing them bit by bit costs as much as filling them
		at: make(map[string]spot, paths), elements: map[string]int{},
	}
	for i, c := range data {
		if c == '\n' {
			ix.lines = append(ix.lines, i+1)
		}
	}
	return ix
}

// lazyIndex is the index of a document that is known to be valid: it is read
// when there is something to say about it, which is seldom, and reading it
// costs a third of the whole.
func lazyIndex(data []byte) *index { return &index{data: data, unread: true} }

// filled returns the index, read.
func (ix *index) filled() *index {
	if ix.unread {
		*ix = *newIndex(ix.data)
		_ = ix.read() // another parser has found it valid
	}
	return ix
}

// offset is where a path begins, 0 for one that is not in the file.
func (ix *index) offset(path string) int { return ix.filled().at[path].offset }

// read walks the document. On a syntax error the index holds what precedes it.
func (ix *index) read() *syntaxError {
	var p unstable.Parser
	p.Reset(ix.data)
	table, end := "", 0
	for p.NextExpression() {
		e := p.Expression()
		var err *syntaxError
		switch e.Kind {
		case unstable.KeyValue:
			st := statement{start: int(e.Raw.Offset), end: int(e.Raw.Offset + e.Raw.Length)}
			end = st.end
			ix.statements = append(ix.statements, st)
			err = ix.keyValue(table, e, st, depth(table), false)
		case unstable.Table, unstable.ArrayTable:
			table, end, err = ix.header(e)
		}
		if err != nil {
			return err
		}
	}
	return ix.syntax(p.Error(), &p, end)
}

// syntax gives the parser's error its place.
func (ix *index) syntax(err error, p *unstable.Parser, end int) *syntaxError {
	if err == nil {
		return nil
	}
	se := &syntaxError{statement: ix.nextStatement(end), message: err.Error()}
	se.offset = se.statement
	var perr *unstable.ParserError
	if errors.As(err, &perr) && perr.Highlight != nil {
		se.offset = int(p.Range(perr.Highlight).Offset)
	}
	se.fatal = strings.Contains(se.message, "nested more than")
	return se
}

// nextStatement returns the offset of the first statement after the line in
// which offset lies; from offset 0, of the first one.
func (ix *index) nextStatement(offset int) int {
	if offset > 0 {
		nl := bytes.IndexByte(ix.data[offset:], '\n')
		if nl < 0 {
			return len(ix.data)
		}
		offset += nl + 1
	}
	for offset < len(ix.data) {
		switch ix.data[offset] {
		case ' ', '\t', '\r', '\n':
			offset++
		case '#':
			nl := bytes.IndexByte(ix.data[offset:], '\n')
			if nl < 0 {
				return len(ix.data)
			}
			offset += nl + 1
		default:
			return offset
		}
	}
	return offset
}

// header enters a [table] or [[array of tables]] and returns its path and the
// offset where the statement ends.
func (ix *index) header(e *unstable.Node) (string, int, *syntaxError) {
	path, n := "", 0
	var st statement
	for keys := e.Key(); keys.Next(); n++ {
		k := keys.Node()
		if n == 0 {
			start := ix.lines[ix.line(int(k.Raw.Offset))-1]
			for ix.data[start] != '[' {
				start++
			}
			st = statement{start: start, header: true}
		}
		st.end = int(k.Raw.Offset + k.Raw.Length)
		if n > 0 {
			// Every part before the last stands for the array's newest element.
			path = ix.newest(path)
		}
		path = join(path, string(k.Data))
		if depth(path) > maxDepth {
			return "", 0, tooDeep(st.start)
		}
		ix.note(path, st.start)
	}
	ix.statements = append(ix.statements, st)
	if e.Kind == unstable.Table {
		ix.at[path] = spot{offset: st.start, set: ix.at[path].set}
		return path, st.end, nil
	}
	i := ix.elements[path]
	ix.elements[path] = i + 1
	path = element(path, i)
	ix.note(path, st.start)
	return path, st.end, nil
}

func (ix *index) newest(path string) string {
	if n := ix.elements[path]; n > 0 {
		return element(path, n-1)
	}
	return path
}

// keyValue notes a key = value below table, and what the value contains.
func (ix *index) keyValue(table string, e *unstable.Node, st statement, d int, inline bool) *syntaxError {
	path, offset := table, st.start
	for keys := e.Key(); keys.Next(); {
		k := keys.Node()
		offset = int(k.Raw.Offset)
		path = join(path, string(k.Data))
		if d++; d > maxDepth {
			return tooDeep(offset)
		}
		ix.note(path, offset)
	}
	if ix.at[path].set {
		ix.duplicates = append(ix.duplicates, duplicate{
			path: path, offset: offset, first: ix.at[path].offset, statement: st, inline: inline,
		})
		return nil
	}
	ix.at[path] = spot{ix.at[path].offset, true}
	return ix.value(path, e.Value(), st, d)
}

// value notes the keys and elements inside an inline table or an array.
func (ix *index) value(path string, v *unstable.Node, st statement, d int) *syntaxError {
	if d > maxDepth {
		return tooDeep(st.start)
	}
	children := v.Children()
	switch v.Kind {
	case unstable.InlineTable:
		for children.Next() {
			if err := ix.keyValue(path, children.Node(), st, d, true); err != nil {
				return err
			}
		}
	case unstable.Array:
		for i := 0; children.Next(); {
			c := children.Node()
			if c.Kind == unstable.Comment {
				continue
			}
			p := element(path, i)
			if off, ok := firstOffset(c); ok {
				ix.note(p, ix.opening(c, off))
			}
			if err := ix.value(p, c, st, d+1); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}

// firstOffset finds the first byte inside a value that the parser gives a
// place to: it gives none to arrays and inline tables themselves.
func firstOffset(n *unstable.Node) (int, bool) {
	for depth := 0; n != nil && depth <= maxDepth; depth++ {
		switch n.Kind {
		case unstable.Array:
			n = n.Child()
		case unstable.InlineTable, unstable.KeyValue:
			if n.Kind == unstable.KeyValue {
				return int(n.Raw.Offset), true
			}
			n = n.Child()
		default:
			return int(n.Raw.Offset), n.Raw.Length > 0
		}
	}
	return 0, false
}

// opening steps back from the first thing inside an inline table to its brace.
func (ix *index) opening(n *unstable.Node, offset int) int {
	if n.Kind != unstable.InlineTable {
		return offset
	}
	if i := bytes.LastIndexByte(ix.data[:offset], '{'); i >= 0 {
		return i
	}
	return offset
}

func (ix *index) note(path string, offset int) {
	if _, ok := ix.at[path]; !ok {
		ix.at[path] = spot{offset: offset}
	}
}

func tooDeep(offset int) *syntaxError {
	return &syntaxError{
		offset: offset, statement: offset, fatal: true,
		message: "keys nest more than " + strconv.Itoa(maxDepth) + " levels deep",
	}
}

// line returns the number of the line, from 1, that holds the byte.
func (ix *index) line(offset int) int {
	return sort.SearchInts(ix.lines, offset+1)
}

// position returns line and column of a byte, both from 1 and always inside
// the file.
func (ix *index) position(offset int) (line, column int) {
	ix.filled()
	offset = min(max(offset, 0), len(ix.data))
	line = ix.line(offset)
	return line, offset - ix.lines[line-1] + 1
}

// find returns the place of a path or, where the path itself is not in the
// file (a missing key), of the nearest table around it.
func (ix *index) find(path string) (line, column int) {
	ix.filled()
	for {
		if s, ok := ix.at[path]; ok {
			return ix.position(s.offset)
		}
		if path == "" {
			return 1, 1
		}
		path = parent(path)
	}
}

// has says whether the file has something at exactly this path.
func (ix *index) has(path string) bool {
	_, ok := ix.filled().at[path]
	return ok
}

// statementAt returns the statement that holds the byte.
func (ix *index) statementAt(offset int) (statement, bool) {
	i := sort.Search(len(ix.statements), func(i int) bool { return ix.statements[i].start > offset })
	if i == 0 {
		return statement{}, false
	}
	return ix.statements[i-1], true
}
