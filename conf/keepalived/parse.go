package keepalived

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read.
const (
	maxBytes = 8 << 20 // of all files
	maxFiles = 256
	maxDepth = 16 // of blocks in blocks, and of files that include each other
)

// statement is one line of keepalived.conf, with what stands in braces behind it.
type statement struct {
	file  string
	line  int
	words []string
	block []*statement
	open  bool // there are braces, be they empty
}

// name is the first word.
func (s *statement) name() string { return s.words[0] }

// arg is the i-th word behind it, "" where there is none.
func (s *statement) arg(i int) string {
	if i+1 < len(s.words) {
		return s.words[i+1]
	}
	return ""
}

// text is all words behind the first.
func (s *statement) text() string { return strings.Join(s.words[1:], " ") }

// reader reads files that include each other.
type reader struct {
	variables map[string]string
	doubt     func(file string, line int, about, message string)
	bytes     int
	files     int
}

// token is a word, a brace or the end of a line, which is "\n".
type token struct {
	text   string
	line   int
	quoted bool
}

// file reads a file and those that it includes.
func (r *reader) file(path string, depth int) ([]*statement, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("read %s: files include each other more than %d deep", path, maxDepth)
	}
	if r.files++; r.files > maxFiles {
		return nil, fmt.Errorf("read %s: more than %d files are included", path, maxFiles)
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is no regular file")
	}
	if err == nil && info.Size() > int64(maxBytes-r.bytes) {
		err = fmt.Errorf("the configuration has more than %d MiB", maxBytes>>20)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	r.bytes += len(data)
	return r.text(path, string(data), depth)
}

// text reads what stands in a file.
func (r *reader) text(path, data string, depth int) ([]*statement, error) {
	if !utf8.ValidString(data) {
		data = strings.ToValidUTF8(data, "\uFFFD")
	}
	tokens, err := tokens(path, data)
	if err != nil {
		return nil, err
	}
	all, rest, err := r.block(path, tokens, depth, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%s:%d: a closing brace without an opening one", path, rest[0].line)
	}
	return all, err
}

// tokens splits a text. # and ! begin comments, quotes keep blanks and braces, and a
// backslash at the end of a line continues it.
func tokens(path, data string) ([]token, error) {
	var all []token
	line := 1
	for i := 0; i < len(data); {
		switch c := data[i]; {
		case c == '\n':
			all = append(all, token{text: "\n", line: line})
			line++
			i++
		case c == '\\' && strings.HasPrefix(strings.TrimLeft(data[i+1:], " \t\r"), "\n"):
			i += 1 + strings.IndexByte(data[i+1:], '\n') + 1
			line++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#' || c == '!':
			if end := strings.IndexByte(data[i:], '\n'); end >= 0 {
				i += end
			} else {
				i = len(data)
			}
		case c == '{' || c == '}':
			all = append(all, token{text: string(c), line: line})
			i++
		case c == '"' || c == '\'':
			end := strings.IndexByte(data[i+1:], c)
			if end < 0 || strings.Contains(data[i+1:i+1+end], "\n") {
				return nil, fmt.Errorf("%s:%d: a quotation mark that nothing closes on its line", path, line)
			}
			all = append(all, token{text: data[i+1 : i+1+end], line: line, quoted: true})
			i += end + 2
		default:
			end := i
			for end < len(data) && !strings.ContainsRune(" \t\r\n{}\"", rune(data[end])) {
				if data[end] == '$' && strings.HasPrefix(data[end:], "${") {
					if stop := strings.IndexByte(data[end:], '}'); stop > 0 {
						end += stop
					}
				}
				end++
			}
			all = append(all, token{text: data[i:end], line: line})
			i = end
		}
	}
	return append(all, token{text: "\n", line: line}), nil
}

// block reads statements until a closing brace, which is left, or the end.
func (r *reader) block(path string, in []token, files, depth int) (all []*statement, rest []token, err error) {
	if depth > maxDepth {
		return nil, nil, fmt.Errorf("%s:%d: blocks are more than %d deep", path, in[0].line, maxDepth)
	}
	for len(in) > 0 {
		t := in[0]
		switch {
		case t.quoted:
		case t.text == "\n":
			in = in[1:]
			continue
		case t.text == "}":
			return all, in, nil
		case t.text == "{":
			return nil, nil, fmt.Errorf("%s:%d: an opening brace without a word before it", path, t.line)
		}
		s := &statement{file: path, line: t.line}
		for len(in) > 0 && (in[0].quoted || !strings.Contains("\n{}", in[0].text)) {
			s.words = append(s.words, r.expand(s, in[0].text))
			in = in[1:]
		}
		next := in
		for len(next) > 0 && next[0].text == "\n" && !next[0].quoted {
			next = next[1:]
		}
		if len(next) > 0 && next[0].text == "{" && !next[0].quoted {
			s.open = true
			if s.block, next, err = r.block(path, next[1:], files, depth+1); err != nil {
				return nil, nil, err
			}
			if len(next) == 0 {
				return nil, nil, fmt.Errorf("%s:%d: the block of %s has no closing brace", path, s.line, s.name())
			}
			in = next[1:]
		}
		more, err := r.directive(s, files)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, more...)
	}
	return all, nil, nil
}

var (
	definition = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)
	reference  = regexp.MustCompile(`\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))`)
)

// directive carries out what is no statement of its own.
func (r *reader) directive(s *statement, depth int) ([]*statement, error) {
	name := s.name()
	switch m := definition.FindStringSubmatch(name); {
	case m != nil:
		r.variables[m[1]] = strings.Join(append([]string{m[2]}, s.words[1:]...), " ")
		return nil, nil
	case strings.HasPrefix(name, "include") && !s.open:
		return r.include(s, depth)
	case strings.HasPrefix(name, "@"):
		r.doubt(s.file, s.line, name, "conditional lines are left out (write what differs between the nodes as priority = { lvs-a = 150, lvs-b = 100 })")
		return nil, nil
	case strings.HasPrefix(name, "~"):
		r.doubt(s.file, s.line, name, "repeated blocks are left out (write them out)")
		return nil, nil
	}
	return []*statement{s}, nil
}

func (r *reader) include(s *statement, depth int) ([]*statement, error) {
	pattern := s.text()
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(s.file), pattern)
	}
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: include %s: %w", s.file, s.line, s.text(), err)
	}
	if len(files) == 0 {
		r.doubt(s.file, s.line, "include "+s.text(), "there is no such file")
	}
	var all []*statement
	for _, f := range files {
		more, err := r.file(f, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: include: %w", s.file, s.line, err)
		}
		all = append(all, more...)
	}
	return all, nil
}

// expand puts in the variables of a word. A value may name others that were defined before it.
func (r *reader) expand(s *statement, word string) string {
	if !strings.Contains(word, "$") || definition.MatchString(word) && len(s.words) == 0 {
		return word
	}
	return reference.ReplaceAllStringFunc(word, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		v, known := r.variables[m[1]+m[2]]
		if !known {
			r.doubt(s.file, s.line, ref, "no such variable is defined before this line")
			return ref
		}
		return v
	})
}
