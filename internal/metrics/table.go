package metrics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"baton/ipvs"
)

// The labels of a service and of a server are those of Prometheus's
// node_exporter, with the same values, and the same for every metric: what one
// says can be joined with what another says of the same server as it is.
var (
	ofService = []string{"local_address", "local_port", "proto", "local_mark"}
	ofServer  = []string{"local_address", "local_port", "remote_address", "remote_port", "proto", "local_mark"}
)

// tableFigures are those of the kernel's table as a whole.
var tableFigures = []figure[IPVS]{
	{gauge("baton_ipvs_programmed", "Whether the kernel has taken the last table."),
		func(w *writer, t *IPVS) { w.bool(t.OK) }},
	{gauge("baton_ipvs_readable", "Whether the kernel's table could be read for this scrape."),
		func(w *writer, t *IPVS) { w.bool(t.Readable) }},
	{gauge("baton_ipvs_read_timestamp_seconds", "When the figures of services and servers were read from the kernel."),
		func(w *writer, t *IPVS) { w.moment(t.Read) }},
	{gauge("baton_ipvs_foreign_services", "Services in the kernel's table that are not Baton's."),
		func(w *writer, t *IPVS) { w.int(t.Foreign) }},
	{gauge("baton_ipvs_sync_daemon_running", "Whether the synchronisation daemon runs.", "role", "interface", "syncid"),
		func(w *writer, t *IPVS) {
			for _, d := range t.Daemons {
				w.bool(d.Running, d.Role, d.Interface, strconv.Itoa(int(d.SyncID)))
			}
		}},
}

// What has one label more than the others of a service.
var (
	serviceInfo   = gauge("baton_virtual_server_info", "Always 1; the virtual_server that the IPVS service is of.", append(ofService[:4:4], "virtual_server")...)
	serviceStates = gauge("baton_virtual_server_servers", "Real servers of the service, by state.", append(ofService[:4:4], "state")...)
)

var stateNames = [...]string{"up", "down", "unknown", "draining", "drained"}

