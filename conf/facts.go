package conf

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"baton/ipvs"
)

// What the operator wrote, read back from the typed values. A value that stands
// at its default is a fact as well, so that removing a key is told like
// changing it.

// told is a fact that is worth a word when its object is added.
func told(key, value string) fact {
	f := fact{key: key, value: value}
	if value != "" {
		f.brief = key + " " + value
	}
	return f
}

func (g Global) facts() []fact {
	late := func(key, value string) fact { return fact{key: key, value: value, restart: true} }
	return []fact{
		{key: "router_id", value: g.RouterID},
		{key: "startup_delay_max", value: format(g.StartupDelayMax)},
		late("resync_interval", format(g.ResyncInterval)),
		{key: "drain_timeout", value: format(g.DrainTimeout)},
		late("on_stop", g.OnStop),
		late("log_format", g.LogFormat),
		{key: "log_level", value: g.LogLevel},
		late("runtime_dir", g.RuntimeDir),
		late("state_dir", g.StateDir),
		late("control_socket", g.ControlSocket),
		late("control_group", g.ControlGroup),
		{key: "control_listen", value: addrPortText(g.ControlListen)},
		{key: "keepalived_names", value: yes(g.KeepalivedNames)},
		late("prober_user", g.ProberUser),
	}
}

func serviceObject(s *VirtualServer) object {
	o := object{name: "virtual_server " + s.Name, facts: poolFacts(*s)}
	for _, r := range s.Servers {
		o.parts = append(o.parts, object{
			name:  o.name + " real_server " + r.Server.Key.String(),
			facts: serverFacts(r),
		})
	}
	return o
}

func poolFacts(v VirtualServer) []fact {
	f := []fact{told("services", keysText(v.Keys))}
	f = append(f, serviceFacts(v.Service)...)
	sorry := ""
	if v.Sorry != nil {
		sorry = v.Sorry.Server.Key.String()
		for _, x := range serverFacts(*v.Sorry) {
			if x.value != "" {
				sorry += " " + x.key + " " + x.value
			}
		}
	}
	quorum := ""
	if v.Quorum > 1 {
		quorum = fmt.Sprint(v.Quorum)
	}
	return append(f,
		fact{key: "alpha", value: fmt.Sprint(v.Alpha)},
		told("omega", yes(v.Omega)),
		told("quorum", quorum),
		told("hysteresis", positive(uint32(v.Hysteresis))),
		told("quorum_up", commandText(v.QuorumUp)),
		told("quorum_down", commandText(v.QuorumDown)),
		told("sorry_server", sorry),
		told("sorry_server_inhibit", yes(v.SorryInhibit)),
		fact{key: "drain_timeout", value: format(v.DrainTimeout)},
		fact{key: "path_check_interval", value: span(v.PathCheck)},
	)
}

// keysText is what a virtual_server with more than one service serves: all of
// it, or where that does not fit into a line, how much and a hash.
func keysText(keys []ipvs.ServiceKey) string {
	if len(keys) < 2 {
		return ""
	}
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.String()
	}
	text := strings.Join(all, " ")
	if len(keys) <= 16 {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%d (%s to %s, #%x)", len(keys), keys[0], keys[len(keys)-1], sum[:3])
}

func (i IPVS) facts() []fact {
	fs := []fact{
		told("lvs_timeouts tcp", span(i.Timeouts.TCP)),
		told("lvs_timeouts tcpfin", span(i.Timeouts.TCPFin)),
		told("lvs_timeouts udp", span(i.Timeouts.UDP)),
	}
	sync := ""
	if d := i.Sync; d != nil {
		sync = fmt.Sprintf("%s syncid %d", d.Interface, d.SyncID) + optional("maxlen", positive(uint32(d.MaxLen))) + optional("port", positive(uint32(d.Port))) +
			optional("ttl", positive(uint32(d.TTL))) + optional("group", addrText(d.Group))
	}
	fs = append(fs, told("lvs_sync_daemon", sync))
	for _, s := range i.Sysctls {
		fs = append(fs, told(s.Name, s.Value))
	}
	return fs
}

func serviceFacts(s ipvs.Service) []fact {
	fs := []fact{
		told("lb_algo", s.Scheduler),
		told("flags", strings.Join(s.SchedFlags.Names(s.Scheduler), " ")),
		told("ops", yes(s.OnePacket)),
		told("persistence_timeout", span(s.Persistence)),
	}
	granularity := ""
	if s.PersistenceMask != 0 {
		granularity = s.PersistenceMask.Format(s.Key.AF())
	}
	return append(fs, told("persistence_granularity", granularity), told("persistence_engine", s.PersistenceEngine))
}

func serverFacts(r RealServer) []fact {
	s := r.Server
	fs := []fact{
		told("weight", fmt.Sprint(s.Weight)),
		told("lb_kind", string(s.Forward)),
		told("tunnel", tunnelText(s.Tunnel)),
		told("inhibit_on_failure", yes(r.InhibitOnFailure)),
		told("slow_start", span(r.SlowStart)),
		told("notify_up", commandText(r.NotifyUp)),
		told("notify_down", commandText(r.NotifyDown)),
		told("uthreshold", positive(s.UpperThreshold)),
		told("lthreshold", positive(s.LowerThreshold)),
	}
	for _, c := range r.Checks {
		word := c.ID[strings.LastIndexByte(c.ID, ' ')+1:]
		fs = append(fs, told(word, checkText(c)))
	}
	return fs
}

func tunnelText(t ipvs.Tunnel) string {
	if t == (ipvs.Tunnel{}) {
		return ""
	}
	return fmt.Sprintf("%s port %d flags %d", t.Type, t.Port, t.Flags)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func span(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return format(d)
}

func positive(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
