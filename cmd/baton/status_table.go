package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"baton/internal/control"
)

// columns is the width that the table keeps to.
const columns = 80

// table collects the lines of a status.
type table struct {
	b    strings.Builder
	now  time.Time
	zone *time.Location
	p    paint
}

// statusTable renders a status for a person, who reads it at 3 a.m.: first who
// is master and what is wrong, at most 80 columns wide. Times are relative to
// the director's clock.
func statusTable(st control.Status, zone *time.Location, p paint) string {
	t := &table{now: st.Time, zone: zone, p: p}
	t.head(st)
	if len(st.Instances) > 0 {
		t.line(bold, fmt.Sprintf("\n%-15s %-8s %-25s %4s  %s", "INSTANCE", "STATE", "SINCE", "PRIO", "MASTER"))
	}
	for _, i := range st.Instances {
		t.instance(i)
	}
	for _, g := range st.Groups {
		t.group(g)
	}
	t.ipvs(st.IPVS)
	for _, s := range st.Services {
		t.service(s)
	}
	if len(st.Foreign) > 0 {
		t.b.WriteByte('\n')
		t.wrap(yellow, "", "not ours, left alone: "+strings.Join(st.Foreign, ", "))
	}
	return t.b.String()
}

func (t *table) line(c colour, text string) {
	t.b.WriteString(t.p.as(c, strings.TrimRight(text, " ")) + "\n")
}

// wrap writes text as lines of at most 80 columns, those after the first
// indented by two more.
func (t *table) wrap(c colour, indent, text string) {
	prefix := indent
	for words := strings.Fields(clean(text)); len(words) > 0; prefix = indent + "  " {
		line := prefix
		for len(words) > 0 {
			space := 1
			if line == prefix {
				space = 0
			}
			room := columns - width(line) - space
			if width(words[0]) <= room {
				line += strings.Repeat(" ", space) + words[0]
				words = words[1:]
				continue
			}
			if line == prefix { // longer than a line: cut
				r := []rune(words[0])
				line += string(r[:room])
				words[0] = string(r[room:])
			}
			break
		}
		t.line(c, line)
	}
}

func width(s string) int { return utf8.RuneCountInString(s) }

func (t *table) head(st control.Status) {
	left := clean(st.Node)
	right := st.Time.In(t.zone).Format(time.DateTime)
	if gap := columns - width(left) - width(right); gap >= 2 {
		t.b.WriteString(t.p.as(bold, left) + strings.Repeat(" ", gap) + right + "\n")
	} else {
		t.wrap(bold, "", st.Node)
		t.line(plain, strings.Repeat(" ", columns-width(right))+right)
	}

	parts := []string{fmt.Sprintf("baton %s, pid %d, up %s", st.Version, st.PID, t.ago(st.Started))}
	for _, c := range st.Children {
		switch {
		case c.PID == 0:
			parts = append(parts, c.Name+" NOT RUNNING")
		case !c.SilentSince.IsZero():
			parts = append(parts, fmt.Sprintf("%s %d DOES NOT ANSWER for %s", c.Name, c.PID, t.ago(c.SilentSince)))
		case c.Restarts > 0:
			parts = append(parts, fmt.Sprintf("%s %d (%s)", c.Name, c.PID, count(c.Restarts, "restart")))
		default:
			parts = append(parts, fmt.Sprintf("%s %d", c.Name, c.PID))
		}
	}
	colour := plain
	if all := strings.Join(parts, ""); strings.Contains(all, "NOT RUNNING") || strings.Contains(all, "DOES NOT ANSWER") {
		colour = red
	}
	t.wrap(colour, "", strings.Join(parts, ", "))
	t.wrap(plain, "", fmt.Sprintf("%s %s, in force for %s", st.Config.File, clip(st.Config.Hash, 12), t.ago(st.Config.Loaded)))
	if !st.Config.LastOK {
		t.wrap(red, "", fmt.Sprintf("RELOAD REFUSED %s ago, %s; baton check tells all:", t.ago(st.Config.LastReload), count(len(st.Config.Problems), "problem")))
		for i, p := range st.Config.Problems {
			if i == 3 {
				t.line(plain, "  …")
				break
			}
			t.wrap(plain, "  ", strings.Replace(p, st.Config.File, filepath.Base(st.Config.File), 1))
		}
	}
}

// beforeMaster is how wide an instance's line is before its last column.
const beforeMaster = 15 + 1 + 8 + 1 + 25 + 1 + 4 + 2

