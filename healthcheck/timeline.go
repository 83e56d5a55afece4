package healthcheck

import "container/heap"

// timeline is a heap of checks by their next moment: the start of an attempt or
// the end of its time. Each check is in it at most once.
type timeline []*check

func (t *timeline) first() *check {
	if len(*t) == 0 {
		return nil
	}
	return (*t)[0]
}

// set moves c to c.at, whether it was in the heap or not.
func (t *timeline) set(c *check) {
	if c.index >= 0 {
		heap.Fix(t, int(c.index))
		return
	}
	heap.Push(t, c)
}

// drop takes c out, if it is in.
func (t *timeline) drop(c *check) {
	if c.index >= 0 {
		heap.Remove(t, int(c.index))
	}
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (t timeline) Len() int           { return len(t) }
func (t timeline) Less(i, j int) bool { return t[i].at < t[j].at }
func (t timeline) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = int32(i), int32(j)
}

func (t *timeline) Push(x any) {
	c := x.(*check)
	c.index = int32(len(*t))
	*t = append(*t, c)
}

func (t *timeline) Pop() any {
	old := *t
	n := len(old) - 1
	c := old[n]
	old[n] = nil
	*t = old[:n]
	c.index = -1
	return c
}
