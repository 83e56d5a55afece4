package director

import (
	"baton/conf"
	"baton/internal/control"
	"baton/ipvs"
)

// serviceCounters adds up what has passed the IPVS services of a virtual
// server; nil: the kernel has none of them.
func serviceCounters(observed ipvs.Table, keys []ipvs.ServiceKey) (sum *control.Counters) {
	for _, k := range keys {
		if e, there := observed[k]; there {
			sum = plus(sum, e.Counters)
		}
	}
	return sum
}

// serverCounters does so for one server of them.
func serverCounters(observed ipvs.Table, keys []ipvs.ServiceKey, s ipvs.Server) (sum *control.Counters) {
	for _, k := range keys {
		if have, there := observed[k].Servers.Get(conf.ServerAt(k, s).Key); there && have.Stats != nil {
			sum = plus(sum, have.Stats.Counters)
		}
	}
	return sum
}

func plus(sum *control.Counters, c ipvs.Counters) *control.Counters {
	if sum == nil {
		sum = &control.Counters{}
	}
	sum.Connections += c.Connections
	sum.InPackets += c.PacketsIn
	sum.OutPackets += c.PacketsOut
	sum.InBytes += c.BytesIn
	sum.OutBytes += c.BytesOut
	r := &sum.Rates
	r.Connections += c.ConnectionRate
	r.InPackets += c.PacketInRate
	r.OutPackets += c.PacketOutRate
	r.InBytes += c.ByteInRate
	r.OutBytes += c.ByteOutRate
	return sum
}
