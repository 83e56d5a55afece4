package conf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

const (
	// maxFileSize bounds what is read. 50,000 lines are about 2 MiB.
	maxFileSize = 8 << 20
	// maxSyntaxErrors bounds how often the text is read again without a bad
	// statement to find the next one.
	maxSyntaxErrors = 20
)

// parse turns the text into the TOML library's tree and the index of places.
// A statement that is broken in itself, or sets a key a second time, is
// reported and left out, so that one missing quote does not hide every other
// problem. It returns nil when what remains cannot be trusted.
//
// Two parsers read the text: go-toml's tells where everything stands,
// BurntSushi's judges what is valid. The first bounds nesting, so it goes first
// unless a look at the text says that nothing nests deep. Of a valid text it is
// needed only for what is to be said about it.
func (d *decoder) parse(data []byte) map[string]any {
	if !d.careful && utf8.Valid(data) && shallow(data) {
		tree := map[string]any{}
		if _, err := toml.Decode(string(data), &tree); err == nil {
			d.index = lazyIndex(data)
			return tree
		}
	}
	d.index = newIndex(data)
	if !d.readable(data) {
		return nil
	}
	text := bytes.Clone(data) // statements are blanked in it, never moved
	for range maxSyntaxErrors {
		d.index = newIndex(text)
		if err := d.index.read(); err != nil {
			d.syntax(err.offset, err.message)
			if err.fatal || !d.skip(text, err.statement, err.offset) {
				return nil
			}
			continue
		}
		if again, ok := d.duplicated(text); !ok {
			return nil
		} else if again {
			continue
		}
		tree := map[string]any{}
		_, err := toml.Decode(string(text), &tree)
		if err == nil {
			return tree
		}
		var perr toml.ParseError
		if !errors.As(err, &perr) {
			d.syntax(0, err.Error())
			return nil
		}
		st, ok := d.index.statementAt(perr.Position.Start)
		d.syntax(perr.Position.Start, perr.Message)
		if !ok || st.header || !d.skip(text, st.start, perr.Position.Start) {
			return nil
		}
	}
	return nil
}

// shallow says that the text cannot nest deeper than maxDepth. It looks at
// lines alone, and where a line is longer than what people write it does not
// vouch for it: the text is then read the careful way.
func shallow(data []byte) bool {
	if bytes.Contains(data, []byte(`"""`)) || bytes.Contains(data, []byte("'''")) {
		return false
	}
	open := 0 // brackets of earlier lines
	for line := range bytes.Lines(data) {
		deeper, dots := 0, 0
		quote := byte(0)
	scan:
		for i := 0; i < len(line); i++ {
			switch c := line[i]; {
			case quote == '"' && c == '\\':
				i++
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '"', c == '\'':
				quote = c
			case c == '#':
				break scan
			case c == '[', c == '{':
				deeper++
				open++
			case c == ']', c == '}':
				open = max(0, open-1)
			case c == '.':
				dots++
			}
		}
		if open+deeper+dots > maxDepth/2 {
			return false
		}
	}
	return true
}

// readable refuses what is no text at all.
func (d *decoder) readable(data []byte) bool {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			d.syntaxRemedy(i, fmt.Sprintf("byte 0x%02x is not UTF-8", data[i]), "save the file as UTF-8")
			return false
		}
		i += size
	}
	return true
}

// skip blanks the statement at start if it is a single line that the error
// lies on: otherwise nobody knows where the statement ends.
func (d *decoder) skip(text []byte, start, offset int) bool {
	if start >= len(text) || text[start] == '[' || d.index.line(start) != d.index.line(offset) {
		return false
	}
	d.recovered = true
	for i := start; i < len(text) && text[i] != '\n'; i++ {
		text[i] = ' '
	}
	return true
}

// duplicated reports keys that are set twice and blanks the second statement.
// again says that the text has changed, ok that it can still be read.
func (d *decoder) duplicated(text []byte) (again, ok bool) {
	ok = true
	for _, dup := range d.index.duplicates {
		line, _ := d.index.position(dup.first)
		p := d.syntaxRemedy(dup.offset, "key is set a second time", fmt.Sprintf("it is set in line %d already: remove one of them", line))
		p.Key = dup.path
		if dup.inline {
			ok = false
			continue
		}
		again = true
		for i := dup.statement.start; i < dup.statement.end; i++ {
			if text[i] != '\n' {
				text[i] = ' '
			}
		}
	}
	return again, ok
}

func (d *decoder) syntax(offset int, message string) {
	if strings.Contains(d.lineAt(offset), "auth_pass") { // neither the message nor the hint may repeat it
		d.syntaxRemedy(offset, "syntax error in the line of a password", `write auth_pass = "…", in quotes`)
		return
	}
	message = strings.ToLower(message[:min(1, len(message))]) + strings.TrimSuffix(message[min(1, len(message)):], ".")
	d.syntaxRemedy(offset, "syntax error: "+clipTo(message, 120), d.syntaxHint(offset, message))
}

func (d *decoder) syntaxRemedy(offset int, message, remedy string) *Problem {
	line, column := d.index.position(offset)
	return d.add(Problem{
		Severity: SeverityError, File: d.file, Line: line, Column: column, Message: message, Remedy: remedy,
	})
}

// lineAt returns the line around a byte.
func (d *decoder) lineAt(offset int) string {
	text := d.index.data[d.index.lines[d.index.line(offset)-1]:]
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return string(text)
}

// syntaxHint guesses from the line what a keepalived user meant to write.
func (d *decoder) syntaxHint(offset int, message string) string {
	s := strings.TrimSpace(d.lineAt(offset))
	key, value, assigned := strings.Cut(s, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case strings.Contains(message, "levels deep"):
		return "a configuration needs four levels"
	case strings.Contains(message, "already been defined"), strings.Contains(message, "already created"):
		return "merge it with the one above"
	case strings.Contains(message, "leading zero"):
		return "write it without leading zeros"
	case strings.Contains(message, "after array value"):
		return "separate the elements with commas"
	case strings.HasPrefix(s, "!"):
		return "a comment begins with #"
	case strings.HasPrefix(s, "["):
		return "a table begins with [name], one of several with [[name]]"
	case !assigned && strings.HasSuffix(s, "{"), s == "}":
		return "this is TOML, not keepalived.conf: a block begins with [name] or [[name]] and has no braces"
	case !assigned && len(strings.Fields(s)) == 2:
		return fmt.Sprintf("write %s = %s", strings.Fields(s)[0], quoted(strings.Fields(s)[1]))
	case assigned && value == "":
		return "write a value behind the ="
	case assigned && bare(key) && strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:") == "":
		return fmt.Sprintf(`text needs quotes: %s = "%s"`, key, value)
	case assigned && (strings.Count(value, `"`)%2 == 1 || strings.Count(value, "'")%2 == 1):
		return "close the quotes"
	case assigned && strings.Trim(value, "0123456789. mshu") == "" && strings.Trim(value, "0123456789.") != "":
		return fmt.Sprintf(`a duration with a unit needs quotes: %s = "%s"`, key, strings.ReplaceAll(value, " ", ""))
	}
	return "see https://toml.io for the syntax"
}

// quoted writes a keepalived word as TOML: numbers stand bare.
func quoted(word string) string {
	if strings.Trim(word, "0123456789") == "" {
		return word
	}
	return `"` + strings.Trim(word, `"`) + `"`
}
