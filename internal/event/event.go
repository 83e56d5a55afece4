// Package event is the vocabulary of Baton's logs: every line that a Baton
// process writes is an Event whose name stands in the catalogue of this
// package and in docs/events.md, and in nothing else.
package event

import (
	"fmt"
	"time"
)

// Name is the constant msg of a log line, noun.fact in lower case.
type Name string

// Level is how loudly an event speaks.
type Level string

// The levels, in rising order.
const (
	LevelDebug Level = "debug"
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

// Key is the name of a field. The set is closed so that a search written for
// one event works for all of them.
type Key string

// Field is one fact of an event.
type Field struct {
	Key   Key    `json:"k"`
	Value string `json:"v"`
}

// Event is one fact worth a line: what happened, when, and the fields that
// say to what and why. It travels from the speaker and the prober to the
// director, which alone writes logs and the journal.
type Event struct {
	Time   time.Time `json:"time"`
	Level  Level     `json:"level"`
	Name   Name      `json:"event"`
	Source string    `json:"source"` // director, speaker or prober
	Fields []Field   `json:"fields,omitempty"`
}

// Get returns the value of the first field with that key, "" without one.
func (e Event) Get(k Key) string {
	for _, f := range e.Fields {
		if f.Key == k {
			return f.Value
		}
	}
	return ""
}

// F makes a field; the value is rendered with fmt's %v.
func F(k Key, v any) Field { return Field{Key: k, Value: fmt.Sprint(v)} }

// New makes an event of this moment with the catalogue's level for its name.
// Fields with an empty value are left out: a missing fact is not a fact.
func New(source string, n Name, fields ...Field) Event {
	kept := make([]Field, 0, len(fields))
	for _, f := range fields {
		if f.Value != "" {
			kept = append(kept, f)
		}
	}
	return Event{Time: time.Now(), Level: LevelOf(n), Name: n, Source: source, Fields: kept}
}
