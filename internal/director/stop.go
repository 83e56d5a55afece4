package director

import (
	"context"
	"errors"
	"fmt"

	"baton/conf"
	"baton/internal/event"
)

// clearOnStop takes out of the kernel what does not outlive the daemon: all of
// it with on_stop = "remove", else the services with omega. What settings say of
// services counts until these are gone.
func (c *core) clearOnStop(running context.Context, onStop string) error {
	var ends changes
	if err := c.ask(running, func() {
		ends = c.endsWith(onStop)
		c.program()
		c.prog.change(ends)
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), applyWithin)
	defer cancel()
	var errs []error
	if ends != nil {
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

// endsWith is what of the table ends with the daemon; nil: nothing does.
func (c *core) endsWith(onStop string) changes {
	all := onStop == conf.OnStopRemove
	var ends changes
	if all {
		ends = changes{} // an empty table is made sure of as well
	}
	for k := range c.table {
		if s := c.keyed[k]; all || s != nil && s.Omega {
			if ends == nil {
				ends = changes{}
			}
			ends[k] = nil
		}
	}
	return ends
}

// tellUnsaved says that the operator's orders could not be written down.
func (c *core) tellUnsaved(err error) {
	c.say(event.OrdersFailed, event.F(event.File, c.record.name), event.F(event.Err, err),
		event.F(event.Detail, "what the operator has said of real servers is in force, but a restart would forget it; it is tried again"))
}
