package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/settings"
	"baton/ipvs"
)

// Situation is what a plan starts from.
type Situation struct {
	Time     time.Time
	Table    ipvs.Table
	Owned    ipvs.Ownership
	Status   *control.Status // nil: no director runs
	Network  Network         // read where a director runs
	Settings settings.State
	Record   settings.Record
}

// Plan is the way from a situation to a configuration.
type Plan struct {
	Commands []string // for a shell, in the order in which they are to be run
	Notes    []string // what is to be known about them
}

type planner struct {
	now      Situation
	services []control.Service // the director's, under the names that they will have
	out      Plan
}

func (p *planner) note(format string, args ...any) {
	p.out.Notes = append(p.out.Notes, fmt.Sprintf(format, args...))
}

// Make plans. Addresses appear first and disappear last, as the director does
// it. Synchronisation daemons stop before and start behind the changes of the
// table: while one runs no service may have servers of another family.
func Make(cfg *conf.Config, now Situation) Plan {
	p := planner{now: now}
	set, start := p.settings(cfg)
	add, remove := p.network(cfg)
	var table []string
	for _, op := range ipvs.Plan(p.table(cfg), now.Table, now.Owned) {
		table = append(table, op.String())
	}
	p.out.Commands = slices.Concat(set, add, table, start, remove)
	return p.out
}

func (p *planner) settings(cfg *conf.Config) (set, start []string) {
	s := settings.Plan(cfg.IPVS, p.now.Settings, p.now.Record)
	for _, op := range s.Ops {
		if op.Kind == settings.StartDaemon {
			start = append(start, op.String())
		} else {
			set = append(set, op.String())
		}
	}
	for _, b := range s.Blocked {
		p.note("%s", b)
	}
	for _, f := range s.Foreign {
		p.note("%s is not ours and left alone", f)
	}
	return set, start
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
