package healthcheck

// gate admits attempts up to a limit. An attempt of a check whose last one
// timed out is a suspect: it is likely to hold its place for a whole timeout,
// so suspects get at most half of the places and what answers promptly never
// waits behind what does not answer at all.
type gate struct {
	limit    int
	held     int
	suspects int
	prompt   fifo
	slow     fifo
}

func (g *gate) admits(suspect bool) bool {
	return g.held < g.limit && (!suspect || g.suspects < g.suspectLimit())
}

func (g *gate) suspectLimit() int { return max(1, g.limit/2) }

// enter takes a place and reports whether there was one.
func (g *gate) enter(suspect bool) bool {
	if !g.admits(suspect) {
		return false
	}
	g.held++
	if suspect {
		g.suspects++
	}
	return true
}

// leave gives the place back; suspect is what enter was called with.
func (g *gate) leave(suspect bool) {
	g.held--
	if suspect {
		g.suspects--
	}
}

// wait queues c until next returns it.
func (g *gate) wait(c *check) {
	if c.suspect {
		g.slow.push(c)
	} else {
		g.prompt.push(c)
	}
}

// next returns a waiting check for which there is a place, or nil. valid
// drops those that no longer wait.
func (g *gate) next(valid func(*check) bool) *check {
	for g.admits(false) && g.prompt.len() > 0 {
		if c := g.prompt.pop(); valid(c) {
			return c
		}
	}
	for g.admits(true) && g.slow.len() > 0 {
		if c := g.slow.pop(); valid(c) {
			return c
		}
	}
	return nil
}

// ready reports whether next may return something.
func (g *gate) ready() bool {
	return g.prompt.len() > 0 && g.admits(false) || g.slow.len() > 0 && g.admits(true)
}

// fifo is a queue that reuses its memory.
type fifo struct {
	items []*check
	head  int
}

func (f *fifo) len() int { return len(f.items) - f.head }

func (f *fifo) push(c *check) {
	if len(f.items) == cap(f.items) && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, c)
}

func (f *fifo) pop() *check {
	c := f.items[f.head]
	f.items[f.head] = nil
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return c
}
