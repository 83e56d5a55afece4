package conf

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"baton/vrrp"
)

func (c *Config) instanceObjects() []object {
	out := make([]object, len(c.Instances))
	for i, vi := range c.Instances {
		facts := append(instanceFacts(vi), trackFacts(vi.Track)...)
		out[i] = object{name: "vrrp_instance " + vi.Name, facts: append(facts, notifyFacts(c.Notify["INSTANCE/"+vi.Name])...)}
	}
	return out
}

func (c *Config) groupObjects() []object {
	out := make([]object, len(c.SyncGroups))
	for i, g := range c.SyncGroups {
		facts := append([]fact{told("group", strings.Join(g.Members, " "))}, trackFacts(g.Track)...)
		out[i] = object{name: "vrrp_sync_group " + g.Name, facts: append(facts, notifyFacts(c.Notify["GROUP/"+g.Name])...)}
	}
	return out
}

// trackedObjects are what is looked at for whoever tracks it.
func (c *Config) trackedObjects() []object {
	var out []object
	for _, s := range c.Scripts {
		out = append(out, object{name: "vrrp_script " + s.Name, facts: []fact{
			told("script", commandText(&s.Command)),
			told("interval", format(s.Interval)),
			{key: "rise", value: fmt.Sprint(s.Rise)},
			{key: "fall", value: fmt.Sprint(s.Fall)},
		}})
	}
	for _, f := range c.Files {
		out = append(out, object{name: "vrrp_track_file " + f.Name, facts: []fact{
			told("file", f.Path),
			{key: "interval", value: format(f.Interval)},
		}})
	}
	for _, p := range c.Processes {
		args := ""
		if p.Args != nil {
			args = "[" + quoteAll(p.Args) + "]"
		}
		out = append(out, object{name: "vrrp_track_process " + p.Name, facts: []fact{
			told("process", p.Process),
			told("args", args),
			told("quorum", fmt.Sprint(p.Quorum)),
			told("quorum_max", positive(uint32(p.QuorumMax))),
			{key: "delay", value: format(p.Delay)},
			{key: "terminate_delay", value: format(p.TerminateDelay)},
			{key: "interval", value: format(p.Interval)},
		}})
	}
	return out
}

func instanceFacts(c vrrp.Config) []fact {
	fs := []fact{
		told("interface", c.Interface),
		told("virtual_router_id", fmt.Sprint(c.VRID)),
		{key: "version", value: fmt.Sprint(c.Version)},
		told("priority", fmt.Sprint(c.Priority)),
		told("advert_int", format(c.AdvertInterval)),
		{key: "nopreempt", value: fmt.Sprint(!c.Preempt)},
		{key: "preempt_delay", value: format(c.PreemptDelay)},
		{key: "vrrp_startup_delay", value: format(c.StartupDelay), restart: true},
		{key: "down_timer_adverts", value: fmt.Sprint(c.DownTimerAdverts)},
		{key: "checksum", value: string(c.Checksum)},
		{key: "garp_master_delay", value: format(c.GARP.MasterDelay)},
		{key: "garp_master_repeat", value: fmt.Sprint(c.GARP.MasterRepeat)},
		{key: "garp_master_refresh", value: format(c.GARP.MasterRefresh)},
		{key: "garp_master_refresh_repeat", value: fmt.Sprint(c.GARP.MasterRefreshRepeat)},
		{key: "garp_lower_prio_delay", value: format(c.GARP.LowerPrioDelay)},
		{key: "garp_lower_prio_repeat", value: fmt.Sprint(c.GARP.LowerPrioRepeat)},
		{key: "garp_interval", value: format(c.GARP.Interval)},
		{key: "gna_interval", value: format(c.GARP.NAInterval)},
		{key: "handover_linger", value: format(c.HandoverLinger)},
		{key: "no_accept", value: fmt.Sprint(c.NoAccept)},
	}
	fs = append(fs, deliveryFacts(c)...)
	fs = append(fs, addressFacts("address", c.Addresses)...)
	fs = append(fs, addressFacts("excluded address", c.Excluded)...)
	for _, r := range c.Routes {
		fs = append(fs, named("route", routeText(r)))
	}
	for _, r := range c.Rules {
		fs = append(fs, named("rule", ruleText(r)))
	}
	return fs
}

