package metrics

import (
	"strconv"

	"baton/vrrp"
)

// The names, types and labels of the exporter for keepalived that most
// dashboards are made for (github.com/mehdy/keepalived-exporter). They say the
// same as Baton's own.
var (
	ofInstance = []string{"iname", "intf", "vrid"}
	ofAddress  = []string{"iname", "intf", "vrid", "ip_address"}

	kaUp       = gauge("keepalived_up", "Whether the speaker runs and answers.")
	kaState    = gauge("keepalived_vrrp_state", "State of the instance: 0 INIT, 1 BACKUP, 2 MASTER, 3 FAULT.", ofAddress...)
	kaExcluded = gauge("keepalived_vrrp_excluded_state", "The same, for the addresses of virtual_ipaddress_excluded.", ofAddress...)
)

// kaCounters are those of an instance.
var kaCounters = []figure[Instance]{
	{counter("keepalived_advertisements_received_total", "Adverts received.", ofInstance...), kaCount(func(i *Instance) uint64 { return i.Received })},
	{counter("keepalived_advertisements_sent_total", "Adverts sent.", ofInstance...), kaCount(func(i *Instance) uint64 { return i.Sent })},
	{counter("keepalived_become_master_total", "How often the instance became master.", ofInstance...), kaCount(func(i *Instance) uint64 { return i.BecameMaster })},
	{counter("keepalived_release_master_total", "How often it ceased to be.", ofInstance...), kaCount(func(i *Instance) uint64 { return i.ReleasedMaster })},
	{counter("keepalived_packet_length_errors_total", "Packets that were too short.", ofInstance...), dropped(vrrp.DropTooShort)},
	{counter("keepalived_advertisements_interval_errors_total", "Adverts of another interval.", ofInstance...), dropped(vrrp.DropIntervalMismatch, vrrp.DropIntervalZero)},
	{counter("keepalived_ip_ttl_errors_total", "Packets that have crossed a router.", ofInstance...), dropped(vrrp.DropTTL)},
	{counter("keepalived_invalid_type_received_total", "Packets that were no adverts.", ofInstance...), dropped(vrrp.DropType)},
	{counter("keepalived_address_list_errors_total", "Adverts without an address.", ofInstance...), dropped(vrrp.DropAddressCount)},
	{counter("keepalived_authentication_invalid_total", "Always 0: Baton tells every other type as a mismatch.", ofInstance...), kaCount(func(*Instance) uint64 { return 0 })},
	{counter("keepalived_authentication_mismatch_total", "Adverts of another type of authentication.", ofInstance...), dropped(vrrp.DropAuthType)},
	{counter("keepalived_authentication_failure_total", "Adverts with another password.", ofInstance...), dropped(vrrp.DropAuthData)},
	{counter("keepalived_priority_zero_received_total", "Adverts received that resign.", ofInstance...), kaCount(func(i *Instance) uint64 { return i.PriorityZeroSeen })},
	{counter("keepalived_priority_zero_sent_total", "Adverts sent that resign.", ofInstance...), kaCount(func(i *Instance) uint64 { return i.PriorityZeroSent })},
	{counter("keepalived_gratuitous_arp_delay_total", "garp_master_delay in seconds; no counter, but the exporter has it as one.", ofInstance...), kaCount(func(i *Instance) uint64 {
		return uint64(i.Config.GARP.MasterDelay.Seconds())
	})},
}

var kaScript = gauge("keepalived_script_status", "Whether a tracked script passes.", "name")

func kaCount(value func(*Instance) uint64) func(*writer, *Instance) {
	return func(w *writer, i *Instance) { w.uint(value(i), i.Config.Name, i.Config.Interface, vrid(i)) }
}

func dropped(reasons ...vrrp.DropReason) func(*writer, *Instance) {
	return kaCount(func(i *Instance) (n uint64) {
		for _, r := range reasons {
			n += i.Dropped[r.String()]
		}
		return n
	})
}

func vrid(i *Instance) string { return strconv.Itoa(int(i.Config.VRID)) }

// kaStates are the numbers of keepalived's states.
var kaStates = map[vrrp.Role]int{vrrp.Init: 0, vrrp.Backup: 1, vrrp.Master: 2, vrrp.Fault: 3}

func (w *writer) keepalived(s *Snapshot) {
	w.begin(kaUp)
	for _, p := range s.Processes {
		if p.Name == "speaker" {
			w.bool(p.Running)
		}
	}
	addresses := func(f *Family, of func(*Instance) []vrrp.Address) {
		w.begin(f)
		for n := range s.Instances {
			i := &s.Instances[n]
			for _, a := range of(i) {
				w.int(kaStates[i.Role], i.Config.Name, i.Config.AddressDevice(a), vrid(i), a.Prefix.Addr().String())
			}
		}
	}
	addresses(kaState, func(i *Instance) []vrrp.Address { return i.Config.Addresses })
	addresses(kaExcluded, func(i *Instance) []vrrp.Address { return i.Config.Excluded })
	figures(w, kaCounters, s.Instances)
	w.begin(kaScript)
	told := map[string]bool{}
	for _, i := range s.Instances {
		for _, t := range i.Tracks {
			if t.Kind == vrrp.TrackScript && t.State != trackUnknown && !told[t.Name] {
				told[t.Name] = true
				w.bool(t.State == trackUp, t.Name)
			}
		}
	}
}
