package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"baton/vrrp"
)

// instanceFigures are those of one instance.
var instanceFigures = []figure[Instance]{
	{gauge("baton_vrrp_instance_info", "Always 1; what the instance is.", "vrrp_instance", "interface", "vrid", "version", "family", "group"),
		func(w *writer, i *Instance) {
			c := i.Config
			w.int(1, c.Name, c.Interface, strconv.Itoa(int(c.VRID)), strconv.Itoa(int(c.Version)), "ipv"+strconv.Itoa(int(c.Family())), i.Group)
		}},
	{gauge("baton_vrrp_state", "1 for the state that the instance is in, 0 for the others.", "vrrp_instance", "state"),
		func(w *writer, i *Instance) { w.role(string(i.Role), i.Config.Name) }},
	{gauge("baton_vrrp_last_transition_timestamp_seconds", "When the instance changed its state last.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.moment(i.Since, i.Config.Name) }},
	{gauge("baton_vrrp_master_since_timestamp_seconds", "Since when the instance is master here; absent while it is not.", "vrrp_instance"),
		func(w *writer, i *Instance) {
			if i.Role == vrrp.Master {
				w.moment(i.Since, i.Config.Name)
			}
		}},
	{gauge("baton_vrrp_priority", "Configured priority.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.int(int(i.Config.Priority), i.Config.Name) }},
	{gauge("baton_vrrp_effective_priority", "Priority after tracking, the one in adverts.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.int(int(i.EffectivePriority), i.Config.Name) }},
	{gauge("baton_vrrp_ready", "Whether the ready gate is open: without it the instance never becomes master.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.bool(!i.NotReady, i.Config.Name) }},
	{gauge("baton_vrrp_link_up", "Whether the interface can carry adverts.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.bool(i.Link, i.Config.Name) }},
	{gauge("baton_vrrp_handover", "Whether the instance is being handed over.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.bool(i.Handover, i.Config.Name) }},
	{gauge("baton_vrrp_advert_interval_seconds", "Configured time between two adverts.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.seconds(i.Config.AdvertInterval, i.Config.Name) }},
	{counter("baton_vrrp_adverts_sent_total", "Adverts sent, those that resign included.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.uint(i.Sent, i.Config.Name) }},
	{counter("baton_vrrp_adverts_received_total", "Valid adverts of others.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.uint(i.Received, i.Config.Name) }},
	{counter("baton_vrrp_priority_zero_sent_total", "Adverts sent that resign.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.uint(i.PriorityZeroSent, i.Config.Name) }},
	{counter("baton_vrrp_priority_zero_received_total", "Adverts received that resign.", "vrrp_instance"),
		func(w *writer, i *Instance) { w.uint(i.PriorityZeroSeen, i.Config.Name) }},
	{counter("baton_vrrp_adverts_dropped_total", "Packets for the instance that were no valid adverts.", "vrrp_instance", "reason"),
		func(w *writer, i *Instance) { w.byReason(i.Dropped, i.Config.Name) }},
	{gauge("baton_vrrp_track_up", "Whether what the instance tracks is well; absent until that is known.", "vrrp_instance", "kind", "name"),
		func(w *writer, i *Instance) {
			for _, t := range i.Tracks {
				if t.State != trackUnknown {
					w.bool(t.State == trackUp, i.Config.Name, string(t.Kind), t.Name)
				}
			}
		}},
}

// electionFigures are those of a director's elections as a whole.
var electionFigures = []figure[Snapshot]{
	{counter("baton_vrrp_transitions_total", "Changes of state, seen since the director started.", "vrrp_instance", "from", "to", "reason"),
		func(w *writer, s *Snapshot) {
			for _, t := range slices.SortedFunc(maps.Keys(s.Transitions), Transition.compare) {
				w.uint(s.Transitions[t], t.Instance, string(t.From), string(t.To), t.Reason)
			}
		}},
	{counter("baton_vrrp_interface_packets_dropped_total", "Packets of protocol 112 that belong to no instance of the interface.", "interface", "reason"),
		func(w *writer, s *Snapshot) {
			told := map[string]bool{}
			for _, i := range s.Instances {
				if !told[i.Config.Interface] {
					told[i.Config.Interface] = true
					w.byReason(i.InterfaceDropped, i.Config.Interface)
				}
			}
		}},
	{gauge("baton_vrrp_sync_group_state", "1 for the state that all members of the group are in, 0 for the others.", "vrrp_sync_group", "state"),
		func(w *writer, s *Snapshot) {
			for _, g := range s.Groups {
				w.role(g.State, g.Name)
			}
		}},
	{histogram("baton_vrrp_lateness_seconds", "How late the speaker came to what was due."),
		func(w *writer, s *Snapshot) {
			if l := s.Lateness; l != nil {
				w.histogram(vrrp.LatenessBuckets[:], l.Counts[:], l.Sum)
			}
		}},
}

// The words of vrrp.TrackStatus.State.
const (
	trackUp      = "up"
	trackUnknown = "unknown"
)

var roles = [...]vrrp.Role{vrrp.Init, vrrp.Backup, vrrp.Master, vrrp.Fault}

// role writes a line for each role that there is, under a first label.
func (w *writer) role(is, of string) {
	for _, r := range roles {
		w.bool(is == string(r), of, string(r))
	}
}

// byReason writes a count for each reason, under a first label.
func (w *writer) byReason(counts map[string]uint64, of string) {
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		w.uint(counts[r], of, r)
	}
}

func (t Transition) compare(o Transition) int {
	return cmp.Or(cmp.Compare(t.Instance, o.Instance), cmp.Compare(t.From, o.From), cmp.Compare(t.To, o.To), cmp.Compare(t.Reason, o.Reason))
}
