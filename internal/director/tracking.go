package director

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/pool"
	"baton/internal/track"
	"baton/vrrp"
)

// trackState is what is known of something that elections track.
type trackState struct {
	vrrp.TrackState
	known bool // else the state is what counts until the first answer
	since time.Time
}

// word is the state in a line of the log.
func (t trackState) word(key string) string {
	if t.known && strings.HasPrefix(key, string(vrrp.TrackFile)+"/") {
		return strconv.Itoa(t.Value)
	}
	return stateWord(t)
}

// trackFact is what the prober reports of something tracked.
type trackFact struct {
	Key   string      `json:"key"`
	State track.State `json:"state"`
}

// wanted returns the keys of all that some instance or group tracks. What
// nobody tracks is not looked at, as in keepalived.
func wanted(cfg *conf.Config) map[string]bool {
	keys := map[string]bool{}
	for _, vi := range cfg.Instances {
		for _, t := range vi.Track {
			keys[t.Key()] = true
		}
	}
	for _, g := range cfg.SyncGroups {
		for _, t := range g.Track {
			keys[t.Key()] = true
		}
	}
	return keys
}

// trackSpecs divides what is watched: the prober, which holds no privilege,
// watches all but the scripts of other users than its own, which a reload does not
// change.
func (c *core) trackSpecs(cfg *conf.Config) (prober, own track.Specs) {
	proberUser := c.started.ProberUser
	want := wanted(cfg)
	for _, s := range cfg.Scripts {
		sp := track.Script{Name: s.Name, Args: s.Command.Args, User: s.Command.User, Group: s.Command.Group,
			Interval: s.Interval, Timeout: s.Command.Timeout, Rise: s.Rise, Fall: s.Fall}
		switch {
		case !want[sp.Key()]:
		case sp.Group == "" && (sp.User == "" || sp.User == proberUser):
			sp.User = ""
			prober.Scripts = append(prober.Scripts, sp)
		default:
			if sp.User == "" {
				sp.User = proberUser
			}
			own.Scripts = append(own.Scripts, sp)
		}
	}
	for _, f := range cfg.Files {
		if sp := (track.File{Name: f.Name, Path: f.Path, Interval: f.Interval}); want[sp.Key()] {
			prober.Files = append(prober.Files, sp)
		}
	}
	for _, p := range cfg.Processes {
		sp := track.Process{Name: p.Name, Process: p.Process, Args: p.Args, Quorum: p.Quorum, QuorumMax: p.QuorumMax,
			Delay: p.Delay, TerminateDelay: p.TerminateDelay, Interval: p.Interval}
		if want[sp.Key()] {
			prober.Processes = append(prober.Processes, sp)
		}
	}
	return prober, own
}

// knownTracks is what whoever begins to watch starts from.
func (c *core) knownTracks() map[string]track.State {
	out := map[string]track.State{}
	for key, t := range c.tracks {
		if t.known {
			out[key] = track.State(t.TrackState)
		}
	}
	return out
}

// trackStates is what the election is told. What has not answered is missing.
func (c *core) trackStates() map[string]vrrp.TrackState {
	out := make(map[string]vrrp.TrackState, len(c.tracks))
	for key, t := range c.tracks {
		out[key] = t.TrackState
	}
	return out
}

// gotTrack takes over the state of something tracked.
func (c *core) gotTrack(key string, s track.State) {
	if wanted(c.cfg)[key] && c.setTrack(key, trackState{TrackState: vrrp.TrackState(s), known: true}, time.Now()) {
		c.sendTrack()
	}
}

// setTrack notes a state, tells a change, and says whether the election is
// concerned.
func (c *core) setTrack(key string, is trackState, now time.Time) bool {
	was, seen := c.tracks[key]
	is.since = was.since
	from, to := was.word(key), is.word(key)
	if from != to || !seen {
		is.since = now
	}
	c.tracks[key] = is
	if from != to {
		c.say(event.TrackChanged, event.F(event.Track, key), event.F(event.From, from), event.F(event.To, to), event.F(event.Reason, is.Reason))
	}
	return !seen || from != to || was.TrackState != is.TrackState
}

func (c *core) sendTrack() {
	c.speaker.send(kindTrack, string(kindTrack), c.trackStates())
	c.askStatus()
}

// askStatus has the speaker say what it is at: the priority that a notify
// script is told comes from its last answer.
func (c *core) askStatus() { c.speaker.send(kindStatus, string(kindStatus), nil) }

// forgetTracks drops the states of what is tracked no more.
func (c *core) forgetTracks() {
	want := wanted(c.cfg)
	for key := range c.tracks {
		if !want[key] {
			delete(c.tracks, key)
		}
	}
}

// settleServiceTracks brings the tracked virtual servers in line with their
// quorums, and says whether the election is concerned.
func (c *core) settleServiceTracks(now time.Time) bool {
	changed := false
	for _, s := range c.list {
		changed = c.settleTrack(s, now) || changed
	}
	return changed
}

func (c *core) settleTrack(s *service, now time.Time) bool {
	if s.track == "" {
		return false
	}
	return c.setTrack(s.track, serviceTrack(s, c.tracks[s.track], now.Sub(c.loaded) >= c.cfg.Global.StartupDelayMax), now)
}

// serviceTrack says whether a service has its quorum, as far as an election is
// concerned. While that is not decided it may still be serving: then what was
// known of it counts; and when nothing was, it counts as up, for the ready gate
// keeps a director that has just started from becoming master anyway. Waited
// says that the time of the gate is over.
func serviceTrack(s *service, was trackState, waited bool) trackState {
	say := func(up, known bool, reason string) trackState {
		return trackState{TrackState: vrrp.TrackState{Up: up, Reason: reason}, known: known}
	}
	unknown := 0
	for _, sv := range s.state.Servers {
		if sv.Health.State == healthcheck.Unknown {
			unknown++
		}
	}
	switch {
	case s.state.Quorum != pool.Undecided:
		return say(s.state.Quorum == pool.Gained, true, quorumReason(s))
	case was.known:
		return was
	case waited:
		return say(false, true, fmt.Sprintf("%s unknown when startup_delay_max had passed", plural(unknown, "server")))
	}
	return say(true, false, fmt.Sprintf("the checks of %s have not answered yet", plural(unknown, "server")))
}

// tracksOf returns what bears on an instance: its own tracks and those of its
// group.
func tracksOf(vi vrrp.Config, groups []vrrp.SyncGroup) []vrrp.Track {
	out := slices.Clone(vi.Track)
	for _, g := range groups {
		if slices.Contains(g.Members, vi.Name) {
			out = append(out, g.Track...)
		}
	}
	return out
}

// tellTrouble writes what a watcher has told that is no change of state.
func tellTrouble(say func(event.Name, ...event.Field), t track.Trouble) {
	took := ""
	if t.Took > 0 {
		took = round(t.Took)
	}
	key, reason := event.F(event.Track, t.Key), event.F(event.Reason, t.Reason)
	switch t.Kind {
	case track.Failed:
		say(event.ScriptFailed, key, reason, event.F(event.Took, took), event.F(event.Detail, t.Detail))
	case track.Late:
		say(event.ScriptLate, key, reason, event.F(event.Count, t.Count), event.F(event.Took, took))
	case track.Unreadable:
		say(event.TrackUnreadable, key, reason)
	}
}
