package director

import (
	"context"
	"fmt"
	"time"

	"baton/healthcheck"
)

const (
	// inspectWithin bounds how long the prober is waited for.
	inspectWithin = time.Second
	// maxInspected bounds the checks of one question.
	maxInspected = 256
)

// inspections are the questions that the prober has not answered yet.
type inspections struct {
	number  uint64
	waiting map[uint64]chan<- []healthcheck.Report
}

// abandon gives up on all: who should answer has gone.
func (i *inspections) abandon() {
	for n, w := range i.waiting {
		w <- nil
		delete(i.waiting, n)
	}
}

// inspect asks the prober about checks, at most maxInspected of them, and
// returns what it knows; nothing while there is no prober, or when it does not
// answer in time.
func (c *core) inspect(ctx context.Context, ids []string) ([]healthcheck.Report, error) {
	ids = ids[:min(len(ids), maxInspected)]
	answer := make(chan []healthcheck.Report, 1)
	var number uint64
	if err := c.ask(ctx, func() {
		if c.prober.conn == nil {
			answer <- nil
			return
		}
		c.inspections.number++
		number = c.inspections.number
		if c.inspections.waiting == nil {
			c.inspections.waiting = map[uint64]chan<- []healthcheck.Report{}
		}
		c.inspections.waiting[number] = answer
		c.prober.send(kindInspect, fmt.Sprint("inspect ", number), inspection{Number: number, IDs: ids})
	}); err != nil {
		return nil, err
	}
	select {
	case r := <-answer:
		return r, nil
	case <-after(inspectWithin):
	case <-ctx.Done():
	}
	return nil, c.ask(ctx, func() { delete(c.inspections.waiting, number) })
}

// inspected takes over an answer.
func (c *core) inspected(i inspection) {
	if w, ok := c.inspections.waiting[i.Number]; ok {
		delete(c.inspections.waiting, i.Number)
		w <- i.Reports
	}
}
