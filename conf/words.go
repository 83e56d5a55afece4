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
	table := heading(path)
	for _, word := range []string{join(table, name), join(table[strings.LastIndexByte(table, '.')+1:], name), name} {
		if r, ok := keepalivedWords[word]; ok {
			p.remedy("%s", r)
			return
		}
	}
	for _, k := range known {
		if strings.HasSuffix(k, "_"+name) || strings.HasPrefix(k, name+"_") {
			p.remedy("did you mean %q?", k)
			return
		}
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
	if len(known) > 20 {
		p.remedy("remove it; docs/config.md has the keys of this table")
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
				p := join(path, k.name)
				if k.kind == kindNamed {
					p = join(p, "NAME")
				}
				walk(k.table, p)
			}
		}
	}
	walk(reflect.TypeFor[rawFile](), "")
}

const notYet = "Baton does not do this yet; remove it"

// keepalivedWords are keys of keepalived.conf that are written otherwise here
// or have no effect in Baton: whoever brings them along is told which. A word
// that is a key in another table stands with the table that it is not one of.
var keepalivedWords = map[string]string{
	"state":                            "remove it: every director starts as BACKUP and the priority decides",
	"preempt":                          "remove it: preempting is the default; nopreempt = true turns it off",
	"lvs_sched":                        "use lb_algo",
	"lvs_method":                       "use lb_kind",
	"HTTP_GET":                         "use http_get",
	"SSL_GET":                          "use https_get",
	"TCP_CHECK":                        "use tcp_check",
	"ssl_get":                          "use https_get",
	"SSL":                              "write its keys into the https_get itself",
	"https_get.ca":                     "use ca_file",
	"https_get.certificate":            "use cert_file",
	"https_get.key":                    "use key_file",
	"enable_sni":                       "remove it: the name is always sent; server_name changes it",
	"fast_recovery":                    "use rise = 1, which is the default",
	"tls_compliant":                    "remove it: connections are ended as TLS wants it",
	"nb_get_retry":                     "use retry",
	"nb_sock_retry":                    "use retry",
	"misc_check.user":                  "remove it: checks run as prober_user of [global]",
	"file_check.track_file":            "use file, with the path itself",
	"file_check.reverse":               "use a weight with the other sign",
	"checker_log_all_failures":         "use log_all_failures in the virtual_server",
	"BFD_CHECK":                        notYet,
	"bfd_check":                        notYet,
	"digest":                           "use sha256, of the whole body",
	"sorry_server_lvs_method":          "write sorry_server = { address = \"…\", lb_kind = \"…\" }",
	"lvs_sync_daemon_interface":        "use [ipvs.lvs_sync_daemon]",
	"lvs_flush":                        "remove it: Baton adopts what is its own and touches nothing else",
	"lvs_flush_on_stop":                "use on_stop = \"remove\" in [global]",
	"lvs_flush_onstop":                 "use on_stop = \"remove\" in [global]",
	"virtualserver_group":              "use virtual_server_group",
	"tunnel_type":                      "use tun_type",
	"tun-type":                         "use tun_type",
	"tun-port":                         "use tun_port",
	"tun-csum":                         "use tun_csum = \"csum\"",
	"tun-nocsum":                       "use tun_csum = \"nocsum\"",
	"tun-remcsum":                      "use tun_csum = \"remcsum\"",
	"nat_mask":                         "remove it: the kernel has no such thing",
	"ipvs.lvs_timeouts.tcp_fin":        "use tcpfin",
	"ipvs.lvs_sync_daemon.sync_id":     "use syncid",
	"ipvs.lvs_sync_daemon.id":          "use syncid",
	"ipvs.lvs_sync_daemon.inst":        "use vrrp_instance",
	"ipvs.lvs_sync_daemon.mcast_group": "use group",
	"MISC_CHECK":                       "use misc_check",
	"SMTP_CHECK":                       "use smtp_check",
	"DNS_CHECK":                        "use dns_check",
	"UDP_CHECK":                        "use udp_check",
	"PING_CHECK":                       "use ping_check",
	"notification_email":               "remove it: Baton sends no mail, it logs an event",
	"smtp_server":                      "remove it: Baton sends no mail, it logs an event",
	"smtp_alert":                       "remove it: Baton sends no mail, it logs an event",

	"auth": "use authentication",

	"init_fail":                  "remove it: what does not answer counts as failed",
	"param_match":                "remove it: args has all arguments, and without args any will do",
	"full_command":               "remove it: a process that begins with / is the whole path",
	"fork_delay":                 "use delay, and terminate_delay for the other direction",
	"init_file":                  "remove it: Baton writes no file that it tracks; a missing one counts as 0",
	"track_bfd":                  notYet,
	"native_ipv6":                "remove it: the addresses tell",
	"dont_track_primary":         "remove it: without its interface an instance cannot hold its addresses",
	"use_ipvlan":                 notYet,
	"use_vmac_addr":              notYet,
	"vmac_prefix":                "use vmac_name in the vrrp_instance",
	"garp_extra_if":              notYet,
	"garp_group":                 "use garp_interval and gna_interval in the vrrp_instance",
	"strict_mode":                "remove it: nothing is relaxed unless a key says so",
	"vrrp_strict":                "remove it: nothing is relaxed unless a key says so",
	"lower_prio_no_advert":       notYet,
	"higher_prio_send_advert":    notYet,
	"skip_check_adv_addr":        "remove it: other addresses in an advert are told once and refuse nothing",
	"vrrp_skip_check_adv_addr":   "remove it: other addresses in an advert are told once and refuse nothing",
	"vrrp_check_unicast_src":     "remove it: check_unicast_src of the vrrp_instance is true without it",
	"old_unicast_checksum":       "use checksum",
	"unicast_fault_no_peer":      "remove it: an empty unicast_peer is refused",
	"track_src_ip":               notYet,
	"notify_deleted":             notYet,
	"notify_master_rx_lower_pri": notYet,
	"notify_priority_changes":    notYet,
	"notify_fifo":                "read the events instead: baton events -f --json",
	"notify_fifo_script":         "read the events instead: baton events -f --json",
	"vrrp_notify_fifo":           "read the events instead: baton events -f --json",
	"enable_script_security":     "remove it: scripts run as script_user, not as root",
	"global_tracking":            "use the track_ keys of the vrrp_sync_group",
	"sync_group_tracking_weight": "use the track_ keys of the vrrp_sync_group",
	"promote_secondaries":        "remove it: each address that is to be there is put back",
	"no_track":                   "remove it: an address that somebody took away is put back",
	"track_group":                notYet,
	"static_ipaddress":           "configure addresses that stay with the system's own network configuration",
	"static_routes":              "configure routes that stay with the system's own network configuration",
	"static_rules":               "configure rules that stay with the system's own network configuration",
	"global_defs":                "use [global]",
}
