package conf

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"baton/vrrp"
)

func (b *builder) syncGroups(cfg *Config) {
	names := map[string]string{}
	for i := range b.raw.SyncGroups {
		r := &b.raw.SyncGroups[i]
		b.unique(&r.Name, "vrrp_sync_group", names)
		g := vrrp.SyncGroup{Name: r.Name.v, Members: b.memberList(r)}
		g.Track = b.tracks(&r.rawTracks, cfg, b.owner(g.Members))
		cfg.SyncGroups = append(cfg.SyncGroups, g)
	}
}

// memberList reads the names of a group's instances.
func (b *builder) memberList(r *rawSyncGroup) []string {
	if !r.Group.set || r.Group.bad {
		return nil
	}
	var members []string
	for i, name := range r.Group.v {
		at := element(r.Group.path(), i)
		if _, known := b.names[name]; !known {
			b.missing(at, "vrrp_instance", name, slices.Collect(maps.Keys(b.names)))
			continue
		}
		if first, taken := b.members[name]; taken {
			if slices.Contains(members, name) {
				b.errorf(at, "%s stands there twice", name).remedy("remove it")
			} else {
				b.errorf(at, "%s is in the vrrp_sync_group in %s already", name, b.where(first)).remedy("an instance is in one group: merge the two, or remove it from one")
			}
			continue
		}
		b.members[name] = r.path
		members = append(members, name)
	}
	if len(r.Group.v) < 2 {
		b.errorf(r.Group.path(), "a group of %d has nothing to keep in step", len(r.Group.v)).remedy("name two instances or more, or remove the group")
	}
	if b.agreement(r, members) {
		b.sameRank(r, members)
	}
	return members
}

// sameRank warns where the members have several priorities on this node. The
// group takes over when all of them would: one that is not above the peer's
// keeps it from preempting.
func (b *builder) sameRank(r *rawSyncGroup, members []string) {
	var first *rawInstance
	for i := range b.raw.Instances {
		vi := &b.raw.Instances[i]
		if !slices.Contains(members, vi.Name.v) || !vi.Priority.ok(b.node) {
			continue
		}
		if first == nil {
			first = vi
		} else if one, other := first.Priority.get(b.node), vi.Priority.get(b.node); one != other {
			b.warnf(r.Group.path(), "%s has priority %d, %s has %d: the group preempts only where every member would, which may be never",
				first.Name.v, one, vi.Name.v, other).remedy("give all members the same priority on a node")
			return
		}
	}
}

// agreement checks that all members want to be master on the same node: else
// each election of one is undone by the other.
func (b *builder) agreement(r *rawSyncGroup, members []string) bool {
	for i, x := range b.nodes {
		for _, y := range b.nodes[i+1:] {
			var first string
			var want int
			for j := range b.raw.Instances {
				vi := &b.raw.Instances[j]
				if !slices.Contains(members, vi.Name.v) || !vi.Priority.ok(x) || !vi.Priority.ok(y) {
					continue
				}
				got := cmp.Compare(vi.Priority.get(x), vi.Priority.get(y))
				if got == 0 {
					continue
				}
				if want == 0 {
					first, want = vi.Name.v, got
				} else if got != want {
					b.errorf(r.Group.path(), "%s has its higher priority on %s, %s on %s: the group would change sides for ever",
						first, higher(x, y, want), vi.Name.v, higher(x, y, got)).remedy("let all members prefer the same node")
					return false
				}
			}
		}
	}
	return true
}

func higher(x, y string, order int) string {
	if order > 0 {
		return x
	}
	return y
}

// owner returns a member that has priority 255 on this node.
func (b *builder) owner(members []string) *rawInstance {
	for i := range b.raw.Instances {
		if r := &b.raw.Instances[i]; slices.Contains(members, r.Name.v) && r.Priority.get(b.node) == vrrp.PriorityOwner {
			return r
		}
	}
	return nil
}

// missing tells of a name that nothing has.
func (b *builder) missing(at, kind, name string, known []string) {
	slices.Sort(known)
	known = slices.Compact(known)
	p := b.errorf(at, "there is no %s %q", kind, clip(name))
	switch n := nearest(name, known); {
	case n != "":
		p.remedy("did you mean %q?", n)
	case len(known) > 0 && len(known) < 6:
		p.remedy("there are %s", strings.Join(known, ", "))
	default:
		table := "[[" + kind + "]] of this name"
		if kind == "check" {
			table = "[check.NAME]"
		}
		p.remedy("add a %s, or remove it here", table)
	}
}
