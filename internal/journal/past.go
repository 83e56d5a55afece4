package journal

import (
	"encoding/json"
	"iter"
	"time"

	"baton/internal/event"
)

// seamTries is how often the files are opened anew because events have left the
// ring meanwhile.
const seamTries = 3

// Past returns the events that happened at t or later, in the order in which
// they were appended: where memory does not reach back to t, those of the files
// come first, read while they are taken. The zero time means all that are in
// memory. What is appended after the first event was taken is not among them.
// Files that cannot be read are told through Options.Failed.
func (j *Journal) Past(t time.Time) iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		files, recent := j.seam(t)
		if files != nil {
			defer files.Close()
			known := fingerprints(recent)
			for e := range files.Events() {
				if e.Time.Before(t) || known.take(e) {
					continue
				}
				if !yield(e) {
					return
				}
			}
			if err := files.Err(); err != nil {
				j.dropped(0, err, true)
			}
		}
		for _, e := range recent {
			if !yield(e) {
				return
			}
		}
	}
}

// seam returns the events in memory and, when they are not all since t, the
// files. The files are opened first: what they hold has been in the ring, so
// that nothing is in them that came after the ring was looked at. What has left
// the ring is in them if it was written when they were opened; where that is not
// known they are opened again. A disk that does not keep up makes that vain: what
// waits for it is then in neither, and as the ring holds more than can wait, that
// happens only with bounds that are not the defaults.
func (j *Journal) seam(t time.Time) (*Files, []event.Event) {
	for try := 1; ; try++ {
		j.mu.Lock()
		written := j.done
		if t.IsZero() || t.After(j.gone) || j.opts.Dir == "" {
			defer j.mu.Unlock()
			return nil, j.since(t)
		}
		j.mu.Unlock()
		files := openFiles(j.opts) // not with the lock: Append must not wait for a disk
		j.opts.opened()
		j.mu.Lock()
		left := j.count - uint64(len(j.ring))
		recent := j.since(t)
		j.mu.Unlock()
		if left <= written || try == seamTries {
			return files, recent
		}
		files.Close()
	}
}

// prints count events that are in memory, so that they are not told from the
// files as well.
type prints map[string]int

func fingerprints(events []event.Event) prints {
	out := make(prints, len(events))
	for _, e := range events {
		// As the file has it: what JSON cannot hold has been replaced there.
		if raw, err := json.Marshal(e); err == nil {
			if e, ok := decode(raw); ok {
				out[fingerprint(e)]++
			}
		}
	}
	return out
}

// take says whether an event of a file is one of those in memory.
func (p prints) take(e event.Event) bool {
	if len(p) == 0 {
		return false
	}
	key := fingerprint(e)
	n := p[key]
	switch {
	case n == 0:
		return false
	case n == 1:
		delete(p, key)
	default:
		p[key] = n - 1
	}
	return true
}

func fingerprint(e event.Event) string {
	raw, err := json.Marshal(e)
	if err != nil {
		return "" // not of what was decoded
	}
	return string(raw)
}
