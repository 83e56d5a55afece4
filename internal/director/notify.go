package director

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strconv"

	"baton/conf"
	"baton/internal/event"
	"baton/internal/script"
	"baton/vrrp"
)

// What a notify script is told of: keepalived's words.
const (
	aboutInstance = "INSTANCE"
	aboutGroup    = "GROUP"
	stateStop     = "STOP"
)

// retired is an instance that a reload has removed and that has not stopped
// yet: its end is still told to the scripts that it had.
type retired struct {
	notify conf.Notify
	cfg    vrrp.Config
}

// occasion is why notify scripts run.
type occasion struct {
	about, name string
	from, to    string
	reason      string
	priority    int
	env         []string // besides what all have
}

// transitionOf returns the programs of an occasion in keepalived's order: that
// of the state, as it is configured, then the general one with four arguments
// more. Without any it returns false.
func transitionOf(n conf.Notify, o occasion) (transition, bool) {
	specific := map[string]*conf.Command{
		string(vrrp.Master): n.Master, string(vrrp.Backup): n.Backup, string(vrrp.Fault): n.Fault, stateStop: n.Stop,
	}[o.to]
	t := transition{key: o.about + "/" + o.name, to: o.to, what: []event.Field{event.F(event.Instance, o.name)}}
	if o.about == aboutGroup {
		t.what = []event.Field{event.F(event.Group, o.name)}
	}
	if specific != nil {
		t.commands = append(t.commands, *specific)
	}
	if n.Any != nil {
		c := *n.Any
		c.Args = append(slices.Clone(c.Args), o.about, o.name, o.to, strconv.Itoa(o.priority))
		t.commands = append(t.commands, c)
	}
	t.env = append([]string{"BATON_" + o.about + "=" + o.name, "BATON_FROM=" + o.from, "BATON_TO=" + o.to,
		"BATON_REASON=" + o.reason, "BATON_PRIORITY=" + strconv.Itoa(o.priority)}, o.env...)
	return t, len(t.commands) > 0
}

// notify runs the scripts of an occasion, unless they were told of this state
// last.
func (c *core) notify(n conf.Notify, o occasion) {
	key := o.about + "/" + o.name
	was := c.notified[key]
	if was == o.to {
		return
	}
	if o.from == "" {
		o.from = cmp.Or(was, string(vrrp.Init))
	}
	if c.notified[key] = o.to; o.to == stateStop {
		delete(c.notified, key)
	}
	t, any := transitionOf(n, o)
	if any {
		c.queueNotify(t)
	}
}

// queueNotify has the scripts of a transition run, and tells which ones had to
// give way.
func (c *core) queueNotify(t transition) {
	for _, d := range c.notifier.put(t) {
		tellDropped(c.say, d, "more than "+strconv.Itoa(notifyBound)+" transitions wait for their scripts")
	}
}

// notifyTransition tells the scripts of an instance and of its group.
func (c *core) notifyTransition(n vrrp.Notice) {
	if n.To == vrrp.Init {
		// Who stops with the daemon is told of at its very end; an instance that
		// begins anew, with another interface for instance, is told of then.
		if r, gone := c.retired[n.Instance]; gone {
			delete(c.retired, n.Instance)
			c.notify(r.notify, c.instanceOccasion(r.cfg, string(n.From), stateStop, n))
		}
		return
	}
	in := c.instances[n.Instance]
	if in == nil {
		return
	}
	c.notify(c.cfg.Notify[aboutInstance+"/"+n.Instance], c.instanceOccasion(in.cfg, string(n.From), string(n.To), n))
	for _, g := range c.cfg.SyncGroups {
		if !slices.Contains(g.Members, n.Instance) {
			continue
		}
		if role, settled := groupRole(c.rolesOf(g)); settled && role != vrrp.Init {
			c.notify(c.cfg.Notify[aboutGroup+"/"+g.Name], occasion{about: aboutGroup, name: g.Name, to: string(role), reason: n.Reason,
				env: peerEnv(n)})
		}
	}
}

func (c *core) instanceOccasion(cfg vrrp.Config, from, to string, n vrrp.Notice) occasion {
	return occasion{about: aboutInstance, name: cfg.Name, from: from, to: to, reason: n.Reason, priority: c.effectivePriority(cfg),
		env: append(peerEnv(n), "BATON_VRID="+strconv.Itoa(int(cfg.VRID)), "BATON_INTERFACE="+cfg.Interface)}
}

