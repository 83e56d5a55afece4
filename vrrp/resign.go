package vrrp

import (
	"errors"
	"fmt"
)

// Resign sends one advert with priority 0 in the name of an instance, so that its
// backups take over after the skew instead of the whole master down interval
// (RFC 9568 section 6.4.2). It is for whoever has found out that the instance was
// master on this node and that nobody is left who runs it; l is its interface. It
// goes to the group or to each unicast peer, with the version, the source and the
// authentication of cfg. The form of checksum that ChecksumAuto learns from peers
// is not known here: the one with a pseudo-header is used.
func Resign(cfg Config, l LinkState, listen func(Endpoint) (Conn, error)) error {
	i := &instance{cfg: cfg.clone(), link: &link{at: cfg.Endpoint()}}
	i.link.learn(l)
	i.params.Source = i.source()
	switch {
	case !l.Up:
		return fmt.Errorf("resign %s: %s is down", cfg.Name, cfg.Interface)
	case !i.params.Source.IsValid():
		return fmt.Errorf("resign %s: %s has no address of its own for adverts", cfg.Name, cfg.Interface)
	}
	conn, err := listen(i.link.at)
	if err != nil {
		return fmt.Errorf("resign %s: %w", cfg.Name, err)
	}
	defer conn.Close()
	i.buildAdverts()
	var errs []error
	for _, o := range i.out {
		if err := conn.Send(o.resign, i.delivery(o.to)); err != nil {
			errs = append(errs, fmt.Errorf("resign %s: send to %s: %w", cfg.Name, o.to, err))
		}
	}
	return errors.Join(errs...)
}
