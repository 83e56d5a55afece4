package conf

import (
	"reflect"
	"slices"
	"strings"
)

// unknown reports a key that the table does not have, with the nearest guess
// at what was meant: the same word in another case, a keepalived word that is
// spelled otherwise here, a key of another table, a misspelling.
func (d *decoder) unknown(path, name string, spec *tableSpec) {
	p := d.errorf(join(path, name), "unknown key")
	if d.flooded(SeverityError) {
		return
	}
	known := spec.names()
	for _, k := range known {
		if strings.EqualFold(k, name) {
			p.remedy("keys are case-sensitive: did you mean %q?", k)
			return
		}
	}
	if r, ok := keepalivedWords[name]; ok {
		p.remedy("%s", r)
		return
	}
	if homes := homesOf(name); len(homes) > 0 {
		p.remedy("it belongs in %s", strings.Join(homes, " or "))
		return
	}
	if n := nearest(name, known); n != "" {
		p.remedy("did you mean %q?", n)
		return
	}
	if n := nearest(name, allKeys()); n != "" {
		p.remedy("did you mean %q, which belongs in %s?", n, strings.Join(homesOf(n), " or "))
		return
	}
	p.remedy("remove it; known here: %s", strings.Join(known, ", "))
}

// homesOf returns the tables that have a key of this name.
func homesOf(name string) []string {
	var homes []string
	walkTables(func(path string, spec *tableSpec) {
		if _, ok := spec.byName[name]; !ok {
			return
		}
		if path == "" {
			homes = append(homes, "the top level of the file")
		} else {
			homes = append(homes, "["+path+"]")
		}
	})
	return homes[:min(len(homes), 3)]
}

// allKeys returns the names of every key in the format.
func allKeys() []string {
	var keys []string
	walkTables(func(_ string, spec *tableSpec) {
		for _, k := range spec.keys {
			if k.kind == kindLeaf {
				keys = append(keys, k.name)
			}
		}
	})
	slices.Sort(keys)
	return slices.Compact(keys)
}

// walkTables visits every table of the format, outer ones first.
func walkTables(visit func(path string, spec *tableSpec)) {
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		spec := specOf(t)
		visit(path, spec)
		for _, k := range spec.keys {
			if k.kind != kindLeaf {
				walk(k.table, join(path, k.name))
			}
		}
	}
	walk(reflect.TypeFor[rawFile](), "")
}

const notYet = "Baton does not do this yet; remove it"

// keepalivedWords are keys of keepalived.conf that are written otherwise here
// or have no effect in Baton: whoever brings them along is told which.
var keepalivedWords = map[string]string{
	"state":              "remove it: every director starts as BACKUP and the priority decides",
	"preempt":            "remove it: preempting is the default; nopreempt = true turns it off",
	"lvs_sched":          "use lb_algo",
	"lvs_method":         "use lb_kind",
	"ip_family":          "remove it: the address tells",
	"HTTP_GET":           "use http_get",
	"SSL_GET":            "use https_get",
	"TCP_CHECK":          "use tcp_check",
	"ssl_get":            "use https_get",
	"url":                "write path and status_code into the check itself",
	"digest":             "use sha256, of the whole body",
	"notify_master":      notYet,
	"notify_backup":      notYet,
	"notify_fault":       notYet,
	"notify_stop":        notYet,
	"notify":             notYet,
	"notify_up":          notYet,
	"notify_down":        notYet,
	"authentication":     notYet,
	"unicast_src_ip":     notYet,
	"unicast_peer":       notYet,
	"track_interface":    notYet,
	"track_script":       notYet,
	"track_file":         notYet,
	"track_process":      notYet,
	"virtual_routes":     notYet,
	"virtual_rules":      notYet,
	"use_vmac":           notYet,
	"vrrp_sync_group":    notYet,
	"vrrp_script":        notYet,
	"sorry_server":       notYet,
	"quorum":             notYet,
	"hysteresis":         notYet,
	"quorum_up":          notYet,
	"quorum_down":        notYet,
	"alpha":              "remove it: a new server waits for its first pass anyway",
	"omega":              notYet,
	"warmup":             "remove it: first checks are spread over the shorter of delay_loop and 1 s",
	"fwmark":             notYet,
	"lvs_sync_daemon":    notYet,
	"persistence_engine": notYet,
	"misc_check":         notYet,
	"smtp_check":         notYet,
	"dns_check":          notYet,
	"udp_check":          notYet,
	"ping_check":         notYet,
	"file_check":         notYet,
	"MISC_CHECK":         notYet,
	"SMTP_CHECK":         notYet,
	"DNS_CHECK":          notYet,
	"UDP_CHECK":          notYet,
	"PING_CHECK":         notYet,
	"notification_email": "remove it: Baton sends no mail, it logs an event",
	"smtp_server":        "remove it: Baton sends no mail, it logs an event",
	"smtp_alert":         "remove it: Baton sends no mail, it logs an event",

	"virtual_ipaddress_excluded": notYet,
}
