package director

import (
	"context"
	"iter"
	"maps"
	"os"
	"slices"
	"time"

	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
	"baton/ipvs"
	"baton/vrrp"
)

// statusWithin bounds how long a status waits for the speaker's answer. Without
// one the last known facts are shown.
const statusWithin = time.Second

// Status gathers what is known now.
func (c *core) Status(ctx context.Context) (control.Status, error) {
	answered := make(chan struct{})
	if err := c.ask(ctx, func() {
		c.speaker.question(kindStatus, answered)
		c.prog.poke() // for fresh counters; shown with the next status
	}); err != nil {
		return control.Status{}, err
	}
	answers(ctx, answered)
	var st control.Status
	err := c.ask(ctx, func() { st = c.status() })
	return st, err
}

// answers waits until all have answered, but no longer than statusWithin.
func answers(ctx context.Context, answered ...<-chan struct{}) {
	late := after(statusWithin)
	for _, a := range answered {
		select {
		case <-a:
		case <-late:
			return
		case <-ctx.Done():
			return
		}
	}
}

// gotStatus takes over the speaker's answer.
func (c *core) gotStatus(f speakerFacts) {
	c.statuses = f.Instances
	c.speakerFacts = &f
	for _, s := range f.Instances {
		in := c.instances[s.Config.Name]
		if in == nil {
			continue
		}
		if in.cfg.Priority == s.Config.Priority {
			in.effective = s.EffectivePriority
		}
		// Two reloads, of which one drops an instance and the other brings it back,
		// may reach the speaker as one, to which nothing has changed.
		if in.role == "" && s.Role != "" {
			in.role = s.Role
			c.tellRoles()
		}
	}
	c.speaker.answered()
}

func (c *core) status() control.Status {
	st := control.Status{
		Version: c.opts.Version, Node: c.cfg.Global.RouterID, PID: os.Getpid(), Started: c.begun, Time: time.Now(),
		Config: control.Config{File: c.opts.ConfigFile, Hash: c.cfg.Hash, Loaded: c.loaded,
			LastReload: c.lastReload, LastOK: c.lastOK, Problems: c.problems},
		Children: []control.Child{c.speaker.status("speaker"), c.prober.status("prober")},
	}
	byName := map[string]vrrp.Status{}
	for _, s := range c.statuses {
		byName[s.Config.Name] = s
	}
	for _, name := range c.instanceNames() {
		st.Instances = append(st.Instances, c.instanceStatus(name, byName[name]))
	}
	for _, g := range c.cfg.SyncGroups {
		st.Groups = append(st.Groups, c.groupStatus(g))
	}
	for _, s := range c.list {
		st.Services = append(st.Services, c.serviceStatus(s))
	}
	for _, k := range slices.SortedFunc(maps.Keys(c.leaving), ipvs.ServiceKey.Compare) {
		if c.keyed[k] == nil {
			st.Services = append(st.Services, c.goneStatus(k, c.leaving[k]))
		}
	}
	st.IPVS = c.ipvsStatus()
	for k := range c.foreign {
		st.Foreign = append(st.Foreign, k.String())
	}
	return st
}

func (l *link) status(name string) control.Child {
	return control.Child{Name: name, PID: l.pid, Started: l.started, Restarts: l.deaths, SilentSince: l.silentSince()}
}

// instanceStatus joins what the director knows with the speaker's last answer.
func (c *core) instanceStatus(name string, s vrrp.Status) control.Instance {
	in := c.instances[name]
	out := control.Instance{
		Name: name, Interface: in.cfg.Interface, VRID: in.cfg.VRID, Version: int(in.cfg.Version),
		State: string(roleWord(in.role)), Priority: in.cfg.Priority, EffectivePriority: in.cfg.Priority,
		Ready: in.ready, NotReady: in.waits, AdvertInterval: in.cfg.AdvertInterval.String(),
	}
	for _, a := range in.cfg.Addresses {
		out.Addresses = append(out.Addresses, a.Prefix.String())
	}
	for _, g := range c.cfg.SyncGroups {
		if slices.Contains(g.Members, name) {
			out.Group = g.Name
		}
	}
	out.Tracks = c.trackStatus(in.cfg.Track)
	if s.Config.Name == "" {
		return out
	}
	out.State = string(roleWord(s.Role))
	out.Since, out.Reason, out.Link, out.Handover = s.Since, s.Reason, s.Link, s.Handover
	out.EffectivePriority = s.EffectivePriority
	if s.Master.IsValid() {
		out.Master, out.MasterPriority = s.Master.String(), s.MasterPriority
	}
	out.Sent, out.Received, out.Transitions = s.Sent, s.Received, s.Transitions
	out.Dropped = s.Dropped
	return out
}

// groupStatus says what the members of a group have in common.
func (c *core) groupStatus(g vrrp.SyncGroup) control.Group {
	out := control.Group{Name: g.Name, State: "changing", Members: g.Members, Tracks: c.trackStatus(g.Track)}
	if role, settled := groupRole(c.rolesOf(g)); settled {
		out.State = string(role)
	}
	return out
}

func (c *core) trackStatus(tracks []vrrp.Track) []control.Track {
	var out []control.Track
	for _, t := range tracks {
		is := c.tracks[t.Key()]
		if t.Kind == vrrp.TrackInterface {
			is = c.linkState(t)
		}
		out = append(out, control.Track{Kind: string(t.Kind), Name: t.Name, Weight: t.Weight, Reverse: t.Reverse,
			State: stateWord(is), Value: is.Value, Since: is.since, Reason: is.Reason})
	}
	return out
}

// linkState is what the speaker said last of a tracked interface, which it
// watches itself.
func (c *core) linkState(t vrrp.Track) trackState {
	for _, s := range c.statuses {
		for _, k := range s.Tracks {
			if k.Key() == t.Key() && k.State != string(healthcheck.Unknown) {
				return trackState{TrackState: vrrp.TrackState{Up: k.State == string(healthcheck.Up), Reason: k.Reason}, known: true}
			}
		}
	}
	return trackState{}
}

// stateWord is up, down or unknown.
func stateWord(t trackState) string {
	switch {
	case !t.known:
		return string(healthcheck.Unknown)
	case t.Up:
		return string(healthcheck.Up)
	}
	return string(healthcheck.Down)
}

// Events returns what the journal holds from since on.
func (c *core) Events(since time.Time) iter.Seq[event.Event] { return c.journal.Past(since) }

// Follow delivers events until ctx ends.
func (c *core) Follow(ctx context.Context) <-chan event.Event { return c.journal.Follow(ctx) }
