package director

import (
	"context"
	"maps"
	"slices"
	"time"

	"baton/internal/control"
	"baton/internal/event"
)

// levels say from which level on a subsystem is logged: the configuration's
// log_level, or what an operator has asked for meanwhile. They belong to the core.
type levels struct {
	base event.Level
	set  map[event.Subsystem]levelSet
}

// levelSet is an operator's level.
type levelSet struct {
	level event.Level
	until time.Time // zero: as long as the director runs
}

func (l *levels) of(s event.Subsystem) event.Level {
	if set, ok := l.set[s]; ok {
		return set.level
	}
	return l.base
}

// debug says whether what is traced of a subsystem is told.
func (l *levels) debug(s event.Subsystem) bool { return l.of(s) == event.LevelDebug }

// shows says whether an event is logged.
func (l *levels) shows(e event.Event) bool {
	return slices.Index(event.Levels, e.Level) >= slices.Index(event.Levels, l.of(event.SubsystemOf(e.Name)))
}

// relevel changes levels, tells what that has changed and has the children trace
// or not.
func (c *core) relevel(why string, change func(*levels)) {
	before := levels{c.levels.base, maps.Clone(c.levels.set)}
	change(&c.levels)
	for _, s := range event.Subsystems {
		if from, to := before.of(s), c.levels.of(s); from != to {
			c.say(event.LogLevel, event.F(event.Part, s), event.F(event.From, from), event.F(event.To, to), event.F(event.Reason, why))
		}
	}
	if before.debug(event.VRRP) != c.levels.debug(event.VRRP) {
		c.traceSpeaker()
	}
	if before.debug(event.Checks) != c.levels.debug(event.Checks) {
		c.traceProber()
	}
}

func (c *core) traceSpeaker() {
	c.speaker.send(kindTrace, string(kindTrace), c.levels.debug(event.VRRP))
}

func (c *core) traceProber() {
	c.prober.send(kindTrace, string(kindTrace), c.levels.debug(event.Checks))
}

// expireLevels takes back what was asked for a time that is over.
func (c *core) expireLevels(now time.Time) {
	for _, s := range event.Subsystems {
		if set, ok := c.levels.set[s]; ok && !set.until.IsZero() && !now.Before(set.until) {
			c.relevel("its time is over", func(l *levels) { delete(l.set, s) })
		}
	}
}

// lostEvery is how often it is told at most that log lines were dropped.
const lostEvery = time.Minute

// tellLost tells of lines that a reader of the log, who did not keep up, has not
// got. The journal has them, and has this too.
func (c *core) tellLost(now time.Time) {
	if now.Sub(c.lostTold) < lostEvery {
		return
	}
	if n := c.log.out.lost(); n > 0 {
		c.lostTold = now
		c.say(event.LogDropped, event.F(event.Count, n))
	}
}

// Log says which levels are in force.
func (c *core) Log(ctx context.Context) (control.Log, error) {
	var out control.Log
	err := c.ask(ctx, func() { out = c.logLevels() })
	return out, err
}

// SetLog puts levels in force that an operator has asked for.
func (c *core) SetLog(ctx context.Context, req control.LogRequest) (control.Log, error) {
	var out control.Log
	err := c.ask(ctx, func() {
		why, until := "baton log", time.Time{}
		if d := req.Duration(); d > 0 {
			why, until = "baton log for "+d.String(), time.Now().Add(d)
		}
		c.relevel(why, func(l *levels) {
			for s, level := range req.Levels {
				if level == control.DefaultLevel {
					delete(l.set, event.Subsystem(s))
					continue
				}
				l.set[event.Subsystem(s)] = levelSet{event.Level(level), until}
			}
		})
		out = c.logLevels()
	})
	return out, err
}

func (c *core) logLevels() control.Log {
	out := control.Log{Level: string(c.levels.base), Time: time.Now()}
	for _, s := range event.Subsystems {
		out.Subsystems = append(out.Subsystems, control.LogLevel{Subsystem: string(s), Level: string(c.levels.of(s)), Until: c.levels.set[s].until})
	}
	return out
}
