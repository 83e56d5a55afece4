package keepalived

import (
	"fmt"
	"strconv"
	"strings"
)

// timing are the words of checks that stand in a virtual_server and a real_server too.
var timing = with(each(duration(""), "delay_loop", "connect_timeout", "delay_before_retry", "warmup"), keywords{
	"retry":            number(""),
	"nb_get_retry":     number("retry"),
	"log_all_failures": truth(""),
})

var serviceWords = with(timing, keywords{
	"lb_algo":                 algorithm,
	"lvs_sched":               algorithm,
	"lb_kind":                 forward("lb_kind"),
	"lvs_method":              forward("lb_kind"),
	"protocol":                word(""),
	"ip_family":               word(""),
	"persistence_timeout":     persistence,
	"persistence_granularity": word(""),
	"persistence_engine":      word(""),
	"alpha":                   truth(""),
	"omega":                   truth(""),
	"quorum":                  number(""),
	"hysteresis":              number(""),
	"quorum_up":               command(""),
	"quorum_down":             command(""),
	"sorry_server":            (*importer).sorryServer,
	"sorry_server_inhibit":    truth(""),
	"sorry_server_lvs_method": silent, // read with sorry_server
	"inhibit_on_failure":      truth(""),
	"real_server":             silent, // read behind all others
	"virtualhost":             silent, // read with the checks
	"weight":                  silent, // read with the servers
	"ha_suspend":              left("checks go on while the instance is not master, so that a takeover finds them answered"),
	"smtp_alert":              left("Baton sends no mail (alerts: examples/prometheus-rules.yml)"),
	"service_type":            left("protocol says it"),
	"snmp_name":               left("Baton has no SNMP"),
	"nat_mask":                silent, // of Linux 2.2
}, each(truth(""), "sh-port", "sh-fallback", "mh-port", "mh-fallback", "ops"),
	each(left("its flag has a name: sh-port, sh-fallback, mh-port, mh-fallback"), "flag-1", "flag-2", "flag-3"))

func algorithm(_ *importer, s *statement, t *table) { t.set("lb_algo", quote(s.arg(0))) }

// forward reads DR, NAT, or TUN [type ipip|gue port N|gre [nocsum|csum|remcsum]].
func forward(name string) handler {
	return func(im *importer, s *statement, t *table) {
		t.set(name, quote(s.arg(0)))
		rest := s.words[min(2, len(s.words)):]
		for ; len(rest) > 0; rest = rest[1:] {
			switch {
			case rest[0] == "type" && len(rest) > 1:
				t.set("tun_type", quote(rest[1]))
				rest = rest[1:]
			case rest[0] == "port" && len(rest) > 1:
				im.whole(s, t, "tun_port", rest[1])
				rest = rest[1:]
			case strings.HasSuffix(rest[0], "csum"):
				t.set("tun_csum", quote(rest[0]))
			default:
				im.doubt(s, "is taken over without "+rest[0])
			}
		}
	}
}

func persistence(im *importer, s *statement, t *table) {
	if s.arg(0) == "" {
		t.set("persistence_timeout", quote("6m")) // keepalived's without a number
		return
	}
	duration("")(im, s, t)
}

func (im *importer) sorryServer(s *statement, t *table) {
	method := ""
	for _, o := range im.block {
		if o.name() == "sorry_server_lvs_method" {
			method = o.arg(0)
		}
	}
	at := addressPort(s.arg(0), s.arg(1))
	if method == "" {
		t.set("sorry_server", quote(at))
		return
	}
	sorry := t.add("sorry_server", false)
	sorry.set("address", quote(at))
	sorry.set("lb_kind", quote(method))
}

