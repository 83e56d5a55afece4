package keepalived

import (
	"fmt"
	"slices"
	"strconv"
)

// handler writes what a statement says into a table.
type handler func(im *importer, s *statement, t *table)

type keywords map[string]handler

// apply writes all statements of a block into a table. about names the block in doubts.
func (im *importer) apply(t *table, all []*statement, known keywords, about string) {
	was := im.about
	im.about = about
	defer func() { im.about = was }()
	for _, s := range all {
		if h := known[s.name()]; h != nil {
			h(im, s, t)
			continue
		}
		im.doubt(s, "has no counterpart and is left out")
	}
}

// silent is for words that change nothing: what Baton always does, or what is about
// keepalived's own process.
func silent(*importer, *statement, *table) {}

// left is for words that Baton has no counterpart for.
func left(message string) handler {
	return func(im *importer, s *statement, _ *table) { im.doubt(s, "is left out: "+message) }
}

// word is a key with the first word as its text; name "" is the statement's own.
func word(name string) handler {
	return func(im *importer, s *statement, t *table) {
		if s.arg(0) == "" {
			im.doubt(s, "is left out: it has no value")
			return
		}
		t.set(or(name, s.name()), quote(s.arg(0)))
	}
}

// text is a key with all words.
func text(name string) handler {
	return func(im *importer, s *statement, t *table) {
		if s.text() == "" {
			im.doubt(s, "is left out: it has no value")
			return
		}
		t.set(or(name, s.name()), quote(s.text()))
	}
}

// number is a key with a whole number.
func number(name string) handler {
	return func(im *importer, s *statement, t *table) {
		if n, err := strconv.ParseInt(s.arg(0), 10, 64); err == nil {
			t.set(or(name, s.name()), strconv.FormatInt(n, 10))
			return
		}
		im.doubt(s, fmt.Sprintf("is left out: %q is no whole number", s.arg(0)))
	}
}

// whole gives a key a whole number, and says what is wrong with one that is none.
func (im *importer) whole(s *statement, t *table, name, text string) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		im.doubt(s, fmt.Sprintf("is taken over without %s: %q is no whole number", name, text))
		return
	}
	t.set(name, strconv.FormatInt(n, 10))
}

// duration is a key with a number of seconds.
func duration(name string) handler {
	return func(im *importer, s *statement, t *table) {
		if d, ok := seconds(s.arg(0)); ok {
			t.set(or(name, s.name()), d)
			return
		}
		im.doubt(s, fmt.Sprintf("is left out: %q is no number of seconds", s.arg(0)))
	}
}

// truth is a key that is true where the word stands alone.
func truth(name string) handler {
	return func(im *importer, s *statement, t *table) {
		switch s.arg(0) {
		case "", "true", "on", "yes":
			t.set(or(name, s.name()), "true")
		case "false", "off", "no":
			t.set(or(name, s.name()), "false")
		default:
			im.doubt(s, fmt.Sprintf("is left out: %q is neither true nor false", s.arg(0)))
		}
	}
}

// command is a script with its words.
func command(name string) handler {
	return func(im *importer, s *statement, t *table) {
		if s.text() == "" {
			im.doubt(s, "is left out: it has no command")
			return
		}
		im.scripts = true
		t.set(or(name, s.name()), quote(s.text()))
	}
}

// words are those of a statement and of its block.
func (s *statement) all() []string {
	all := slices.Clone(s.words[1:])
	for _, c := range s.block {
		all = append(all, c.words...)
	}
	return all
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// with is several tables of keywords as one.
func with(all ...keywords) keywords {
	sum := keywords{}
	for _, k := range all {
		for name, h := range k {
			sum[name] = h
		}
	}
	return sum
}

// each is the same handler for several words.
func each(h handler, names ...string) keywords {
	k := keywords{}
	for _, n := range names {
		k[n] = h
	}
	return k
}
