package vrrp

import (
	"net/netip"
	"time"
)

// outgoing is what an instance sends to one destination: its group, or one of
// its unicast peers. The bytes depend on where they go: the pseudo-header has
// the destination in it, and each peer is answered in the form that it speaks.
type outgoing struct {
	to     netip.Addr
	form   ChecksumMode
	normal []byte // our advert
	resign []byte // our advert with priority 0
}

// destinations makes i.out what the configuration asks for. What is known of a
// peer that stays is kept.
func (i *instance) destinations() {
	c := &i.cfg
	to := c.Peers
	if len(to) == 0 {
		to = []netip.Addr{i.link.at.Group}
	}
	old := i.out
	forget := i.outMode != c.Checksum
	i.out, i.outMode = make([]outgoing, 0, len(to)), c.Checksum
	for _, addr := range to {
		if addr == i.params.Source {
			continue // one list of all directors is given to each of them
		}
		o := outgoing{to: addr}
		for k := range old {
			if old[k].to == addr {
				o = old[k]
			}
		}
		switch {
		case c.Checksum != ChecksumAuto:
			o.form = c.Checksum
		case o.form == "" || forget:
			o.form = ChecksumPseudo
		}
		i.out = append(i.out, o)
	}
}

// buildAdverts writes what is sent, once for all the times that it is.
func (i *instance) buildAdverts() {
	i.destinations()
	for k := range i.out {
		i.buildAdvert(&i.out[k])
	}
}

func (i *instance) buildAdvert(o *outgoing) {
	c := &i.cfg
	a := Advert{Version: c.Version, VRID: c.VRID, Interval: c.AdvertInterval, Checksum: o.form, Password: c.Password}
	o.resign = AppendAdvert(o.resign[:0], a, i.params.Source, o.to, c.Addresses)
	a.Priority = i.params.Priority
	o.normal = AppendAdvert(o.normal[:0], a, i.params.Source, o.to, c.Addresses)
}

// answer makes what is sent to from, or to the group, have the form that from
// was heard to use (ChecksumAuto).
func (i *instance) answer(from netip.Addr, form ChecksumMode) {
	if i.cfg.Checksum != ChecksumAuto || i.cfg.Version != V3 || form == ChecksumAuto {
		return
	}
	for k := range i.out {
		o := &i.out[k]
		if o.form != form && (len(i.cfg.Peers) == 0 || o.to == from) {
			o.form = form
			i.buildAdvert(o)
		}
	}
}

// wanted is what the instance accepts.
func (i *instance) wanted() Want { return i.cfg.Wanted(i.params.Source) }

// delivery says how an advert leaves. Unicast goes out of the interface itself
// even with a VMAC, as keepalived demands it: which MAC address answers for our
// own address must not depend on who is master.
func (i *instance) delivery(to netip.Addr) Delivery {
	c := &i.cfg
	d := Delivery{Source: i.params.Source, Destination: to, TTL: TTL}
	switch {
	case len(c.Peers) > 0:
		if c.UnicastTTL != 0 {
			d.TTL = c.UnicastTTL
		}
	case c.VMAC != nil && !c.VMAC.XmitBase:
		d.Device = c.VMAC.Name
	}
	return d
}

// overhear lets the socket hear what the instance's VMAC takes away from the
// interface: the adverts of whoever has the same MAC address.
func (i *instance) overhear(now time.Time) {
	if i.cfg.VMAC == nil || i.link == nil {
		return
	}
	conn, ok := i.link.conn.(overhearer)
	if !ok {
		return
	}
	if err := conn.Overhear(i.cfg.VMAC.Name); err != nil {
		i.limits.tell(now, limitReceive, Notice{Kind: NoticeReceiveFailed, Err: err.Error(), Count: 1}, i.notify)
	}
}
