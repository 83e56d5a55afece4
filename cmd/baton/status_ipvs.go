package main

import (
	"fmt"
	"strings"

	"baton/internal/control"
)

// ipvs writes what concerns IPVS as a whole: one line for the synchronisation
// of connections, one for the rest, and what is wrong in red.
func (t *table) ipvs(s *control.IPVS) {
	if s == nil || len(s.Daemons)+len(s.Sysctls) == 0 && s.Problem == "" {
		return
	}
	t.b.WriteByte('\n')
	for _, d := range s.Daemons {
		line := fmt.Sprintf("connection sync %s on %s, syncid %d", d.Role, d.Interface, d.SyncID)
		switch {
		case !d.Running:
			t.wrap(red, "", line+" DOES NOT RUN")
		case !d.Configured:
			t.wrap(yellow, "", line+" runs; it is not ours, left alone")
		default:
			t.wrap(plain, "", line+fmt.Sprintf(" runs (group %s, port %d)", d.Group, d.Port))
		}
	}
	var set []string
	for _, v := range s.Sysctls {
		word := v.Name + " " + or(v.Value, "missing")
		if v.Value != "" && v.Value != v.Configured {
			word += " (configured " + v.Configured + ")"
		}
		set = append(set, word)
	}
	if len(set) > 0 {
		t.wrap(dim, "", "net.ipv4.vs: "+strings.Join(set, ", "))
	}
	for line := range strings.SplitSeq(s.Problem, "\n") {
		t.wrap(red, "  ", line)
	}
}
