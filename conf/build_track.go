package conf

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"baton/vrrp"
)

// definition is a vrrp_script, vrrp_track_file or vrrp_track_process, as
// whoever tracks it sees it.
type definition struct {
	weight *nodeValue[int]
	path   string
	used   bool
}

// definitions notes the names of what can be tracked.
func (b *builder) definitions() {
	b.scripts, b.files, b.processes = map[string]*definition{}, map[string]*definition{}, map[string]*definition{}
	names := map[string]string{}
	for i := range b.raw.Scripts {
		if r := &b.raw.Scripts[i]; b.unique(&r.Name, "vrrp_script", names) {
			b.scripts[r.Name.v] = &definition{weight: &r.Weight, path: r.path}
		}
	}
	names = map[string]string{}
	for i := range b.raw.TrackFiles {
		if r := &b.raw.TrackFiles[i]; b.unique(&r.Name, "vrrp_track_file", names) {
			b.files[r.Name.v] = &definition{weight: &r.Weight, path: r.path}
		}
	}
	names = map[string]string{}
	for i := range b.raw.TrackProcesses {
		if r := &b.raw.TrackProcesses[i]; b.unique(&r.Name, "vrrp_track_process", names) {
			b.processes[r.Name.v] = &definition{weight: &r.Weight, path: r.path}
		}
	}
}

// tracks reads the track_ keys of an instance, or of a sync group with a
// member vi that is an owner.
func (b *builder) tracks(r *rawTracks, cfg *Config, vi *rawInstance) []vrrp.Track {
	var out []vrrp.Track
	for _, l := range []struct {
		kind  vrrp.TrackKind
		table string
		known map[string]*definition
		list  []rawTrack
	}{
		{vrrp.TrackInterface, "", nil, r.TrackInterface},
		{vrrp.TrackScript, "vrrp_script", b.scripts, r.TrackScript},
		{vrrp.TrackFile, "vrrp_track_file", b.files, r.TrackFile},
		{vrrp.TrackProcess, "vrrp_track_process", b.processes, r.TrackProcess},
		{vrrp.TrackVirtualServer, "", nil, r.TrackVirtualServer},
	} {
		for i := range l.list {
			rt := &l.list[i]
			t := vrrp.Track{Kind: l.kind, Name: rt.Name.get(b.node), Weight: rt.Weight.get(b.node), Reverse: rt.Reverse.get(b.node)}
			if !rt.Name.given(b.node) {
				continue
			}
			at := rt.Name.at(b.node)
			switch {
			case l.kind == vrrp.TrackVirtualServer:
				var ok bool
				if t.Name, ok = b.service(at, t.Name, cfg); !ok {
					continue
				}
			case strings.ContainsAny(t.Name, " \t"):
				b.errorf(at, "%q is not a name", clip(t.Name)).remedy("write a table: %s", trackTable(t.Name))
				continue
			case l.kind == vrrp.TrackInterface:
				if !b.interfaceName(at, t.Name) {
					continue
				}
			default:
				d := l.known[t.Name]
				if d == nil {
					b.missing(at, l.table, t.Name, slices.Collect(maps.Keys(l.known)))
					continue
				}
				d.used = true
				if !rt.Weight.set {
					t.Weight = d.weight.get(b.node)
				}
			}
			if slices.ContainsFunc(out, func(o vrrp.Track) bool { return o.Key() == t.Key() }) {
				b.errorf(at, "%s is tracked here already", t.Name).remedy("remove one of the two")
				continue
			}
			b.bearing(rt, t, vi)
			out = append(out, t)
		}
	}
	return out
}

// trackTable guesses the table that keepalived's "name weight -20 reverse" means.
func trackTable(s string) string {
	f := strings.Fields(s + " …")
	table := fmt.Sprintf("{ name = %q", clip(f[0]))
	if len(f) > 3 && f[1] == "weight" {
		table += ", weight = " + clip(f[2])
	}
	if slices.Contains(f, "reverse") {
		table += ", reverse = true"
	}
	return table + " }"
}

// bearing checks that what is tracked can have an effect on the instance.
func (b *builder) bearing(rt *rawTrack, t vrrp.Track, vi *rawInstance) {
	if vi == nil {
		return
	}
	at := rt.Name.at(b.node)
	if rt.Weight.given(b.node) {
		at = rt.Weight.at(b.node)
	}
	if t.Weight != 0 && vi.Priority.ok(b.node) && vi.Priority.get(b.node) == vrrp.PriorityOwner {
		b.errorf(at, "weight %d would change the priority of an owner, which is 255 always", t.Weight).
			remedy("use weight = 0, with which a failure is a fault, or a priority of 254 at most")
	}
	if _, grouped := b.members[vi.Name.v]; grouped && t.Weight != 0 && vi.owns(rt) {
		b.warnf(at, "weight %d moves this member of a vrrp_sync_group alone", t.Weight).
			remedy("track it in the vrrp_sync_group, or use weight = 0")
	}
	if t.Kind == vrrp.TrackInterface && t.Name == vi.Interface.get(b.node) && vi.owns(rt) {
		b.warnf(at, "%s is the instance's own interface, which is tracked anyway", t.Name).remedy("remove it here")
	}
}