func peerEnv(n vrrp.Notice) []string {
	if !n.Peer.IsValid() {
		return nil
	}
	return []string{"BATON_PEER=" + n.Peer.String()}
}

// effectivePriority is the priority after tracking.
func (c *core) effectivePriority(cfg vrrp.Config) int {
	if in := c.instances[cfg.Name]; in != nil && in.effective != 0 {
		return int(in.effective)
	}
	return int(cfg.Priority)
}

func (c *core) rolesOf(g vrrp.SyncGroup) []vrrp.Role {
	var roles []vrrp.Role
	for _, m := range g.Members {
		if in := c.instances[m]; in != nil {
			roles = append(roles, roleWord(in.role))
		}
	}
	return roles
}

// groupRole is the state of a group from those of its members: a fault of one
// is the group's, else it is what all are. Members change one after the other;
// until all have, the group is not settled.
func groupRole(members []vrrp.Role) (role vrrp.Role, settled bool) {
	if len(members) == 0 {
		return vrrp.Init, false
	}
	for _, m := range members {
		if m == vrrp.Fault {
			return vrrp.Fault, true
		}
		if m != members[0] {
			settled = true // in this loop: they differ
		}
	}
	return members[0], !settled
}

// retire remembers the instances that a new configuration no longer has, and
// ends the groups that are gone.
func (c *core) retire(next *conf.Config) {
	if c.cfg == nil {
		return
	}
	for _, vi := range next.Instances {
		delete(c.retired, vi.Name)
	}
	for name, in := range c.instances {
		if !slices.ContainsFunc(next.Instances, func(vi vrrp.Config) bool { return vi.Name == name }) {
			c.retired[name] = retired{c.cfg.Notify[aboutInstance+"/"+name], in.cfg}
		}
	}
	for _, g := range c.cfg.SyncGroups {
		if !slices.ContainsFunc(next.SyncGroups, func(o vrrp.SyncGroup) bool { return o.Name == g.Name }) {
			c.notify(c.cfg.Notify[aboutGroup+"/"+g.Name], occasion{about: aboutGroup, name: g.Name, to: stateStop, reason: "no longer in the configuration"})
		}
	}
}

// notifyStop tells the scripts of all that has had a state that the daemon
// ends, groups first as keepalived does.
func (c *core) notifyStop() {
	reason := string(vrrp.ReasonStop)
	for _, g := range c.cfg.SyncGroups {
		if c.notified[aboutGroup+"/"+g.Name] != "" {
			c.notify(c.cfg.Notify[aboutGroup+"/"+g.Name], occasion{about: aboutGroup, name: g.Name, to: stateStop, reason: reason})
		}
	}
	for _, vi := range c.cfg.Instances {
		if c.notified[aboutInstance+"/"+vi.Name] == "" {
			continue
		}
		c.notify(c.cfg.Notify[aboutInstance+"/"+vi.Name], c.instanceOccasion(vi, "", stateStop, vrrp.Notice{Reason: reason}))
	}
}

// runNotify runs one notify script, in the goroutine of its queue.
func runNotify(proberUser string) func(context.Context, conf.Command, []string) script.Result {
	return func(ctx context.Context, c conf.Command, env []string) script.Result {
		as, err := identityOf(c.User, c.Group, proberUser)
		if err != nil {
			return script.Result{Err: err, Exit: -1}
		}
		// What it starts and leaves to run, a daemon for instance, is its affair.
		return script.Run(ctx, script.Command{Args: c.Args, As: as, Env: env, Timeout: c.Timeout, Leave: true})
	}
}

// identityOf is whom a command runs as: without a user as the prober, and where
// baton is not root as itself.
func identityOf(user, group, proberUser string) (*script.Identity, error) {
	if user != "" {
		return script.Lookup(user, group)
	}
	cred, _, err := proberIdentity(proberUser)
	if err != nil || cred == nil && os.Geteuid() != 0 {
		return nil, err
	}
	id := &script.Identity{UID: cred.Uid, GID: cred.Gid}
	if group != "" {
		named, err := script.Lookup(proberUser, group)
		if err != nil {
			return nil, err
		}
		id.GID = named.GID
	}
	return id, nil
}