// serviceCounts are those of a service: of the virtual_server that is in the
// configuration, and of the entry in the kernel.
var serviceCounts = []count[Service]{
	{gauge("baton_virtual_server_programmed", "Whether the service stands in the kernel's table.", ofService...), func(s *Service) (uint64, bool) { return truth(s.There), s.configured() }},
	{gauge("baton_virtual_server_up", "Whether the service has its quorum.", ofService...), func(s *Service) (uint64, bool) { return truth(s.Quorum), s.configured() }},
	{gauge("baton_virtual_server_quorum", "Weight that the service needs.", ofService...), func(s *Service) (uint64, bool) { return uint64(s.Needed), s.configured() }},
	{gauge("baton_virtual_server_weight", "Weight of the servers that are up and not drained.", ofService...), func(s *Service) (uint64, bool) { return uint64(s.Weight), s.configured() }},
	{gauge("baton_virtual_server_sorry", "Whether the sorry server stands in; absent without one.", ofService...), func(s *Service) (uint64, bool) { return truth(s.Sorry), s.configured() && s.HasSorry }},
	{counter("baton_ipvs_connections_total", "Connections that the service was given.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.Connections })},
	{counter("baton_ipvs_incoming_packets_total", "Packets from clients.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.PacketsIn })},
	{counter("baton_ipvs_outgoing_packets_total", "Packets to clients that pass the director: with NAT alone.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.PacketsOut })},
	{counter("baton_ipvs_incoming_bytes_total", "Bytes from clients.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.BytesIn })},
	{counter("baton_ipvs_outgoing_bytes_total", "Bytes to clients that pass the director: with NAT alone.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.BytesOut })},
	{gauge("baton_ipvs_connections_per_second", "The kernel's own average of the last seconds.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.ConnectionRate })},
	{gauge("baton_ipvs_incoming_packets_per_second", "The kernel's own average of the last seconds.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.PacketInRate })},
	{gauge("baton_ipvs_outgoing_packets_per_second", "The kernel's own average of the last seconds.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.PacketOutRate })},
	{gauge("baton_ipvs_incoming_bytes_per_second", "The kernel's own average of the last seconds.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.ByteInRate })},
	{gauge("baton_ipvs_outgoing_bytes_per_second", "The kernel's own average of the last seconds.", ofService...), ofKernel(func(c *ipvs.Counters) uint64 { return c.ByteOutRate })},
}

func ofKernel(value func(*ipvs.Counters) uint64) func(*Service) (uint64, bool) {
	return func(s *Service) (uint64, bool) { return value(&s.Counters), s.There }
}

func (s *Service) configured() bool { return s.Name != "" && !s.Leaving }

// serverCounts are those of a server, likewise.
var serverCounts = []count[Server]{
	{gauge("baton_server_up", "Whether the server's health checks pass.", ofServer...), func(s *Server) (uint64, bool) { return truth(s.Healthy), s.Configured }},
	{gauge("baton_server_effective_weight", "Weight that the server is to have now; 0 also for one that is to have no entry.", ofServer...), func(s *Server) (uint64, bool) { return uint64(s.Weight), s.Configured }},
	{gauge("baton_server_path_ok", "Whether the server does its part for the virtual address; absent where that is not checked, or not yet known.", ofServer...), func(s *Server) (uint64, bool) {
		return truth(s.Path == PathOK), s.Configured && s.Path != PathUnknown
	}},
	{gauge("baton_server_drain_deadline_timestamp_seconds", "When the drain of the server ends at the latest; absent while it does not drain.", ofServer...), func(s *Server) (uint64, bool) {
		return uint64(s.Deadline), s.State == Draining
	}},
	{gauge("baton_ipvs_backend_weight", "Weight in the kernel's table.", ofServer...), func(s *Server) (uint64, bool) { return uint64(max(s.KernelWeight, 0)), s.There }},
	{gauge("baton_ipvs_backend_connections_active", "Established connections (ipvsadm: ActiveConn).", ofServer...), ofEntry(func(st *ipvs.ServerStats) uint64 { return uint64(st.Active) })},
	{gauge("baton_ipvs_backend_connections_inactive", "Connections in any other state (ipvsadm: InActConn).", ofServer...), ofEntry(func(st *ipvs.ServerStats) uint64 { return uint64(st.Inactive) })},
	{counter("baton_ipvs_backend_connections_total", "Connections that the server was given.", ofServer...), ofEntry(func(st *ipvs.ServerStats) uint64 { return st.Counters.Connections })},
	{counter("baton_ipvs_backend_incoming_packets_total", "Packets for the server.", ofServer...), ofEntry(func(st *ipvs.ServerStats) uint64 { return st.Counters.PacketsIn })},
	{counter("baton_ipvs_backend_outgoing_packets_total", "Packets from the server that pass the director: with NAT alone.", ofServer...), ofEntry(func(st *ipvs.ServerStats) uint64 { return st.Counters.PacketsOut })},
	{counter("baton_ipvs_backend_incoming_bytes_total", "Bytes for the server.", ofServer...), ofEntry(func(st *ipvs.ServerStats) uint64 { return st.Counters.BytesIn })},
	{counter("baton_ipvs_backend_outgoing_bytes_total", "Bytes from the server that pass the director: with NAT alone.", ofServer...), ofEntry(func(st *ipvs.ServerStats) uint64 { return st.Counters.BytesOut })},
}

// ofEntry is what the kernel counts of a server that it has.
func ofEntry(value func(*ipvs.ServerStats) uint64) func(*Server) (uint64, bool) {
	return func(s *Server) (uint64, bool) {
		if !s.There {
			return 0, false
		}
		return value(s.Stats), true
	}
}

func truth(v bool) uint64 { return uint64(number(v)) }

func (w *writer) table(s *Snapshot) {
	figures(w, tableFigures, []IPVS{s.IPVS})
	l := labelRoom.Get().(*labels)
	defer labelRoom.Put(l)
	l.render(s)
	w.begin(serviceInfo)
	for i := range s.Services {
		if name := s.Services[i].Name; name != "" {
			w.extended(l.service(i), "virtual_server", name, 1)
		}
	}
	w.begin(serviceStates)
	for i := range s.Services {
		if sv := &s.Services[i]; sv.configured() {
			for state, n := range sv.States {
				w.extended(l.service(i), "state", stateNames[state], uint64(n))
			}
		}
	}
	counts(w, serviceCounts, s.Services, l.service)
	counts(w, serverCounts, s.Servers, l.server)
}

// number writes a line whose labels are rendered already.
func (w *writer) number(labels []byte, v uint64) {
	w.head()
	b := append(append(w.b, w.fam.Name...), labels...)
	if v < 10 { // most are
		b = append(b, byte('0'+v), '\n')
	} else {
		b = append(strconv.AppendUint(b, v, 10), '\n')
	}
	if w.b = b; len(b) >= flushAt {
		w.flush()
	}
}

// extended writes such a line with one label more.
func (w *writer) extended(labels []byte, name, value string, v uint64) {
	w.head()
	w.b = append(w.b, w.fam.Name...)
	w.b = append(w.b, labels[:len(labels)-len(closing)]...)
	w.b = append(w.b, ',')
	w.b = appendLabel(w.b, name, value)
	w.b = append(w.b, closing...)
	w.b = strconv.AppendUint(w.b, v, 10)
	w.end()
}

// closing is what labels end with.
const closing = "} "

// labels are those of all services and servers, rendered once for all metrics, with
// their braces.
type labels struct {
	text      []byte
	serviceAt []int32 // where those of a service end
	serverAt  []int32
}

func (l *labels) service(i int) []byte { return cut(l.text, l.serviceAt, i, 0) }
func (l *labels) server(i int) []byte {
	return cut(l.text, l.serverAt, i, l.serviceAt[len(l.serviceAt)-1])
}

func cut(text []byte, ends []int32, i int, begin int32) []byte {
	if i > 0 {
		begin = ends[i-1]
	}
	return text[begin:ends[i]]
}

// labelSize is about what the labels of one server take.
const labelSize = 116

// labelRoom are labels of scrapes that have ended: room for the next.
var labelRoom = sync.Pool{New: func() any { return &labels{} }}

func (l *labels) render(s *Snapshot) {
	l.text = slices.Grow(l.text[:0], labelSize*(len(s.Services)+len(s.Servers)))
	l.serviceAt, l.serverAt = slices.Grow(l.serviceAt[:0], len(s.Services)), slices.Grow(l.serverAt[:0], len(s.Servers))
	for i := range s.Services {
		l.text = appendLocal(l.text, s.Services[i].Key)
		l.text = appendRest(l.text, s.Services[i].Key)
		l.serviceAt = append(l.serviceAt, int32(len(l.text)))
	}
	for i := range s.Servers {
		sv := &s.Servers[i]
		k := s.Services[sv.Service].Key
		l.text = appendLocal(l.text, k)
		l.text = append(l.text, `remote_address="`...)
		l.text = sv.Key.Address.AppendTo(l.text)
		l.text = append(l.text, `",remote_port="`...)
		l.text = strconv.AppendUint(l.text, uint64(sv.Key.Port), 10)
		l.text = append(l.text, `",`...)
		l.text = appendRest(l.text, k)
		l.serverAt = append(l.serverAt, int32(len(l.text)))
	}
}

// appendLocal has what node_exporter says of a service. A firewall mark has no
// address: one of IPv6 has "::", for it may stand beside the same mark of IPv4.
func appendLocal(b []byte, k ipvs.ServiceKey) []byte {
	switch {
	case k.FWMark == 0:
		b = append(b, `{local_address="`...)
		b = k.Address.AppendTo(b)
		b = append(b, `",local_port="`...)
		b = strconv.AppendUint(b, uint64(k.Port), 10)
		return append(b, `",`...)
	case k.Family == ipvs.IPv6:
		return append(b, `{local_address="::",local_port="0",`...)
	}
	return append(b, `{local_port="0",`...)
}

var protocols = map[ipvs.Protocol]string{ipvs.TCP: "TCP", ipvs.UDP: "UDP", ipvs.SCTP: "SCTP"}

func appendRest(b []byte, k ipvs.ServiceKey) []byte {
	if k.FWMark != 0 {
		return fmt.Appendf(b, `proto="FWM",local_mark="%08X"`+closing, k.FWMark)
	}
	b = append(b, `proto="`...)
	name, known := protocols[k.Protocol]
	if !known { // somebody else's
		name = strings.ToUpper(string(k.Protocol))
	}
	b = append(b, name...)
	return append(b, `"`+closing...)
}
