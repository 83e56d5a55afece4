package control

import (
	"fmt"
	"net/http"
	"time"
)

// ParseSince reads a moment as the events are asked for: a duration before
// now ("90s", "1h30m") or a time as in RFC 3339. "" is the zero time.
func ParseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		if d < 0 {
			return time.Time{}, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("since %q lies in the future", clip(s)), Remedy: "leave out the minus sign"}
		}
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, &Error{
			Status:  http.StatusBadRequest,
			Message: fmt.Sprintf("since %q is neither a duration nor a time", clip(s)),
			Remedy:  "write it like 90s, 1h30m or 2006-01-02T15:04:05Z", cause: err,
		}
	}
	return t, nil
}
