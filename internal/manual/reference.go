package manual

import "strings"

// Configuration is the page of the configuration file, made of its reference:
// comments are text, what they stand above is kept as it is, and a table begins
// a section.
func Configuration(reference []byte, f Facts) (name string, page []byte) {
	p := newPage("baton.toml", "5", f.Version)
	p.heading("NAME")
	p.line("baton.toml - configuration of Baton's directors")
	p.heading("DESCRIPTION")
	var comment, lines []string
	flush := func() {
		if len(comment) > 0 {
			p.text(strings.Join(comment, "\n"))
		}
		if len(lines) > 0 {
			p.verbatim(lines...)
		}
		comment, lines = nil, nil
	}
	seen := map[string]bool{}
	for _, l := range strings.Split(string(reference), "\n") {
		said, isComment := strings.CutPrefix(l, "#")
		switch {
		case l == "":
			flush()
		case isComment:
			if len(lines) > 0 {
				flush()
			}
			comment = append(comment, strings.TrimPrefix(said, " "))
		case strings.HasPrefix(l, "["):
			// The comment above a table is about the table.
			if !seen[l] {
				seen[l] = true
				p.subheading(l)
			}
			lines = append(lines, l)
		default:
			lines = append(lines, "    "+l)
		}
	}
	flush()
	p.heading("FILES")
	p.facts(f.Files["config"])
	p.heading("EXAMPLES")
	p.text("Examples for every topology lie in /usr/share/doc/baton/examples.")
	p.references("baton(8)", "baton-check(8)", "baton-plan(8)", "baton-reload(8)", "keepalived.conf(5)", "ipvsadm(8)")
	return "baton.toml.5", []byte(p.String())
}