func (t *table) instance(i control.Instance) {
	state, colour := i.State, plain
	switch {
	case i.State == "MASTER":
		colour = green
	case i.State == "FAULT":
		colour = red
	case !i.Ready:
		colour = yellow
	}
	t.name("", i.Name, 15)
	master := "unknown"
	switch {
	case i.State == "MASTER":
		master = "this node"
	case i.Master != "":
		master = i.Master
		if i.MasterPriority > 0 {
			master += fmt.Sprintf(" (%d)", i.MasterPriority)
		}
	}
	master = clean(master)
	shown := master
	if width(master) > columns-beforeMaster {
		shown = "see below"
	}
	fmt.Fprintf(&t.b, " %s %-25s %4d  %s\n", t.p.as(colour, fmt.Sprintf("%-8s", clean(state))), t.since(i.Since), i.EffectivePriority, shown)
	if shown != master {
		t.wrap(plain, "  ", "master is "+master)
	}
	if i.Reason != "" {
		t.wrap(plain, "  ", "because: "+i.Reason)
	}
	if i.Handover {
		t.wrap(yellow, "  ", "is being handed over")
	}
	if down := i.Interface + " is down"; !i.Link && !strings.Contains(i.Reason, down) {
		t.wrap(red, "  ", down)
	}
	if !i.Ready {
		t.wrap(yellow, "  ", "not ready: "+or(i.NotReady, "reason unknown"))
	}
	if i.EffectivePriority != i.Priority {
		t.wrap(yellow, "  ", fmt.Sprintf("configured priority %d", i.Priority))
	}
	t.tracks(i.Tracks)
	if i.Group != "" {
		t.wrap(plain, "  ", "in group "+i.Group)
	}
	t.wrap(dim, "  ", fmt.Sprintf("%s; VRRPv%d, VRID %d on %s, adverts every %s",
		or(strings.Join(i.Addresses, ", "), "no address"), i.Version, i.VRID, i.Interface, i.AdvertInterval))
}

// group writes a vrrp_sync_group with what its members share.
func (t *table) group(g control.Group) {
	colour := yellow
	switch g.State {
	case "MASTER":
		colour = green
	case "FAULT":
		colour = red
	case "BACKUP":
		colour = plain
	}
	t.b.WriteByte('\n')
	t.wrap(colour, "", "group "+g.Name+" is "+g.State+": "+strings.Join(g.Members, ", "))
	t.tracks(g.Tracks)
}

// tracks writes one line for each thing that is tracked: what fails is red, or
// yellow where it costs priority only.
func (t *table) tracks(tracks []control.Track) {
	for _, k := range tracks {
		colour := dim
		switch {
		case (k.State == "down") == k.Reverse: // it is well
		case k.Weight == 0:
			colour = red
		default:
			colour = yellow
		}
		line := fmt.Sprintf("tracks %s %s: %s", k.Kind, k.Name, k.State)
		if k.Kind == "file" && k.State == "up" {
			line = fmt.Sprintf("tracks file %s: %d", k.Name, k.Value)
			if k.Weight == 0 && (k.Value != 0) != k.Reverse {
				colour = red
			}
		}
		if !k.Since.IsZero() {
			line += " for " + t.ago(k.Since)
		}
		weight := "a failure is a fault"
		if k.Weight != 0 {
			weight = fmt.Sprintf("weight %d", k.Weight)
		}
		if k.Reverse {
			weight += ", reverse"
		}
		line += " (" + weight + ")"
		if k.Reason != "" {
			line += ": " + k.Reason
		}
		t.wrap(colour, "  ", line)
	}
}

// path writes what is wrong with a server's part for the service's address.
func (t *table) path(indent string, p *control.Path) {
	if p == nil || p.State != "broken" {
		return
	}
	t.wrap(yellow, indent, fmt.Sprintf("path %s for %s: %s", p.Reason, t.ago(p.Since), p.Detail))
	t.wrap(yellow, indent, "on the server: "+p.Mend)
}

// name writes a name padded to its column; one that is too long gets a line
// of its own.
func (t *table) name(indent, name string, wide int) {
	name = clean(name)
	if width(name) > wide {
		t.wrap(plain, indent, name)
		name = ""
	}
	t.b.WriteString(indent + name + strings.Repeat(" ", wide-width(name)))
}

// since is "3d4h (11-17 15:04:05)".
func (t *table) since(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s (%s)", t.ago(at), at.In(t.zone).Format("01-02 15:04:05"))
}

// ago is the time since then in two units at most: 3d4h, 5m2s.
func (t *table) ago(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	d := max(0, t.now.Sub(at)).Truncate(time.Second)
	days, hours, minutes, seconds := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case days > 99:
		return fmt.Sprintf("%dd", days)
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
