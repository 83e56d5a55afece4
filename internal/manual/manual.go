// Package manual makes the manual pages: one for each command, from what the
// command says of itself, and one for the configuration, from its reference.
package manual

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// section is where programs of the administrator's have their pages.
const section = "8"

// Facts are what a page has beside the command's own words.
type Facts struct {
	Version string
	// Exit are the exit codes and their meanings, by the command's path without
	// the program ("realserver up"); "" has those of all others.
	Exit map[string][]Fact
	// Files are the files by the flag that names them.
	Files map[string][]Fact
	// Also are pages of other programs that a command's reader may want.
	Also map[string][]string
}

// Fact is a term and what it means.
type Fact struct{ Term, Meaning string }

// Commands returns the pages of a program's commands by file name.
func Commands(root *cobra.Command, f Facts) map[string][]byte {
	pages := map[string][]byte{}
	for _, c := range All(root) {
		pages[pageOf(c)+"."+section] = []byte(page(c, f))
	}
	return pages
}

// All are the program and its commands, hidden ones left out, in their order.
func All(c *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			out = append(out, All(sub)...)
		}
	}
	return out
}

// Path is the command's path without the program.
func Path(c *cobra.Command) string {
	_, path, _ := strings.Cut(c.CommandPath(), " ")
	return path
}

func pageOf(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func page(c *cobra.Command, f Facts) string {
	p := newPage(pageOf(c), section, f.Version)
	p.heading("NAME")
	p.line(pageOf(c) + " - " + c.Short)
	p.heading("SYNOPSIS")
	p.WriteString(".B " + escape(c.UseLine()) + "\n")
	p.heading("DESCRIPTION")
	if c.Long != "" {
		p.text(c.Long)
	} else {
		p.text(c.Short + ".")
	}
	children := subcommands(c)
	if len(children) > 0 {
		p.heading("COMMANDS")
		for _, s := range children {
			p.item(strings.TrimSuffix(s.UseLine(), " [flags]"), s.Short)
		}
	}
	p.options(c)
	p.heading("EXIT STATUS")
	p.facts(f.exit(Path(c)))
	p.heading("FILES")
	files := f.files(c)
	if len(files) == 0 {
		p.text("None.")
	}
	p.facts(files)
	p.heading("EXAMPLES")
	p.verbatim(strings.Split(strings.Trim(c.Example, "\n"), "\n")...)
	p.references(f.also(c, children)...)
	return p.String()
}

func subcommands(c *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(c.Commands()), func(s *cobra.Command) bool {
		return !s.IsAvailableCommand() || s.Name() == "help"
	})
}

func (p *roff) facts(list []Fact) {
	for _, f := range list {
		p.item(f.Term, f.Meaning)
	}
}

func (p *roff) options(c *cobra.Command) {
	c.InitDefaultHelpFlag()
	p.heading("OPTIONS")
	c.Flags().VisitAll(func(fl *pflag.Flag) {
		if fl.Hidden {
			return
		}
		value, meaning := pflag.UnquoteUsage(fl)
		term := "--" + fl.Name
		if fl.Shorthand != "" {
			term = "-" + fl.Shorthand + ", " + term
		}
		if value != "" {
			term += " " + value
		}
		if d := fl.DefValue; d != "" && d != "false" && d != "0" && d != "0s" && d != "[]" && !strings.Contains(meaning, "(default") {
			meaning += fmt.Sprintf(" (default %s)", d)
		}
		p.item(term, meaning)
	})
}

// exit are the codes of a command: its own, else those of the command above.
func (f Facts) exit(path string) []Fact {
	for {
		if list, ok := f.Exit[path]; ok || path == "" {
			return list
		}
		path = path[:max(strings.LastIndexByte(path, ' '), 0)]
	}
}

func (f Facts) files(c *cobra.Command) []Fact {
	var out []Fact
	c.Flags().VisitAll(func(fl *pflag.Flag) { out = append(out, f.Files[fl.Name]...) })
	return out
}

func (f Facts) also(c *cobra.Command, children []*cobra.Command) []string {
	var out []string
	add := func(page string) {
		if !slices.Contains(out, page) {
			out = append(out, page)
		}
	}
	if c.HasParent() {
		add(pageOf(c.Parent()) + "(" + section + ")")
		add(pageOf(c.Root()) + "(" + section + ")")
	}
	for _, s := range children {
		add(pageOf(s) + "(" + section + ")")
	}
	add("baton.toml(5)")
	for _, page := range append(f.Also[Path(c)], f.Also[""]...) {
		add(page)
	}
	return out
}
