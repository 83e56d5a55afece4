package keepalived

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// tracked are the words about what bears on an instance or a group.
var tracked = keywords{
	"track_interface": (*importer).track,
	"track_script":    (*importer).track,
	"track_file":      (*importer).track,
	"track_process":   (*importer).track,
	"track_bfd":       left("Baton has no BFD (track a script or an interface)"),
}

// notified are those about commands that follow a transition.
var notified = with(each(command(""), "notify_master", "notify_backup", "notify_fault", "notify_stop", "notify"), keywords{
	"notify_deleted":             left("nothing is run when a reload removes an instance"),
	"notify_master_rx_lower_pri": left("nothing is run then (event vrrp.master.conflict tells it)"),
	"notify_priority_changes":    left("nothing is run then (event vrrp.priority.changed tells it)"),
	"smtp_alert":                 left("Baton sends no mail (alerts: examples/prometheus-rules.yml)"),
})

var instanceWords = with(tracked, notified, keywords{
	"interface":                  word(""),
	"virtual_router_id":          number(""),
	"priority":                   number(""),
	"advert_int":                 duration(""),
	"version":                    number(""),
	"nopreempt":                  truth(""),
	"preempt_delay":              duration(""),
	"down_timer_adverts":         number(""),
	"mcast_src_ip":               word(""),
	"unicast_src_ip":             word(""),
	"mcast_dst_ip":               word(""),
	"unicast_ttl":                number(""),
	"unicast_peer":               (*importer).peers,
	"check_unicast_src":          truth(""),
	"garp_master_delay":          duration(""),
	"garp_master_repeat":         number(""),
	"garp_master_refresh":        duration(""),
	"garp_master_refresh_repeat": number(""),
	"garp_lower_prio_delay":      duration(""),
	"garp_lower_prio_repeat":     number(""),
	"garp_interval":              duration(""),
	"gna_interval":               duration(""),
	"virtual_ipaddress":          (*importer).addresses,
	"virtual_ipaddress_excluded": (*importer).addresses,
	"virtual_routes":             (*importer).lines,
	"virtual_rules":              (*importer).lines,
	"use_vmac":                   (*importer).vmac,
	"vmac_xmit_base":             truth(""),
	"accept":                     truth(""),
	"no_accept":                  truth(""),
	"authentication":             (*importer).authentication,
	"lvs_sync_daemon_interface":  (*importer).oldSyncDaemon,
	"dont_track_primary":         left("an instance whose interface is down is always in FAULT"),
	"vmac_addr":                  left("the VMAC has the address of RFC 9568"),
	"use_ipvlan":                 left("use_vmac = true gives the instance an interface of its own"),
	"strict_mode":                left("Baton refuses what contradicts itself, and has no stricter mode"),
	"higher_prio_send_advert":    left("a master that hears a higher priority steps back without a word"),
	"promote_secondaries":        left("set net.ipv4.conf.INTERFACE.promote_secondaries = 1 by sysctl.d"),
	"max_advert_int_retained":    left("the master's interval is always taken over in version 3"),
}, each(silent, "state", // the priority alone decides
	"preempt", "debug", "native_ipv6", "linkbeat_use_polling", "skip_check_adv_addr", "kernel_rx_buf_size", "no_virtual_ipaddress", "garp_extra_if", "lower_prio_no_advert", "track_src_ip"))

func (im *importer) instance(s *statement, t *table) {
	in := t.add("vrrp_instance", true)
	in.set("name", quote(s.arg(0)))
	im.apply(in, s.block, instanceWords, "vrrp_instance "+s.arg(0))
}

