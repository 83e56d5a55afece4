package conf

import (
	"fmt"
	"slices"
	"strings"
)

// ChangeKind is what happened to an object.
type ChangeKind string

// The kinds.
const (
	Added   ChangeKind = "added"
	Changed ChangeKind = "changed"
	Deleted ChangeKind = "deleted"
)

// Change is one difference between two configurations.
type Change struct {
	Kind    ChangeKind `json:"kind"`
	Object  string     `json:"object"`            // vrrp_instance VI_1, virtual_server tcp 192.168.16.200:80, …
	Detail  string     `json:"detail"`            // "priority 150 -> 100", or what was added
	Restart bool       `json:"restart,omitempty"` // takes effect only when Baton is started again
}

// String is the line of `baton reload`.
func (c Change) String() string {
	s := c.Object + ": " + string(c.Kind)
	if c.Kind == Changed {
		s = c.Object
	}
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	if c.Restart {
		s += " (takes effect at the next start)"
	}
	return s
}

// Changes is everything that differs, in the order of the new file, what was
// deleted after what stands in it. The numbers count List by kind.
type Changes struct {
	Added   int      `json:"added"`
	Changed int      `json:"changed"`
	Deleted int      `json:"deleted"`
	List    []Change `json:"list"`
}

// Lines returns one line for each change; none for equal configurations.
func (cs Changes) Lines() []string {
	out := make([]string, len(cs.List))
	for i, c := range cs.List {
		out[i] = c.String()
	}
	return out
}

// String is Lines, joined.
func (cs Changes) String() string { return strings.Join(cs.Lines(), "\n") }

func (cs *Changes) note(c Change) {
	cs.List = append(cs.List, c)
	switch c.Kind {
	case Added:
		cs.Added++
	case Changed:
		cs.Changed++
	case Deleted:
		cs.Deleted++
	}
}

// Diff tells what a reload from old to next changes. Objects are matched by
// name: a vrrp_instance and whatever else has one by its name, a virtual_server
// by its first address or its group, a real_server by its address within its service. Order means nothing. A nil
// old is a configuration without objects.
func Diff(old, next *Config) Changes {
	var cs Changes
	if old != nil {
		cs.compare("global", old.Global.facts(), next.Global.facts())
		cs.compare("ipvs", old.IPVS.facts(), next.IPVS.facts())
	} else {
		old = &Config{}
	}
	cs.vrrp(old, next)
	cs.services(differing(old.Services, next.Services))
	return cs
}

// First is Diff from nothing, of which everything is counted but List goes on
// only until it has so many objects: what ten thousand servers are need not be
// written out for one line of a log.
func First(cfg *Config, listed int) Changes {
	var cs Changes
	cs.vrrp(&Config{}, cfg)
	for i := range cfg.Services {
		if len(cs.List) < listed {
			cs.add(Added, serviceObject(&cfg.Services[i]))
		} else {
			cs.Added += 1 + len(cfg.Services[i].Servers)
		}
	}
	return cs
}

func (cs *Changes) vrrp(old, next *Config) {
	cs.objects(old.instanceObjects(), next.instanceObjects())
	cs.objects(old.groupObjects(), next.groupObjects())
	cs.objects(old.trackedObjects(), next.trackedObjects())
}

// differing leaves out the services that are the same in both. Of ten thousand
// servers a reload changes few, and only of those the facts are written out.
func differing(old, next []VirtualServer) (was, is []VirtualServer) {
	if len(old) == 0 {
		return nil, next
	}
	at := make(map[string]int, len(old))
	for i := range old {
		at[old[i].Name] = i
	}
	same := map[string]bool{}
	for i := range next {
		if j, ok := at[next[i].Name]; ok && next[i].Equal(old[j]) {
			same[next[i].Name] = true
		}
	}
	rest := func(all []VirtualServer) []VirtualServer {
		var out []VirtualServer
		for _, v := range all {
			if !same[v.Name] {
				out = append(out, v)
			}
		}
		return out
	}
	return rest(old), rest(next)
}

// fact is one key of an object as an operator would write it.
type fact struct {
	key, value string
	brief      string // what is said of it when the object is added; nothing if empty
	restart    bool   // a reload does not change it
	secret     bool   // that it changed is told, not how
}

// object is something with a name.
type object struct {
	name  string
	facts []fact
	parts []object // the real servers of a service
}

// objects compares two lists by name.
func (cs *Changes) objects(old, next []object) {
	was := make(map[string]object, len(old))
	for _, o := range old {
		was[o.name] = o
	}
	for _, n := range next {
		o, ok := was[n.name]
		if !ok {
			cs.add(Added, n)
			continue
		}
		delete(was, n.name)
		cs.compare(n.name, o.facts, n.facts)
		cs.objects(o.parts, n.parts)
	}
	for _, o := range old {
		if _, gone := was[o.name]; gone {
			cs.add(Deleted, o)
		}
	}
}

// services is objects for virtual_servers, of which the facts are written out
// one after the other: there may be thousands.
func (cs *Changes) services(old, next []VirtualServer) {
	was := make(map[string]*VirtualServer, len(old))
	for i := range old {
		was[old[i].Name] = &old[i]
	}
	for i := range next {
		var before []object
		if o, ok := was[next[i].Name]; ok {
			before = []object{serviceObject(o)}
			delete(was, next[i].Name)
		}
		cs.objects(before, []object{serviceObject(&next[i])})
	}
	for i := range old {
		if o := &old[i]; was[o.Name] == o {
			cs.add(Deleted, serviceObject(o))
		}
	}
}

// add tells of an object that is new or gone, with its parts.
func (cs *Changes) add(k ChangeKind, o object) {
	var facts []string
	for _, f := range o.facts {
		if f.brief != "" {
			facts = append(facts, f.brief)
		}
	}
	c := Change{Kind: k, Object: o.name}
	if k == Added {
		c.Detail = strings.Join(facts, ", ")
	}
	cs.note(c)
	for _, p := range o.parts {
		cs.add(k, p)
	}
}

// compare tells of an object's keys that differ. Both lists have their keys in
// one order; a key that only one has, such as a check, is added or removed.
func (cs *Changes) compare(name string, old, next []fact) {
	var live, late []string
	note := func(f fact, s string) {
		if f.restart {
			late = append(late, s)
		} else {
			live = append(live, s)
		}
	}
	find := func(fs []fact, key string) int {
		return slices.IndexFunc(fs, func(f fact) bool { return f.key == key })
	}
	for _, n := range next {
		i := find(old, n.key)
		switch {
		case i < 0 && n.value == "":
			note(n, n.key+" added")
		case i < 0:
			note(n, fmt.Sprintf("%s added (%s)", n.key, n.value))
		case old[i].value != n.value && n.secret:
			note(n, n.key+" changed")
		case old[i].value != n.value:
			note(n, fmt.Sprintf("%s %s -> %s", n.key, orNone(old[i].value), orNone(n.value)))
		}
	}
	for _, o := range old {
		if find(next, o.key) < 0 {
			note(o, o.key+" removed")
		}
	}
	if len(live) > 0 {
		cs.note(Change{Kind: Changed, Object: name, Detail: strings.Join(live, ", ")})
	}
	if len(late) > 0 {
		cs.note(Change{Kind: Changed, Object: name, Detail: strings.Join(late, ", "), Restart: true})
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