func deliveryFacts(c vrrp.Config) []fact {
	peers := make([]string, len(c.Peers))
	for i, p := range c.Peers {
		peers[i] = p.String()
	}
	multicast, unicast := addrText(c.Source), ""
	if len(c.Peers) > 0 {
		multicast, unicast = unicast, multicast
	}
	vmac, xmit, password := "", "", ""
	if c.VMAC != nil {
		vmac, xmit = c.VMAC.Name, yes(c.VMAC.XmitBase)
	}
	if c.Password != "" {
		// A secret fact is compared and not printed; if it ever is, then not this one.
		password = fmt.Sprintf("%x", sha256.Sum256([]byte(c.Password)))
	}
	return []fact{
		{key: "mcast_src_ip", value: multicast},
		{key: "unicast_src_ip", value: unicast},
		{key: "multicast group", value: addrText(c.Group)},
		told("unicast_peer", strings.Join(peers, " ")),
		{key: "unicast_ttl", value: positive(uint32(c.UnicastTTL))},
		{key: "unicast_ttl_min", value: positive(uint32(c.UnicastTTLMin))},
		{key: "check_unicast_src", value: fmt.Sprint(!c.AnySource)},
		{key: "auth_pass", value: password, secret: true},
		told("use_vmac", vmac),
		{key: "vmac_xmit_base", value: xmit},
	}
}

func addrPortText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addressFacts(word string, list []vrrp.Address) []fact {
	var fs []fact
	for _, a := range list {
		text := a.Prefix.String() + optional("dev", a.Device) + optional("label", a.Label)
		if a.Scope != "global" {
			text += optional("scope", a.Scope)
		}
		fs = append(fs, fact{key: word + " " + a.Prefix.Addr().String(), value: text, brief: word + " " + text})
	}
	return fs
}

// named is a fact without a name but its own text.
func named(word, text string) fact {
	return fact{key: word + " " + text, brief: word + " " + text}
}

func routeText(r vrrp.Route) string {
	return r.Destination.String() + optional("via", addrText(r.Via)) + optional("dev", r.Device) + optional("src", addrText(r.Source)) +
		optional("table", positive(r.Table)) + optional("metric", positive(r.Metric)) + optional("scope", r.Scope) + optional("mtu", positive(r.MTU))
}

func ruleText(r vrrp.Rule) string {
	from, to := "", ""
	if r.From.IsValid() {
		from = r.From.String()
	}
	if r.To.IsValid() {
		to = r.To.String()
	}
	return fmt.Sprintf("%d:", r.Priority) + optional("from", from) + optional("to", to) + optional("iif", r.IIF) + optional("oif", r.OIF) +
		optional("fwmark", positive(r.Mark)) + fmt.Sprintf(" table %d %s", r.Table, familyName(r.Family))
}

// optional is " word value", nothing without a value.
func optional(word, value string) string {
	if value == "" {
		return ""
	}
	return " " + word + " " + value
}

func trackFacts(tracks []vrrp.Track) []fact {
	fs := make([]fact, len(tracks))
	for i, t := range tracks {
		value := fmt.Sprintf("weight %d", t.Weight)
		if t.Reverse {
			value += " reverse"
		}
		key := "track_" + string(t.Kind) + " " + t.Name
		fs[i] = fact{key: key, value: value, brief: key + " " + value}
	}
	return fs
}

func notifyFacts(n Notify) []fact {
	return []fact{
		told("notify_master", commandText(n.Master)),
		told("notify_backup", commandText(n.Backup)),
		told("notify_fault", commandText(n.Fault)),
		told("notify_stop", commandText(n.Stop)),
		told("notify", commandText(n.Any)),
	}
}

func commandText(c *Command) string {
	if c == nil {
		return ""
	}
	words := make([]string, len(c.Args))
	for i, w := range c.Args {
		words[i] = w
		if q := strconv.Quote(w); w == "" || strings.ContainsAny(w, " ,") || q != `"`+w+`"` {
			words[i] = q
		}
	}
	return strings.Join(words, " ") + optional("user", c.User) + optional("group", c.Group) + optional("timeout", format(c.Timeout))
}
