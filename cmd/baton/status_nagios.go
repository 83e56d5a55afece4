package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baton/internal/control"
)

const (
	// nagiosWithin is less than the ten seconds after which Nagios ends a plugin.
	nagiosWithin = 8 * time.Second
	// maxTold and maxLine bound the line: Nagios reads 4 KiB of it.
	maxTold = 5
	maxTell = 200
)

// nagios prints one line as a monitoring plugin does, and exits with its code.
func nagios(ctx context.Context, cmd *cobra.Command, client *control.Client) error {
	ctx, cancel := context.WithTimeout(ctx, nagiosWithin)
	defer cancel()
	st, err := client.Status(ctx)
	severity, line := control.Unknown, ""
	if err != nil {
		line = pluginText(control.Unknown.String()+" - ", err.Error())
	} else {
		severity, line = nagiosLine(st)
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), line+"\n"); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	if severity == control.OK {
		return nil
	}
	return &failure{code: int(severity)}
}

// nagiosLine is the state, what is wrong, and performance data.
func nagiosLine(st control.Status) (control.Severity, string) {
	found := st.Findings()
	severity := control.OK
	told := []string{fmt.Sprintf("%s: %s", st.Node, wellWords(st))}
	if len(found) > 0 {
		severity, told = found[0].Severity, told[:0]
	}
	for i, f := range found {
		if i == maxTold {
			told = append(told, fmt.Sprintf("and %d more", len(found)-i))
			break
		}
		told = append(told, f.Text)
	}
	return severity, pluginText(severity.String()+" - ", told...) + " | " + perfdata(st)
}

// pluginText joins texts to one line in which nothing looks like performance
// data.
func pluginText(begin string, texts ...string) string {
	for i, s := range texts {
		s = strings.Join(strings.Fields(s), " ")
		if r := []rune(s); len(r) > maxTell {
			s = string(r[:maxTell-1]) + "…"
		}
		texts[i] = strings.ReplaceAll(clean(s), "|", "/")
	}
	return "BATON " + begin + strings.Join(texts, "; ")
}

func wellWords(st control.Status) string {
	n := figuresOf(st)
	return fmt.Sprintf("%s, %d MASTER; %d of %s up", count(len(st.Instances), "instance"), n.masters, n.up, count(n.up+n.down+n.drained+n.unknown, "server"))
}

// figures are counted over all instances and services.
type figures struct {
	masters, faults, up, down, drained, unknown, restarts int
	active, inactive                                      uint64
}

func figuresOf(st control.Status) figures {
	var n figures
	for _, i := range st.Instances {
		switch i.State {
		case "MASTER":
			n.masters++
		case "FAULT":
			n.faults++
		}
	}
	for _, c := range st.Children {
		n.restarts += c.Restarts
	}
	for _, s := range st.Services {
		for _, sv := range s.Servers {
			n.active += sv.Active
			n.inactive += sv.Inactive
			switch {
			case sv.Leaving:
			case sv.State == "up":
				n.up++
			case sv.State == "down":
				n.down++
			case sv.State == "draining" || sv.State == "drained":
				n.drained++
			default:
				n.unknown++
			}
		}
	}
	return n
}

// perfdata is 'label'=value[unit];warn;crit;min;max, as far as it is known.
func perfdata(st control.Status) string {
	n := figuresOf(st)
	all := n.up + n.down + n.drained + n.unknown
	return fmt.Sprintf("masters=%d;;;0;%d faults=%d;;0;0;%d servers_up=%d;;;0;%d servers_down=%d;0;;0;%d servers_drained=%d;0;;0;%d child_restarts=%dc active_conns=%d;;;0 inactive_conns=%d;;;0",
		n.masters, len(st.Instances), n.faults, len(st.Instances), n.up, all, n.down, all, n.drained, all, n.restarts, n.active, n.inactive)
}
