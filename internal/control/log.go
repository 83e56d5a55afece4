package control

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"baton/internal/event"
)

// DefaultLevel stands for the configuration's log_level.
const DefaultLevel = "default"

const (
	defaultLogFor = 10 * time.Minute
	maxLogFor     = 24 * time.Hour
)

// Log is the answer to GET and POST /v1/log: from which level on the
// subsystems are logged.
type Log struct {
	Level      string     `json:"log_level"` // configured
	Time       time.Time  `json:"time"`
	Subsystems []LogLevel `json:"subsystems"`
}

// LogLevel is what is in force for one subsystem.
type LogLevel struct {
	Subsystem string    `json:"subsystem"`
	Level     string    `json:"level"`
	Until     time.Time `json:"until,omitzero"` // then the configured one again; zero: this is it, or it was asked for without an end
}

// LogRequest is the body of POST /v1/log.
type LogRequest struct {
	Levels map[string]string `json:"levels"`        // by subsystem, debug to error or DefaultLevel
	For    string            `json:"for,omitempty"` // "90s"; "" is ten minutes, "0s" as long as the director runs, 24 h at most
}

// Duration is For; 0 is as long as the director runs.
func (r LogRequest) Duration() time.Duration {
	if r.For == "" {
		return defaultLogFor
	}
	d, err := time.ParseDuration(r.For)
	if err != nil {
		return defaultLogFor // check has refused it
	}
	return d
}

// Check says what of the request is no subsystem, level or duration.
func (r LogRequest) Check() error {
	refuse := func(remedy, format string, args ...any) error {
		return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	if len(r.Levels) == 0 {
		return refuse(`give "levels": {"SUBSYSTEM": "LEVEL"}`, "the levels are missing")
	}
	for _, s := range slices.Sorted(maps.Keys(r.Levels)) {
		if !slices.Contains(event.Subsystems, event.Subsystem(s)) {
			return refuse("subsystems are "+words(event.Subsystems), "there is no subsystem %q", clip(s))
		}
		if l := r.Levels[s]; l != DefaultLevel && !slices.Contains(event.Levels, event.Level(l)) {
			return refuse("levels are "+words(event.Levels)+", and "+DefaultLevel+" for the configured one", "%s: there is no level %q", s, clip(l))
		}
	}
	if d, err := time.ParseDuration(r.For); r.For != "" && (err != nil || d < 0 || d > maxLogFor) {
		return refuse("write it like 90s or 10m", "for %q is not a duration from 0s to %v", clip(r.For), maxLogFor)
	}
	return nil
}

func words[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

func (s *HTTPServer) log(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	return answerWith(w, r, s.reader.Log)
}

func (s *HTTPServer) setLog(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	var req LogRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	if err := req.Check(); err != nil {
		return err
	}
	return answerWith(w, r, func(ctx context.Context) (Log, error) { return s.writer.SetLog(ctx, req) })
}

// Log asks which log levels are in force.
func (c *Client) Log(ctx context.Context) (out Log, err error) {
	err = c.call(ctx, statusWithin, http.MethodGet, "/v1/log", nil, &out)
	return out, err
}

// SetLog changes log levels while the director runs.
func (c *Client) SetLog(ctx context.Context, req LogRequest) (out Log, err error) {
	err = c.call(ctx, statusWithin, http.MethodPost, "/v1/log", req, &out)
	return out, err
}
