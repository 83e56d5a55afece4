package journal

import "baton/internal/event"

// Show hands an event to the followers and keeps it nowhere: what belongs to the
// steady state would in minutes push out all that matters.
func (j *Journal) Show(e event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for s := range j.subs {
		s.offer(e)
	}
}
