package control

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"baton/internal/event"
)

// Filter says which events are wanted; what is "" asks for nothing.
type Filter struct {
	Level    string // the least one
	Event    string // a name, or a pattern with * and ?: "vrrp.*"
	Instance string // of a vrrp_instance or a vrrp_sync_group
	Server   string // ADDRESS:PORT, or ADDRESS for all of its ports
}

// Check says what of the filter cannot be meant so.
func (f Filter) Check() error {
	refuse := func(remedy, format string, args ...any) error {
		return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	if f.Level != "" && !slices.Contains(event.Levels, event.Level(f.Level)) {
		return refuse("levels are "+words(event.Levels), "there is no level %q", clip(f.Level))
	}
	known := f.Event == "" || slices.ContainsFunc(event.Catalogue, func(s event.Spec) bool { return matches(f.Event, s.Name) })
	if !known {
		return refuse("docs/events.md has all names; vrrp.* is a pattern", "no event is called %q", clip(f.Event))
	}
	return nil
}

// matches says whether a name fits a pattern; one that is no pattern fits none.
func matches(pattern string, n event.Name) bool {
	ok, err := path.Match(pattern, string(n))
	return err == nil && ok
}

// Shows says whether an event is wanted.
func (f Filter) Shows(e event.Event) bool {
	return (f.Level == "" || slices.Index(event.Levels, e.Level) >= slices.Index(event.Levels, event.Level(f.Level))) &&
		(f.Event == "" || matches(f.Event, e.Name)) &&
		(f.Instance == "" || e.Get(event.Instance) == f.Instance || e.Get(event.Group) == f.Instance) &&
		(f.Server == "" || f.about(e))
}

// about says whether an event is about the server: it names it, or one of its
// checks, whose names have the server as a word.
func (f Filter) about(e event.Event) bool {
	for _, word := range append(strings.Fields(e.Get(event.Check)), e.Get(event.Server)) {
		if word == f.Server || strings.HasPrefix(word, f.Server+":") || strings.HasPrefix(word, "["+f.Server+"]:") {
			return true
		}
	}
	return false
}
