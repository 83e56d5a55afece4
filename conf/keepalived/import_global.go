package keepalived

import (
	"slices"
	"strconv"
)

var globalWords = with(keywords{
	"router_id":                    word(""),
	"vrrp_version":                 number(""),
	"vrrp_mcast_group4":            word(""),
	"vrrp_mcast_group6":            word(""),
	"vrrp_startup_delay":           duration(""),
	"script_user":                  text(""),
	"lvs_sync_daemon":              (*importer).syncDaemon,
	"lvs_timeouts":                 (*importer).timeouts,
	"vrrp_notify_fifo":             left("follow the log, or `baton events -f --json`"),
	"lvs_notify_fifo":              left("follow the log, or `baton events -f --json`"),
	"notify_fifo":                  left("follow the log, or `baton events -f --json`"),
	"vrrp_strict":                  left("Baton refuses what contradicts itself, and has no stricter mode"),
	"vrrp_iptables":                left("accept = false of an instance needs no chain"),
	"vrrp_higher_prio_send_advert": left("a master that hears a higher priority steps back without a word"),
	"lvs_flush":                    left("Baton owns only its own services, and tells of others"),
	"lvs_flush_onstop":             left("on_stop = \"remove\" in [global] takes its own services away at a stop"),
	"startup_script":               left("ExecStartPre= of the unit does that"),
	"shutdown_script":              left("ExecStopPost= of the unit does that"),
},
	each(left("Baton sends no mail (alerts: examples/prometheus-rules.yml)"), "notification_email", "notification_email_from", "smtp_server", "smtp_connect_timeout", "smtp_helo_name", "smtp_alert", "smtp_alert_vrrp", "smtp_alert_checker"),
	each(left("Baton has no SNMP (metrics: control_listen in [global])"), "enable_traps", "snmp_socket", "enable_snmp_keepalived", "enable_snmp_vrrp", "enable_snmp_checker", "enable_snmp_rfc", "enable_snmp_rfcv2", "enable_snmp_rfcv3", "enable_dbus", "dbus_service_name"),
	each(duration(""), "vrrp_garp_master_delay", "vrrp_garp_master_refresh", "vrrp_garp_lower_prio_delay", "vrrp_garp_interval", "vrrp_gna_interval"),
	each(number(""), "vrrp_garp_master_repeat", "vrrp_garp_master_refresh_repeat", "vrrp_garp_lower_prio_repeat"),
	each(silent, "enable_script_security", "use_symlink_paths", "dynamic_interfaces", "process_names", "process_name", "vrrp_process_name", "checker_process_name", "nftables", "vrrp_ipsets",
		"vrrp_priority", "checker_priority", "bfd_priority", "vrrp_no_swap", "checker_no_swap", "vrrp_rt_priority", "checker_rt_priority", "vrrp_rlimit_rttime", "vrrp_rlimit_rtime", "checker_rlimit_rttime",
		"max_auto_priority", "min_auto_priority_delay", "vrrp_cpu_affinity", "checker_cpu_affinity", "vrrp_skip_check_adv_addr", "vrrp_check_unicast_src", "vrrp_lower_prio_no_advert",
		"vrrp_netlink_cmd_rcv_bufs", "vrrp_netlink_cmd_rcv_bufs_force", "vrrp_netlink_monitor_rcv_bufs", "vrrp_netlink_monitor_rcv_bufs_force", "lvs_netlink_cmd_rcv_bufs", "lvs_netlink_monitor_rcv_bufs",
		"vrrp_rx_bufs_policy", "vrrp_rx_bufs_multiplier", "rs_init_notifies", "no_checker_emails", "umask", "config_save_dir", "data_use_instance", "default_interface", "no_email_faults", "reload_time_file", "random_seed"),
)

// syncDaemon reads lvs_sync_daemon INTERFACE [INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group G].
func (im *importer) syncDaemon(s *statement, _ *table) {
	t := im.ipvs().add("lvs_sync_daemon", false)
	names := map[string]string{"id": "syncid", "maxlen": "maxlen", "port": "port", "ttl": "ttl", "group": "group"}
	rest := s.words[1:]
	if len(rest) > 0 {
		t.set("interface", quote(rest[0]))
		rest = rest[1:]
	}
	if len(rest) > 0 && names[rest[0]] == "" {
		t.set("vrrp_instance", quote(rest[0]))
		rest = rest[1:]
	}
	for ; len(rest) > 1; rest = rest[2:] {
		name := names[rest[0]]
		_, err := strconv.ParseUint(rest[1], 10, 32)
		switch {
		case name == "group":
			t.set(name, quote(rest[1]))
		case name != "" && err == nil:
			t.set(name, rest[1])
		default:
			im.doubt(s, "is taken over without "+rest[0]+" "+rest[1])
		}
	}
	if len(rest) == 1 {
		im.doubt(s, "is taken over without "+rest[0])
	}
}

// timeouts reads lvs_timeouts [tcp N] [tcpfin N] [udp N].
func (im *importer) timeouts(s *statement, _ *table) {
	t := im.ipvs().add("lvs_timeouts", false)
	for rest := s.all(); len(rest) > 0; rest = rest[min(2, len(rest)):] {
		if len(rest) > 1 && slices.Contains([]string{"tcp", "tcpfin", "udp"}, rest[0]) {
			if d, ok := seconds(rest[1]); ok {
				t.set(rest[0], d)
				continue
			}
		}
		im.doubt(s, "is taken over without "+rest[0])
	}
}

// ipvs is the table [ipvs].
func (im *importer) ipvs() *table {
	for _, s := range im.out.subs {
		if s.name == "ipvs" {
			return s.table
		}
	}
	return im.out.add("ipvs", false)
}
