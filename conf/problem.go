package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a problem refuses the file.
type Severity string

// The severities. One problem of severity error refuses the whole file; a
// warning is told and the file takes effect.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// maxProblems bounds what one file can make us say: whoever generated 50,000
// wrong lines mends the generator, not the lines.
const maxProblems = 500

// Problem is one mistake in a configuration file: where it stands, what it is
// and what to write instead.
type Problem struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file"`   // as it was given to Load or Parse
	Line     int      `json:"line"`   // from 1
	Column   int      `json:"column"` // from 1, in bytes
	Key      string   `json:"key"`    // virtual_server[1].real_server[0].weight; empty for the file itself
	Message  string   `json:"message"`
	Remedy   string   `json:"remedy"`
}

// String renders FILE:LINE:COL: key: message (remedy), the form that editors
// jump to. A warning says so after the position.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Remedy != "" {
		b.WriteString(" (" + p.Remedy + ")")
	}
	return b.String()
}

// Problems is everything that is wrong with one file, ordered by position.
// As an error it holds at least one problem of severity error.
type Problems []Problem

// Error renders one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Errors returns the problems that refuse the file.
func (ps Problems) Errors() Problems { return ps.only(SeverityError) }

// Warnings returns the problems that do not.
func (ps Problems) Warnings() Problems { return ps.only(SeverityWarning) }

func (ps Problems) only(s Severity) Problems {
	var out Problems
	for _, p := range ps {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// arranged orders the problems by position, drops repetitions and cuts the
// list at maxProblems. more were found but not kept.
func (ps Problems) arranged(more int) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			strings.Compare(a.Key, b.Key), strings.Compare(a.Message, b.Message))
	})
	ps = slices.Compact(ps)
	if len(ps) <= maxProblems {
		return ps
	}
	rest := len(ps) - maxProblems + more
	// A cut must not turn a refused file into one with warnings only.
	if len(ps[:maxProblems].Errors()) == 0 && len(ps.Errors()) > 0 {
		ps = ps.Errors()
	}
	last := ps[min(len(ps), maxProblems)-1]
	ps = slices.Clone(ps[:min(len(ps), maxProblems)])
	return append(ps, Problem{
		Severity: last.Severity, File: last.File, Line: last.Line, Column: last.Column,
		Message: fmt.Sprintf("%d more problems follow", rest),
		Remedy:  "mend the ones above first",
	})
}
