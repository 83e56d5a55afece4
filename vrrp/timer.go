package vrrp

import (
	"container/heap"
	"time"
)

// timer wakes its owner at a time. It is a member of at most one schedule.
type timer struct {
	at   time.Time
	pos  int // in the heap, -1: not scheduled
	fire func(now time.Time)
}

// schedule holds timers by time; the earliest is first.
type schedule struct{ heap timerHeap }

// set schedules t, a zero at removes it.
func (s *schedule) set(t *timer, at time.Time) {
	switch {
	case at.IsZero() && t.pos < 0:
	case at.IsZero():
		heap.Remove(&s.heap, t.pos)
	case t.pos < 0:
		t.at = at
		heap.Push(&s.heap, t)
	case !t.at.Equal(at):
		t.at = at
		heap.Fix(&s.heap, t.pos)
	}
}

// next returns the earliest timer, nil when there is none.
func (s *schedule) next() *timer {
	if len(s.heap) == 0 {
		return nil
	}
	return s.heap[0]
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.pos = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.pos = -1
	return t
}

// soonest returns the earlier of two times of which zero means never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