// owns says whether the reference stands in the instance itself.
func (r *rawInstance) owns(rt *rawTrack) bool { return strings.HasPrefix(rt.path, r.path+".") }

// service finds the virtual_server that track_virtual_server names by its
// address, with the protocol before it where two have the same.
func (b *builder) service(at, name string, cfg *Config) (string, bool) {
	protocol, address, ok := strings.Cut(name, " ")
	if !ok {
		protocol, address = "", name
	}
	var found, known []string
	look := func(service string) {
		p, a, _ := strings.Cut(service, " ")
		if a == address && (protocol == "" || strings.EqualFold(protocol, p)) {
			found = append(found, service)
		}
		known = append(known, a)
	}
	for _, s := range cfg.Services {
		look(s.Name)
	}
	for _, s := range b.rest {
		look(s.name)
	}
	switch len(found) {
	case 0:
		b.missing(at, "virtual_server", name, known)
	case 1:
		return found[0], true
	default:
		b.errorf(at, "%s is the address of %s", clip(name), strings.Join(found, " and of ")).remedy("write %q", found[0])
	}
	return "", false
}

// tracked reads the definitions; those that nothing tracks are left out, as in
// keepalived.
func (b *builder) tracked(cfg *Config) {
	unused := func(d *definition, kind, key string) bool {
		if d != nil && !d.used {
			b.warnf(d.path, "nothing tracks this %s, so it is not looked at", kind).remedy("name it in a %s", key)
		}
		return d == nil || !d.used
	}
	for i := range b.raw.Scripts {
		r := &b.raw.Scripts[i]
		if s := b.script(r); !unused(b.scripts[r.Name.v], "vrrp_script", "track_script") {
			cfg.Scripts = append(cfg.Scripts, s)
		}
	}
	for i := range b.raw.TrackFiles {
		r := &b.raw.TrackFiles[i]
		f := TrackFile{Name: r.Name.v, Path: r.File.get(b.node), Interval: r.Interval.get(b.node).std()}
		if r.File.given(b.node) {
			f.Path = b.directory(&r.File)
		}
		if !unused(b.files[r.Name.v], "vrrp_track_file", "track_file") {
			cfg.Files = append(cfg.Files, f)
		}
	}
	for i := range b.raw.TrackProcesses {
		r := &b.raw.TrackProcesses[i]
		if p := b.process(r); !unused(b.processes[r.Name.v], "vrrp_track_process", "track_process") {
			cfg.Processes = append(cfg.Processes, p)
		}
	}
}

func (b *builder) script(r *rawScript) TrackScript {
	s := TrackScript{
		Name:     r.Name.v,
		Command:  Command{Args: r.Script.get(b.node), Timeout: r.Timeout.get(b.node).std()},
		Interval: r.Interval.get(b.node).std(),
		Rise:     r.Rise.get(b.node),
		Fall:     r.Fall.get(b.node),
	}
	s.Command.User, s.Command.Group = b.userOf(&r.User)
	switch {
	case !r.Timeout.set:
		s.Command.Timeout = s.Interval
	case r.Timeout.ok(b.node) && s.Command.Timeout > s.Interval:
		b.warnf(r.Timeout.at(b.node), "%s is longer than interval, %s: a script that hangs delays its next run", format(s.Command.Timeout), format(s.Interval)).
			remedy("use %s at most", format(s.Interval))
	}
	return s
}

func (b *builder) process(r *rawTrackProcess) TrackProcess {
	p := TrackProcess{
		Name:           r.Name.v,
		Process:        r.Process.get(b.node),
		Args:           r.Args.get(b.node),
		Quorum:         r.Quorum.get(b.node),
		QuorumMax:      r.QuorumMax.get(b.node),
		Delay:          r.Delay.get(b.node).std(),
		TerminateDelay: chosen(b.node, &r.TerminateDelay, &r.Delay).std(),
		Interval:       r.Interval.get(b.node).std(),
	}
	if r.QuorumMax.given(b.node) && p.QuorumMax < p.Quorum {
		b.errorf(r.QuorumMax.at(b.node), "%d is less than quorum, %d", p.QuorumMax, p.Quorum).
			remedy("use %d or more; what must not run is tracked with reverse = true", p.Quorum)
	}
	if !r.Process.given(b.node) {
		return p
	}
	at := r.Process.at(b.node)
	switch words := strings.Fields(p.Process); {
	case len(words) == 0:
		b.errorf(at, "is empty").remedy("name a program, as in process = \"haproxy\"")
	case len(words) > 1:
		b.errorf(at, "%q has blanks in it: the name of a program is wanted", clip(p.Process)).
			remedy("write process = %q and args = [%s]", clip(words[0]), clip(quoteAll(words[1:])))
	case strings.Contains(p.Process, "/") && !filepath.IsAbs(p.Process):
		b.errorf(at, "%q is neither a name nor an absolute path", clip(p.Process)).remedy("write %q", clip(filepath.Base(p.Process)))
	}
	return p
}

func quoteAll(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(out, ", ")
}
