package director

import (
	"maps"
	"slices"
	"sync"
	"time"

	"baton/internal/event"
	"baton/internal/netif"
	"baton/vrrp"
)

// vmacRetry is how long after a failure a VMAC is tried again, unless a link
// changes before.
const vmacRetry = 10 * time.Second

// vmacs sees to it that the instances' VMACs are there, and no others of ours.
type vmacs struct {
	netif *netif.Manager
	say   func(event.Name, ...event.Field)
	again func() // reconciles

	mu     sync.Mutex
	wanted map[string]vmac // by name
	told   map[string]string
	made   limiter
	retry  *time.Timer
}

// vmac is a VMAC and the instance that it belongs to.
type vmac struct {
	netif.VMAC
	instance string
}

func newVMACs(m *netif.Manager, say func(event.Name, ...event.Field)) *vmacs {
	return &vmacs{netif: m, say: say, told: map[string]string{}, made: limiter{}}
}

// vmacOf is the VMAC that an instance has, if it has one.
func vmacOf(c vrrp.Config) (vmac, bool) {
	if c.VMAC == nil {
		return vmac{}, false
	}
	return vmac{netif.VMAC{Name: c.VMAC.Name, Parent: c.Interface,
		MAC: netif.VirtualMAC(c.Family() == vrrp.IPv6, c.VRID)}, c.Name}, true
}

func (w vmac) same(o vmac) bool {
	return w.Name == o.Name && w.Parent == o.Parent && w.MAC.String() == o.MAC.String()
}

// want sets whose VMACs there shall be; nil, at the end, stands for none.
func (v *vmacs) want(instances []vrrp.Config) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wanted = nil
	if instances != nil {
		v.wanted = map[string]vmac{}
	}
	for _, c := range instances {
		if w, ok := vmacOf(c); ok {
			v.wanted[w.Name] = w
		}
	}
}

// concerns says whether a link is a VMAC of ours or carries one.
func (v *vmacs) concerns(link string) (self, parent bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, self = v.wanted[link]
	for _, w := range v.wanted {
		parent = parent || w.Parent == link
	}
	return self, parent
}

// reconcile makes what is missing and removes what is not wanted. What masters
// hold, by name, stays as it is until they have given it up.
func (v *vmacs) reconcile(held map[string]vmac) {
	v.mu.Lock()
	defer v.mu.Unlock()
	there, err := v.netif.VMACs()
	if err != nil {
		v.failed(vmac{}, err)
	}
	carrying := map[string]bool{}
	for _, w := range held {
		carrying[w.Parent] = true
	}
	for _, name := range there {
		if _, wanted := v.wanted[name]; wanted {
			continue
		}
		if _, inUse := held[name]; inUse {
			continue
		}
		removed, err := v.netif.RemoveVMAC(name)
		if err != nil {
			v.failed(vmac{VMAC: netif.VMAC{Name: name}}, err)
		}
		if removed {
			v.say(event.VMACRemoved, event.F(event.Interface, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.wanted)) {
		w := v.wanted[name]
		carrying[w.Parent] = true
		if h, inUse := held[name]; !inUse || h.same(w) {
			v.ensure(w)
		}
	}
	if err := v.netif.RestoreParents(carrying); err != nil {
		v.failed(vmac{}, err)
	}
}

func (v *vmacs) ensure(w vmac) {
	if !v.netif.Exists(w.Parent) {
		return // its coming is told of
	}
	if !v.netif.Exists(w.Name) && !v.made.allow(w.Name, time.Now()) {
		v.failed(w, errFight("deleted"))
		return
	}
	changed, err := v.netif.EnsureVMAC(w.VMAC)
	if err != nil {
		v.failed(w, err)
		return
	}
	delete(v.told, w.Name)
	if changed {
		v.say(event.VMACCreated, event.F(event.Instance, w.instance), event.F(event.Interface, w.Name), event.F(event.MAC, w.MAC))
	}
}

// failed tells of an error once, and tries again later.
func (v *vmacs) failed(w vmac, err error) {
	if v.told[w.Name] != err.Error() {
		v.told[w.Name] = err.Error()
		v.say(event.VMACFailed, event.F(event.Instance, w.instance), event.F(event.Interface, w.Name), event.F(event.Err, err))
	}
	if v.retry == nil && v.wanted != nil {
		v.retry = time.AfterFunc(vmacRetry, func() {
			v.mu.Lock()
			v.retry = nil
			ended := v.wanted == nil
			v.mu.Unlock()
			if !ended {
				v.again()
			}
		})
	}
}

// limiter allows restoreTries within restoreWindow for each key.
type limiter map[string][]time.Time

func (l limiter) allow(key string, now time.Time) bool {
	recent := l[key][:0]
	for _, t := range l[key] {
		if now.Sub(t) < restoreWindow {
			recent = append(recent, t)
		}
	}
	if len(recent) >= restoreTries {
		l[key] = recent
		return false
	}
	l[key] = append(recent, now)
	return true
}
