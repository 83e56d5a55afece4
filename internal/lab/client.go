package lab

import (
	"context"
	"fmt"

	"baton/internal/control"
)

// Director is a control client of the director in a node; close it when done.
func (l *Lab) Director(node string) (*control.Client, error) {
	if !isDirector(node) {
		return nil, fmt.Errorf("reach director %q: the lab has %s and %s", node, LVSA, LVSB)
	}
	return control.NewClient(l.Paths(node).Socket), nil
}

// DirectorStatus asks a director for its status.
func (l *Lab) DirectorStatus(ctx context.Context, node string) (control.Status, error) {
	c, err := l.Director(node)
	if err != nil {
		return control.Status{}, err
	}
	defer c.Close()
	return c.Status(ctx)
}

// FailOver asks a director to hand over whatever it is master of, and returns
// when that has ended; a refusal is an error.
func (l *Lab) FailOver(ctx context.Context, node string) error {
	c, err := l.Director(node)
	if err != nil {
		return err
	}
	defer c.Close()
	f, err := c.Failover(ctx, "")
	if err != nil {
		return err
	}
	if !f.OK {
		return fmt.Errorf("hand over from %s: %s", node, f.Message)
	}
	return nil
}
