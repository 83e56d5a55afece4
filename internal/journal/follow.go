package journal

import (
	"context"

	"baton/internal/event"
)

// backlog is how many events a follower may be behind before it loses some.
const backlog = 256

// subscriber is one follower. Its fields belong to Journal.mu.
type subscriber struct {
	ch   chan event.Event
	lost int
}

// Follow delivers every event appended from now on, until ctx ends; then the
// channel is closed. A follower that is more than 256 events behind loses what
// comes next and is told how many by an event.LogDropped in their place.
func (j *Journal) Follow(ctx context.Context) <-chan event.Event {
	s := &subscriber{ch: make(chan event.Event, backlog)}
	j.mu.Lock()
	j.subs[s] = struct{}{}
	j.mu.Unlock()
	context.AfterFunc(ctx, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.subs, s)
		close(s.ch)
	})
	return s.ch
}

// offer hands over an event if there is room for it and, after a loss, for
// the event that tells of the loss.
func (s *subscriber) offer(e event.Event) {
	room := cap(s.ch) - len(s.ch)
	if s.lost > 0 && room >= 2 {
		told := event.New("director", event.LogDropped, event.F(event.Count, s.lost))
		told.Time = e.Time
		s.ch <- told
		s.lost = 0
		room--
	}
	if s.lost > 0 || room == 0 {
		s.lost++
		return
	}
	s.ch <- e
}
