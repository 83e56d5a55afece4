package director

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"baton/conf"
	"baton/internal/event"
	"baton/ipvs"
)

// clearOnStop takes out of the kernel what does not outlive the daemon: all of
// it with on_stop = "remove", else the services with omega. What settings say of
// services counts until these are gone.
func (c *core) clearOnStop(running context.Context, onStop string) error {
	var stays ipvs.Table
	all := false
	if err := c.ask(running, func() { stays, all = c.staying(onStop) }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), applyWithin)
	defer cancel()
	var errs []error
	if !all {
		c.prog.set(stays)
		if err := c.prog.once(ctx); err != nil {
			errs = append(errs, fmt.Errorf("remove services on stop: %w", err))
		}
	}
	if onStop == conf.OnStopRemove {
		c.steward.set(conf.IPVS{})
		if err := c.steward.once(ctx); err != nil {
			errs = append(errs, fmt.Errorf("take back ipvs settings on stop: %w", err))
		}
	}
	return errors.Join(errs...)
}

// staying is what of the table stays when the daemon has ended, and whether that
// is all of it.
func (c *core) staying(onStop string) (stays ipvs.Table, all bool) {
	if onStop == conf.OnStopRemove {
		return ipvs.Table{}, false
	}
	stays = maps.Clone(c.table)
	for k, s := range c.keyed {
		if s.Omega {
			delete(stays, k)
		}
	}
	return stays, len(stays) == len(c.table)
}

// tellUnsaved says that the operator's orders could not be written down.
func (c *core) tellUnsaved(err error) {
	c.say(event.OrdersFailed, event.F(event.File, c.record.name), event.F(event.Err, err),
		event.F(event.Detail, "what the operator has said of real servers is in force, but a restart would forget it; it is tried again"))
}