// service reads virtual_server ADDRESS PORT, fwmark MARK or group NAME.
func (im *importer) service(s *statement, t *table) {
	vs := t.add("virtual_server", true)
	about := "virtual_server " + s.text()
	switch s.arg(0) {
	case "fwmark":
		im.whole(s, vs, "fwmark", s.arg(1))
	case "group":
		vs.set("virtual_server_group", quote(s.arg(1)))
	default:
		vs.set("address", quote(addressPort(s.arg(0), or(s.arg(1), "0"))))
	}
	was := im.block
	im.block = s.block
	defer func() { im.block = was }()
	im.apply(vs, s.block, serviceWords, about)
	if !vs.has("lb_kind") {
		vs.set("lb_kind", quote("NAT")) // keepalived's
	}
	if !vs.has("protocol") && s.arg(0) != "fwmark" {
		vs.set("protocol", quote("UDP")) // keepalived's, whatever the checks are: ipvsadm -Ln has said so of 2.2.7
		im.note(s.file, s.line, about+": protocol", "is not given and so UDP, as in keepalived (most mean TCP)")
	}
	if !vs.has("alpha") {
		vs.set("alpha", "false") // keepalived's: in the pool until a check fails
	}
	// A mark has all ports, and DR and TUN cannot change that of a group's service.
	d := serverDefaults{noPort: s.arg(0) == "fwmark" || s.arg(0) == "group" && vs.get("lb_kind") != quote("NAT")}
	for _, o := range s.block {
		switch o.name() {
		case "virtualhost":
			d.virtualhost = o.arg(0)
		case "weight":
			d.weight = o.arg(0)
		}
		d.checks(o)
	}
	for _, o := range s.block {
		if o.name() == "real_server" {
			im.server(o, vs, about, d)
		}
	}
}

// serverDefaults are what a virtual_server says for its servers and Baton has no word for.
type serverDefaults struct {
	virtualhost, weight, delayLoop string
	retry, pause                   bool // of checks are given: retry and delay_before_retry
	noPort                         bool // of the servers
}

// checks takes what is about the time of checks.
func (d *serverDefaults) checks(s *statement) {
	switch s.name() {
	case "delay_loop":
		d.delayLoop = s.arg(0)
	case "retry":
		d.retry = true
	case "delay_before_retry":
		d.pause = true
	}
}

var serverWords = with(timing, keywords{ // and the checks
	"weight":             number(""),
	"inhibit_on_failure": truth(""),
	"notify_up":          command(""),
	"notify_down":        command(""),
	"uthreshold":         number(""),
	"lthreshold":         number(""),
	"lvs_method":         forward("lb_kind"),
	"lb_kind":            forward("lb_kind"),
	"virtualhost":        silent, // read with the checks
	"alpha":              left("it is one for all servers of a virtual_server"),
	"smtp_alert":         left("Baton sends no mail (alerts: examples/prometheus-rules.yml)"),
	"snmp_name":          left("Baton has no SNMP"),
})

func (im *importer) server(s *statement, t *table, about string, d serverDefaults) {
	rs := t.add("real_server", true)
	port := s.arg(1)
	if port == "0" {
		port = ""
	}
	if d.noPort {
		rs.set("address", quote(s.arg(0)))
	} else {
		rs.set("address", quote(addressPort(s.arg(0), port)))
	}
	if d.weight != "" {
		im.whole(s, rs, "weight", d.weight)
	}
	for _, o := range s.block {
		switch o.name() {
		case "virtualhost":
			d.virtualhost = o.arg(0)
		}
		d.checks(o)
	}
	was := im.defaults
	im.defaults = d
	defer func() { im.defaults = was }()
	im.apply(rs, s.block, serverWords, about+": real_server "+s.text())
	for _, c := range rs.subs {
		if d.noPort && port != "" && needsPort[c.name] && !c.table.has("connect_port") {
			im.whole(s, c.table, "connect_port", port)
		}
	}
	rs.single()
}

// serverGroup reads lines such as 192.0.2.1-9 80, and fwmark 3.
func (im *importer) serverGroup(s *statement, t *table) {
	g := t.add("virtual_server_group", true)
	g.set("name", quote(s.arg(0)))
	var addresses, marks []string
	for _, c := range s.block {
		switch {
		case c.name() == "fwmark" && c.arg(0) != "":
			if _, err := strconv.ParseUint(c.arg(0), 10, 32); err != nil {
				im.doubt(c, fmt.Sprintf("is left out: %q is no mark", c.arg(0)))
				continue
			}
			marks = append(marks, c.arg(0))
		case len(c.words) <= 2:
			addresses = append(addresses, addressPort(c.name(), or(c.arg(0), "0")))
		default:
			im.doubt(c, fmt.Sprintf("is left out: %q is no address with a port", strings.Join(c.words, " ")))
		}
	}
	if len(addresses) > 0 {
		g.set("addresses", list(addresses))
	}
	if len(marks) > 0 {
		g.set("fwmark", "["+strings.Join(marks, ", ")+"]")
	}
}