// track reads a block of things that bear, each with a weight perhaps.
func (im *importer) track(s *statement, t *table) {
	var all []string
	for _, c := range im.entries(s) {
		name, weight, reverse := c[0], "", false
		for rest := c[1:]; len(rest) > 0; rest = rest[1:] {
			switch {
			case rest[0] == "weight" && len(rest) > 1:
				weight, rest = rest[1], rest[1:]
			case rest[0] == "reverse":
				reverse = true
			default:
				im.doubt(s, "is taken over without "+rest[0]+" of "+name)
			}
		}
		entry := "name = " + quote(name)
		if weight != "" {
			n, err := strconv.Atoi(weight)
			if err != nil {
				im.doubt(s, fmt.Sprintf("is taken over without the weight of %s: %q is no whole number", name, weight))
			} else {
				entry += ", weight = " + strconv.Itoa(n)
			}
		}
		if reverse {
			entry += ", reverse = true"
		}
		if strings.Contains(entry, ",") {
			all = append(all, "{ "+entry+" }")
		} else {
			all = append(all, quote(name))
		}
	}
	t.set(s.name(), "["+strings.Join(all, ", ")+"]")
}

// entries are the lines of a block, or a single one behind the word.
func (im *importer) entries(s *statement) [][]string {
	var all [][]string
	if len(s.words) > 1 {
		all = append(all, s.words[1:])
	}
	for _, c := range s.block {
		all = append(all, c.words)
	}
	return all
}

func (im *importer) peers(s *statement, t *table) {
	var all []string
	for _, c := range im.entries(s) {
		all = append(all, c[0])
		if len(c) > 1 {
			im.doubt(s, "is taken over without "+strings.Join(c[1:], " ")+" of "+c[0]+" (unicast_ttl_min holds for all)")
		}
	}
	t.set("unicast_peer", list(all))
}

// addresses reads lines such as 192.0.2.1/24 brd 192.0.2.255 dev eth0 scope global label eth0:1.
func (im *importer) addresses(s *statement, t *table) {
	var all []string
	for _, c := range im.entries(s) {
		address, rest := c[0], c[1:]
		var more []string
		for ; len(rest) > 0; rest = rest[1:] {
			switch word := rest[0]; {
			case len(rest) > 1 && slices.Contains([]string{"dev", "label", "scope"}, word):
				more = append(more, word+" = "+quote(rest[1]))
				rest = rest[1:]
			case len(rest) > 1 && (word == "brd" || word == "broadcast"):
				rest = rest[1:] // follows from the prefix
			case word == "-nodad" || word == "noprefixroute":
				// an address that is taken over must work at once, and brings no route: Baton's always
			case len(rest) > 1 && slices.Contains([]string{"peer", "preferred_lft", "track_group"}, word):
				im.doubt(s, "is taken over without "+word+" "+rest[1]+" of "+address)
				rest = rest[1:]
			default:
				im.doubt(s, "is taken over without "+word+" of "+address)
			}
		}
		if len(more) == 0 {
			all = append(all, quote(address))
			continue
		}
		all = append(all, "{ address = "+quote(address)+", "+strings.Join(more, ", ")+" }")
	}
	t.set(s.name(), "["+strings.Join(all, ", ")+"]")
}

// lines is a list of texts: routes and rules have the same words.
func (im *importer) lines(s *statement, t *table) {
	var all []string
	for _, c := range im.entries(s) {
		all = append(all, strings.Join(slices.DeleteFunc(c, func(w string) bool { return w == "no_track" }), " "))
	}
	t.set(s.name(), list(all))
}

// vmac reads use_vmac [NAME [MAC]].
func (im *importer) vmac(s *statement, t *table) {
	t.set("use_vmac", "true")
	for i, w := range s.words[1:] {
		switch {
		case strings.Contains(w, ":") || strings.HasPrefix(w, "netlink_notify"):
			im.doubt(s, "is taken over without "+w)
		case i == 0:
			t.set("vmac_name", quote(w))
		default:
			im.doubt(s, "is taken over without "+w)
		}
	}
}

