package conf

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// toCommand reads a command: a list of its words, or a text that is split as a
// shell would, which is all that a shell has to do with it. is says that v has
// the type of a command, ok that it can be run; what cannot is told.
func toCommand(d *decoder, path string, v any) (c command, is, ok bool) {
	switch v := v.(type) {
	case string:
		if !d.text(path, v) {
			return nil, true, false
		}
		words, why := splitWords(v)
		if why != "" {
			d.errorf(path, "%s", why).remedy(`write a list of words: ["/bin/sh", "-c", "…"] runs a shell`)
			return nil, true, false
		}
		c = words
	case []any:
		words, good := each[string](d, path, v)
		for i, w := range words {
			good = good && d.text(element(path, i), w)
		}
		if !good {
			return nil, true, false
		}
		c = words
	default:
		return nil, false, false
	}
	switch {
	case len(c) == 0:
		d.errorf(path, "is empty").remedy("name a program, or remove the key")
	case !filepath.IsAbs(c[0]):
		d.errorf(path, "%q is not an absolute path", clip(c[0])).remedy("write the program's whole path: nothing is looked for in PATH")
	default:
		return c, true, true
	}
	return nil, true, false
}

// shellWords mean something to a shell and nothing without one.
var shellWords = []string{"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", ">&2"}

// splitWords splits at blanks. Quotes keep blanks, a backslash takes the next
// character as it is, except between single quotes. Where the text needs a
// shell, why says so.
func splitWords(s string) (words []string, why string) {
	var word strings.Builder
	in, quote, plain := false, rune(0), true
	end := func() {
		if in {
			w := word.String()
			if plain && (slices.Contains(shellWords, w) || strings.HasPrefix(w, "$") || strings.HasSuffix(w, ";")) && why == "" {
				why = strconv.Quote(clip(w)) + " means nothing without a shell, and there is none"
			}
			words = append(words, w)
		}
		word.Reset()
		in, plain = false, true
	}
	escape := false
	for _, r := range s {
		switch {
		case escape:
			word.WriteRune(r)
			escape = false
		case r == '\\' && quote != '\'':
			in, plain, escape = true, false, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			in, plain, quote = true, false, r
		case r == ' ':
			end()
		default:
			in = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escape {
		return nil, "a quote is not closed, or nothing follows the last backslash"
	}
	end()
	return words, why
}
