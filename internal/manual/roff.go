package manual

import (
	"fmt"
	"strings"
)

// roff is a page of man(7).
type roff struct {
	strings.Builder
	headed bool // nothing stands below the last heading yet
}

func newPage(name, section, version string) *roff {
	p := &roff{}
	fmt.Fprintf(p, ".TH %s %s \"\" \"baton %s\" \"Baton\"\n", strings.ToUpper(name), section, escape(version))
	p.WriteString(".nh\n.ad l\n") // names of keys and commands are neither split nor stretched
	return p
}

// escape keeps roff from taking text for its own. A hyphen stays one that can
// be copied into a shell.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`, `"`, `\(dq`).Replace(s)
}

// line is one line of text: a leading dot or quote would be a request.
func (p *roff) line(s string) {
	s = escape(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	p.WriteString(s + "\n")
}

func (p *roff) heading(s string) {
	p.WriteString(".SH " + escape(s) + "\n")
	p.headed = true
}

func (p *roff) subheading(s string) {
	p.WriteString(".SS " + escape(s) + "\n")
	p.headed = true
}

// paragraph begins one; a heading has done so.
func (p *roff) paragraph() {
	if !p.headed {
		p.WriteString(".PP\n")
	}
	p.headed = false
}

// verbatim keeps lines as they are.
func (p *roff) verbatim(lines ...string) {
	p.paragraph()
	p.WriteString(".nf\n")
	for _, l := range lines {
		p.line(l)
	}
	p.WriteString(".fi\n")
}

// item is a term and what it means.
func (p *roff) item(term, meaning string) {
	p.headed = false
	p.WriteString(".TP\n.B " + escape(term) + "\n")
	for _, l := range strings.Split(meaning, "\n") {
		p.line(l)
	}
}

// text is what a command says of itself: paragraphs, between which blank lines
// stand, and lines that are indented and stay as they are.
func (p *roff) text(s string) {
	var filled, kept []string
	flush := func() {
		if len(filled) > 0 {
			p.paragraph()
			for _, l := range filled {
				if strings.HasPrefix(l, "default:") {
					p.WriteString(".br\n") // a key's last line
				}
				p.line(l)
			}
		}
		if len(kept) > 0 {
			p.verbatim(kept...)
		}
		filled, kept = nil, nil
	}
	for _, l := range strings.Split(strings.Trim(s, "\n"), "\n") {
		switch {
		case strings.TrimSpace(l) == "":
			flush()
		case l[0] == ' ' || l[0] == '\t':
			kept = append(kept, l)
		default:
			if len(kept) > 0 {
				flush()
			}
			filled = append(filled, l)
		}
	}
	flush()
}

// references is the last section.
func (p *roff) references(pages ...string) {
	p.heading("SEE ALSO")
	for i, page := range pages {
		name, section, _ := strings.Cut(strings.TrimSuffix(page, ")"), "(")
		comma := ","
		if i == len(pages)-1 {
			comma = ""
		}
		fmt.Fprintf(p, ".BR %s (%s)%s\n", escape(name), section, comma)
	}
}
