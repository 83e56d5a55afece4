package director

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"baton/internal/control"
	"baton/vrrp"
)

// handoverWithin is the longest that a handover of the instance can take: the
// successor answers within its skew time, or the master down interval passes.
func handoverWithin(vi vrrp.Config) time.Duration {
	return time.Duration(vi.DownTimerAdverts+1)*vi.AdvertInterval + 2*time.Second
}

// Failover hands instances to the peer and waits until each handover has ended.
func (c *core) Failover(ctx context.Context, name string) (control.Failover, error) {
	var (
		targets []string
		refusal string
		within  time.Duration
	)
	ended := make(chan vrrp.Notice, 1)
	err := c.ask(ctx, func() {
		targets, refusal = c.mastered(name)
		for _, t := range targets {
			within = max(within, handoverWithin(c.instances[t].cfg))
		}
		if refusal != "" {
			return
		}
		ended = make(chan vrrp.Notice, len(targets))
		asked := map[string]bool{}
		for _, t := range targets {
			c.handovers[t] = append(c.handovers[t], ended)
			if !asked[t] {
				c.speaker.send(kindFailover, "", t)
			}
			for _, m := range c.fellows(t) {
				asked[m] = true
			}
		}
	})
	if err != nil {
		return control.Failover{}, err
	}
	if refusal != "" {
		return control.Failover{OK: false, Message: refusal}, nil
	}
	out := control.Failover{OK: true, Instances: targets}
	var told []string
	limit := after(within)
	for range targets {
		select {
		case n := <-ended:
			if n.Kind == vrrp.NoticeHandoverDone {
				told = append(told, fmt.Sprintf("%s handed to %s in %s", n.Instance, n.Peer, round(n.Duration)))
				continue
			}
			out.OK = false
			told = append(told, fmt.Sprintf("%s stays here: %s", n.Instance, n.Reason))
		case <-limit:
			out.OK = false
			told = append(told, fmt.Sprintf("no answer from the speaker within %v; see baton status", within))
			out.Message = strings.Join(told, "; ")
			return out, nil
		case <-ctx.Done():
			return out, fmt.Errorf("wait for the handover: %w", ctx.Err())
		}
	}
	out.Message = strings.Join(told, "; ")
	return out, nil
}

// mastered returns the instances that a failover of name means, or why it
// cannot be done.
func (c *core) mastered(name string) (targets []string, refusal string) {
	if members := c.fellows(name); members != nil {
		for _, m := range members {
			if in, ok := c.instances[m]; !ok || in.role != vrrp.Master {
				return nil, fmt.Sprintf("%s of the same sync group is not MASTER here; run baton failover on the director where all are", m)
			}
		}
		return members, ""
	}
	if name != "" {
		in, ok := c.instances[name]
		switch {
		case !ok:
			return nil, fmt.Sprintf("there is no vrrp_instance %q; configured are %s", name, strings.Join(c.instanceNames(), ", "))
		case in.role != vrrp.Master:
			return nil, fmt.Sprintf("%s is %s here; run baton failover on the director that is MASTER", name, roleWord(in.role))
		}
		return []string{name}, ""
	}
	for _, n := range c.instanceNames() {
		if c.instances[n].role == vrrp.Master {
			targets = append(targets, n)
		}
	}
	if len(targets) == 0 {
		return nil, "no instance is MASTER here; run baton failover on the director that is"
	}
	return targets, ""
}

// fellows returns the members of the sync group that name is, or that it is a
// member of.
func (c *core) fellows(name string) []string {
	for _, g := range c.cfg.SyncGroups {
		if slices.Contains(g.Members, name) {
			return g.Members
		}
	}
	for _, g := range c.cfg.SyncGroups {
		if _, instance := c.instances[name]; g.Name == name && !instance {
			return g.Members
		}
	}
	return nil
}

func roleWord(r vrrp.Role) vrrp.Role {
	if r == "" {
		return vrrp.Init
	}
	return r
}

func (c *core) instanceNames() []string {
	var names []string
	for n := range c.instances {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
