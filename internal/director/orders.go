package director

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/pool"
	"baton/ipvs"
)

// maxListed bounds the candidates that an error lists.
const maxListed = 12

// find returns the servers that a request means: ADDRESS:PORT one of one
// service, ADDRESS alone all of them in all services.
func (c *core) find(server, inService string) ([]member, error) {
	services, err := c.findServices(inService)
	if err != nil {
		return nil, err
	}
	one, exactly := netip.ParseAddrPort(server)
	all, alone := netip.ParseAddr(strings.Trim(server, "[]"))
	if exactly != nil && alone != nil {
		return nil, &control.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%q is neither ADDRESS:PORT nor ADDRESS", short(server)),
			Remedy: "name a real server as baton status does; names are not resolved"}
	}
	var found, near []member
	for _, s := range services {
		for i := range s.Servers {
			m := member{s, i}
			k := m.key()
			switch {
			case exactly == nil && k == ipvs.MakeServerKey(one), alone == nil && k.Address == all.Unmap().WithZone(""):
				found = append(found, m)
			case exactly == nil && k.Address == one.Addr().Unmap():
				near = append(near, m)
			}
		}
	}
	switch {
	case len(found) == 0 && len(near) > 0:
		return nil, &control.Error{Status: http.StatusNotFound, Message: "there is no real server " + server, Remedy: "that address has " + list(near)}
	case len(found) == 0:
		return nil, &control.Error{Status: http.StatusNotFound, Message: "there is no real server " + server, Remedy: "configured are " + list(every(services))}
	case exactly == nil && len(found) > 1:
		return nil, &control.Error{Status: http.StatusConflict, Message: server + " is a real server of several services: " + list(found),
			Remedy: "name one with --service, or the address alone to mean all"}
	}
	return found, nil
}

// findServices returns the virtual servers of a name, "" being all. A name is
// that of baton status, or what is unique in it.
func (c *core) findServices(name string) ([]*service, error) {
	if name == "" {
		return c.list, nil
	}
	if s := c.named[name]; s != nil {
		return []*service{s}, nil
	}
	var found []*service
	for _, s := range c.list {
		if s.Name == "group "+name || slices.ContainsFunc(s.Keys, func(k ipvs.ServiceKey) bool {
			return k.String() == name || k.FWMark == 0 && netip.AddrPortFrom(k.Address, k.Port).String() == name
		}) {
			found = append(found, s)
		}
	}
	names := func(of []*service) string {
		var out []string
		for _, s := range of {
			out = append(out, s.Name)
		}
		return some(out)
	}
	switch len(found) {
	case 0:
		return nil, &control.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("there is no service %q", short(name)), Remedy: "configured are " + names(c.list)}
	case 1:
		return found, nil
	}
	return nil, &control.Error{Status: http.StatusConflict, Message: fmt.Sprintf("service %q is ambiguous", name), Remedy: "it may be " + names(found)}
}

func every(services []*service) (all []member) {
	for _, s := range services {
		for i := range s.Servers {
			all = append(all, member{s, i})
		}
	}
	return all
}

func list(targets []member) string {
	var out []string
	for _, m := range targets {
		if out = append(out, m.String()); len(out) > maxListed {
			break
		}
	}
	return some(out)
}

// some joins what an error lists, and not more than one can read.
func some(what []string) string {
	switch {
	case len(what) == 0:
		return "none"
	case len(what) > maxListed:
		return strings.Join(what[:maxListed], ", ") + ", …"
	}
	return strings.Join(what, ", ")
}