func (im *importer) authentication(s *statement, t *table) {
	kind, pass := "", ""
	for _, c := range s.block {
		switch c.name() {
		case "auth_type":
			kind = c.arg(0)
		case "auth_pass":
			pass = c.arg(0)
		}
	}
	if kind != "PASS" && kind != "1" {
		im.doubt(s, "is left out: Baton has auth_type PASS alone, for version 2")
		return
	}
	if len(pass) > 8 { // more keepalived does not send either
		pass = pass[:8]
	}
	a := t.add("authentication", false)
	a.set("auth_type", quote("PASS"))
	a.set("auth_pass", quote(pass))
}

func (im *importer) oldSyncDaemon(s *statement, _ *table) {
	t := im.ipvs()
	if t.has("lvs_sync_daemon") {
		im.doubt(s, "is left out: there is one lvs_sync_daemon")
		return
	}
	t.add("lvs_sync_daemon", false).set("interface", quote(s.arg(0)))
}

var groupWords = with(tracked, notified, keywords{
	"group":                      func(_ *importer, s *statement, t *table) { t.set("group", list(s.all())) },
	"sync_group_tracking_weight": silent,
	"global_tracking":            silent,
})

func (im *importer) syncGroup(s *statement, t *table) {
	for _, c := range s.block {
		if c.name() == "group" && len(c.all()) < 2 {
			im.doubt(s, "is left out: a group of one has no effect (its track_ and notify words belong into the instance)")
			return
		}
	}
	g := t.add("vrrp_sync_group", true)
	g.set("name", quote(s.arg(0)))
	im.apply(g, s.block, groupWords, "vrrp_sync_group "+s.arg(0))
}

var scriptWords = with(each(number(""), "rise", "fall"), each(duration(""), "interval", "timeout"), keywords{
	"script":    command(""),
	"weight":    (*importer).weight,
	"user":      text(""),
	"init_fail": silent, // what has not answered counts for nobody
})

func (im *importer) script(s *statement, t *table) {
	c := t.add("vrrp_script", true)
	c.set("name", quote(s.arg(0)))
	im.apply(c, s.block, scriptWords, "vrrp_script "+s.arg(0))
}

// weight is one with which reverse may stand.
func (im *importer) weight(s *statement, t *table) {
	number("")(im, s, t)
	if s.arg(1) != "" {
		im.doubt(s, "is taken over without "+s.arg(1)+" (it belongs into track_script)")
	}
}

var fileWords = keywords{"file": word(""), "weight": (*importer).weight, "init_file": left("a file that is missing counts as 0")}

func (im *importer) trackFile(s *statement, t *table) {
	c := t.add("vrrp_track_file", true)
	c.set("name", quote(s.arg(0)))
	im.apply(c, s.block, fileWords, "track_file "+s.arg(0))
}

var processWords = with(each(number(""), "quorum", "quorum_max"), each(duration(""), "delay", "terminate_delay"), keywords{
	"process":      (*importer).process,
	"weight":       (*importer).weight,
	"fork_delay":   duration("delay"),
	"param_match":  left("args are compared as a whole"),
	"full_command": left("an absolute path in process is compared as a whole"),
})

// process reads process COMMAND [ARGUMENTS].
func (im *importer) process(s *statement, t *table) {
	all := s.all()
	if len(all) == 1 {
		all = strings.Fields(all[0])
	}
	if len(all) == 0 {
		im.doubt(s, "is left out: it has no command")
		return
	}
	t.set("process", quote(all[0]))
	if len(all) > 1 {
		t.set("args", list(all[1:]))
	}
}

func (im *importer) trackProcess(s *statement, t *table) {
	c := t.add("vrrp_track_process", true)
	c.set("name", quote(s.arg(0)))
	im.apply(c, s.block, processWords, "track_process "+s.arg(0))
}

// addressPort is how Baton has an address and a port; "" is no port.
func addressPort(address, port string) string {
	if port == "" {
		return address
	}
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() || strings.Contains(address, ":") {
		return "[" + address + "]:" + port
	}
	return address + ":" + port
}
