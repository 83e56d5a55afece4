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
	now Situation
	out Plan
}

func (p *planner) note(format string, args ...any) {
	p.out.Notes = append(p.out.Notes, fmt.Sprintf(format, args...))
}

// Make plans. Addresses appear first and disappear last, as the director does
// it.
func Make(cfg *conf.Config, now Situation) Plan {
	p := planner{now: now}
	p.settings(cfg)
	add, remove := p.network(cfg)
	p.out.Commands = append(p.out.Commands, add...)
	for _, op := range ipvs.Plan(p.table(cfg), now.Table, now.Owned) {
		p.out.Commands = append(p.out.Commands, op.String())
	}
	p.out.Commands = append(p.out.Commands, remove...)
	return p.out
}

func (p *planner) settings(cfg *conf.Config) {
	s := settings.Plan(cfg.IPVS, p.now.Settings, p.now.Record)
	for _, op := range s.Ops {
		p.out.Commands = append(p.out.Commands, op.String())
	}
	for _, b := range s.Blocked {
		p.note("%s", b)
	}
	for _, f := range s.Foreign {
		p.note("%s is not ours and left alone", f)
	}
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
