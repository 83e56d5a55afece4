package director

import (
	"context"
	"net/netip"
	"time"

	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/netif"
)

// hint is what made servers look gone, and the checks that shall find out. The
// director hears it from the kernel long before the next check of a long
// delay_loop; whether it is true the prober finds out as ever.
type hint struct {
	Interface string     `json:"interface,omitempty"`
	Address   netip.Addr `json:"address,omitzero"` // of a neighbour
	Reason    string     `json:"reason"`
	IDs       []string   `json:"ids"`
}

const (
	// hintGap is the least time between two messages of hints: in a storm the
	// second and all further ones are gathered.
	hintGap = time.Second
	// hintDelay gathers what the kernel tells of one event.
	hintDelay = 10 * time.Millisecond
	// maxHints bounds the hints of one message; more are told as one.
	maxHints = 8
	// pathsFresh is how old paths may be before a neighbour that no check is
	// for makes them be looked up again: it may be a gateway.
	pathsFresh = 30 * time.Second
)

// reach knows which checks depend on which neighbours and interfaces. It
// belongs to one goroutine.
type reach struct {
	find    func(netip.Addr) (netif.Path, error)
	checks  map[netip.Addr][]string // by target
	paths   map[netip.Addr]netif.Path
	foundAt time.Time

	hints   []hint
	pending map[string]bool // the checks of hints
}

func newReach(find func(netip.Addr) (netif.Path, error)) *reach {
	return &reach{find: find, pending: map[string]bool{}}
}

// watch takes over the whole set of checks by their targets.
func (r *reach) watch(checks map[netip.Addr][]string, now time.Time) {
	old := r.paths
	r.checks = checks
	for a := range checks {
		if _, known := old[a]; !known {
			r.look(now)
			return
		}
	}
}

// look finds the paths of all targets. There is none to some.
func (r *reach) look(now time.Time) {
	r.paths, r.foundAt = make(map[netip.Addr]netif.Path, len(r.checks)), now
	for a := range r.checks {
		p, err := r.find(a)
		if err != nil {
			p = netif.Path{} // known to have none
		}
		r.paths[a] = p
	}
}

// lost gathers the hint that follows from a loss and reports whether there is
// something to send.
func (r *reach) lost(l netif.Loss, now time.Time) bool {
	h := hint{Interface: l.Interface, Address: l.Neighbour, Reason: "neighbour does not answer"}
	var match func(netip.Addr, netif.Path) bool
	if l.Neighbour.IsValid() {
		r.add(&h, l.Neighbour)
		if len(h.IDs) == 0 && len(r.checks[l.Neighbour]) == 0 && now.Sub(r.foundAt) > pathsFresh {
			r.look(now)
		}
		match = func(_ netip.Addr, p netif.Path) bool { return p.Gateway == l.Neighbour }
	} else {
		h.Reason = "interface down"
		match = func(_ netip.Addr, p netif.Path) bool { return p.Index == l.Index }
	}
	for a, p := range r.paths {
		if match(a, p) {
			r.add(&h, a)
		}
	}
	switch {
	case len(h.IDs) == 0:
	case len(r.hints) < maxHints:
		r.hints = append(r.hints, h)
	default:
		last := &r.hints[maxHints-1]
		last.IDs = append(last.IDs, h.IDs...)
		last.Interface, last.Address, last.Reason = "", netip.Addr{}, "several neighbours do not answer or interfaces are down"
	}
	return len(r.hints) > 0
}

func (r *reach) add(h *hint, target netip.Addr) {
	for _, id := range r.checks[target] {
		if !r.pending[id] {
			r.pending[id] = true
			h.IDs = append(h.IDs, id)
		}
	}
}

// take returns the gathered hints.
func (r *reach) take() []hint {
	h := r.hints
	r.hints = nil
	clear(r.pending)
	return h
}

// watchReach turns what the kernel says of neighbours and interfaces into hints
// for the prober. Without it servers are found dead all the same, only later.
func (c *core) watchReach(ctx context.Context, ready func()) error {
	ready()
	m, err := netif.New(netif.Options{})
	if err != nil {
		c.reachFailed(err)
		<-ctx.Done()
		return nil
	}
	defer m.Close()
	losses := make(chan netif.Loss)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		err := m.WatchLosses(ctx, func(l netif.Loss) {
			select {
			case losses <- l:
			case <-ctx.Done():
			}
		})
		if err != nil {
			c.reachFailed(err)
		}
	}()
	newReach(m.Path).run(ctx, c.targets, losses, func(hints []hint) {
		c.post(ctx, func() { c.prober.send(kindTrigger, "", hints) })
	})
	<-watched
	return nil
}

func (c *core) reachFailed(err error) {
	c.postAlways(func() {
		c.say(event.ChildLimited, event.F(event.Child, "director"), event.F(event.Reason, err),
			event.F(event.Detail, "a neighbour that fails or an interface that goes down triggers no checks"))
	})
}

// run makes hints of losses until ctx is done.
func (r *reach) run(ctx context.Context, targets <-chan map[netip.Addr][]string, losses <-chan netif.Loss, send func([]hint)) {
	var due <-chan time.Time
	var sent time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case checks := <-targets:
			r.watch(checks, time.Now())
		case l := <-losses:
			if r.lost(l, time.Now()) && due == nil {
				due = time.After(max(hintDelay, time.Until(sent.Add(hintGap))))
			}
		case <-due:
			due, sent = nil, time.Now()
			send(r.take())
		}
	}
}

// watchTargets hands the checks' targets to watchReach, in place of a set that
// it has not taken yet.
func (c *core) watchTargets() {
	targets := map[netip.Addr][]string{}
	for _, vs := range c.cfg.Services {
		for _, rs := range vs.Servers {
			for i := range rs.Checks {
				a := rs.Checks[i].Target.Addr().Unmap()
				targets[a] = append(targets[a], rs.Checks[i].ID)
			}
		}
	}
	select {
	case <-c.targets:
	default:
	}
	c.targets <- targets
}

// trigger has the prober follow hints and tells those that had an effect.
func trigger(say teller, sched *healthcheck.Scheduler, hints []hint) {
	for _, h := range hints {
		n := sched.Trigger(h.IDs...)
		if n == 0 {
			continue // known to be down, or found out at this moment
		}
		tellTriggered(say, h.Interface, h.Address, n, h.Reason)
	}
}

// tellHint tells of checks that others have made due.
func tellHint(say teller, h healthcheck.Hint) {
	reason := "another check found no way to it"
	if !h.Address.IsValid() {
		reason = "other checks found no way to several servers"
	}
	tellTriggered(say, "", h.Address, h.Checks, reason)
}

func tellTriggered(say teller, iface string, a netip.Addr, n int, reason string) {
	address := ""
	if a.IsValid() {
		address = a.String()
	}
	say(event.CheckTriggered, event.F(event.Interface, iface), event.F(event.Address, address),
		event.F(event.Count, n), event.F(event.Reason, reason))
}
