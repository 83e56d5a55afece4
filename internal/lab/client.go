package lab

import (
	"context"
	"errors"

	"baton/internal/control"
)

// Director is what the lab asks of a running director.
type Director interface {
	Status(ctx context.Context) (control.Status, error)
	Reload(ctx context.Context) (control.Reload, error)
	Failover(ctx context.Context, instance string) (control.Failover, error)
}

// Director is the control client of the director in a node.
func (l *Lab) Director(node string) (Director, error) {
	return nil, errors.New("no control client yet")
}