func short(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// command finds the servers of a request and does something with each, in the
// core's goroutine. The table is on its way to the kernel when it returns.
func (c *core) command(ctx context.Context, server, inService string, do func(member, time.Time) (note string)) (out control.Orders, err error) {
	asked := c.ask(ctx, func() {
		var targets []member
		if targets, err = c.find(server, inService); err != nil {
			return
		}
		now := time.Now()
		c.asked = true
		for _, m := range targets {
			if note := do(m, now); note != "" && !slices.Contains(out.Notes, note) {
				out.Notes = append(out.Notes, note)
			}
			c.settle(m.s, now)
		}
		out.Servers = c.orderStatus(targets)
	})
	if asked != nil {
		return out, asked
	}
	return out, err
}

// Drain takes servers out of service: weight 0 now, and out of the table when
// their connections are gone or the time is over.
func (c *core) Drain(ctx context.Context, req control.DrainRequest) (control.Orders, error) {
	return c.command(ctx, req.Server, req.Service, func(m member, now time.Time) string {
		o, k := c.order(m.s, m.key()), m.key()
		within, from := m.s.DrainTimeout, m.state(o.Drain)
		if req.Timeout != nil {
			within = *req.Timeout
		}
		switch {
		case o.Drain != nil && !o.Drain.Done.IsZero():
			return k.String() + " is drained already"
		case o.Drain != nil && req.Timeout == nil:
			return k.String() + " is draining already"
		case o.Drain != nil:
			d := *o.Drain
			d.Deadline = now.Add(within)
			o.Drain = &d
		default:
			d := pool.NewDrain(now, within)
			o.Drain = &d
		}
		c.setOrder(m.s, k, o)
		c.say(event.ServerDraining, event.F(event.Service, m.s.Name), event.F(event.Server, k),
			event.F(event.From, from), event.F(event.To, m.state(o.Drain)), event.F(event.Reason, "baton drain"), event.F(event.Took, within))
		return persistentNote(m.s)
	})
}

// Undrain puts servers back into service.
func (c *core) Undrain(ctx context.Context, req control.ServerRequest) (control.Orders, error) {
	return c.command(ctx, req.Server, req.Service, func(m member, _ time.Time) string {
		o, k := c.order(m.s, m.key()), m.key()
		if o.Drain == nil {
			return k.String() + " is not drained"
		}
		from := m.state(o.Drain)
		o.Drain = nil
		c.setOrder(m.s, k, o)
		c.say(event.ServerUndrained, event.F(event.Service, m.s.Name), event.F(event.Server, k),
			event.F(event.From, from), event.F(event.To, m.state(nil)), event.F(event.Reason, "baton undrain"))
		return ""
	})
}

// Weight gives servers a weight in place of the configured one, or takes it
// back.
func (c *core) Weight(ctx context.Context, req control.WeightRequest) (control.Orders, error) {
	return c.command(ctx, req.Server, req.Service, func(m member, _ time.Time) string {
		o, k := c.order(m.s, m.key()), m.key()
		o.Weight = req.Weight.Value
		c.setOrder(m.s, k, o)
		return ""
	})
}

// Drains says how far servers are on their way out.
func (c *core) Drains(ctx context.Context, req control.ServerRequest) (control.Orders, error) {
	var (
		out     control.Orders
		refused error
	)
	err := c.ask(ctx, func() {
		var targets []member
		if req.Server == "" {
			services, wrong := c.findServices(req.Service)
			refused = wrong
			for _, m := range every(services) {
				if c.order(m.s, m.key()).Drain != nil {
					targets = append(targets, m)
				}
			}
		} else {
			targets, refused = c.find(req.Server, req.Service)
		}
		out.Servers = c.orderStatus(targets)
	})
	if err != nil {
		return out, err
	}
	return out, refused
}

// quiescentTemplates says whether clients that a persistent service remembers
// leave a server whose weight is 0.
const quiescentTemplates = "/proc/sys/net/ipv4/vs/expire_quiescent_template"

func persistentNote(s *service) string {
	if s.Service.Persistence == 0 {
		return ""
	}
	raw, err := os.ReadFile(quiescentTemplates)
	if err == nil && strings.TrimSpace(string(raw)) != "0" {
		return fmt.Sprintf("%s is persistent (%s): the clients that it remembers go to another server with their next connection", s.Name, s.Service.Persistence)
	}
	return fmt.Sprintf("%s is persistent (%s): the clients that it remembers go on opening connections to this server until %s after their last one, or the deadline; expire_quiescent_template = 1 in [ipvs] moves them at once",
		s.Name, s.Service.Persistence, s.Service.Persistence)
}
