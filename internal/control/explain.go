package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"baton/internal/event"
)

// maxName bounds what may be asked to be explained, in bytes.
const maxName = 256

// Explanation is the answer to GET /v1/explain: why an instance or a real
// server is in its state, since when, and what would change that.
type Explanation struct {
	Name     string             `json:"name"` // as it was asked for
	Time     time.Time          `json:"time"`
	Instance *InstanceExplained `json:"instance,omitempty"`
	Servers  []ServerExplained  `json:"servers,omitempty"` // one for each service that has it
	More     int                `json:"more,omitempty"`    // servers that match besides
}

// InstanceExplained is a vrrp_instance and what led to its state.
type InstanceExplained struct {
	Instance
	GroupTracks []Track       `json:"group_tracks,omitempty"` // those of its group
	Why         []string      `json:"why"`                    // sentences: the state, the election, what holds it back
	History     []event.Event `json:"history,omitempty"`      // the last ones, oldest first
}

// ServerExplained is a real server of a service and what led to its state.
type ServerExplained struct {
	Service string `json:"service"`
	Server
	Why     []string         `json:"why"` // sentences: what it waits for, what would bring it back or take it out
	Checks  []CheckExplained `json:"checks,omitempty"`
	History []event.Event    `json:"history,omitempty"` // the last ones, oldest first
}

// CheckExplained is a health check with its past.
type CheckExplained struct {
	Name     string            `json:"name"`
	Kind     string            `json:"kind"`
	Target   string            `json:"target"`
	State    string            `json:"state"`          // up, down or unknown
	Since    time.Time         `json:"since,omitzero"` // of that state
	Interval time.Duration     `json:"delay_loop_ns"`
	Timeout  time.Duration     `json:"connect_timeout_ns"`
	Next     time.Time         `json:"next,omitzero"`      // start of the next attempt; zero: one is under way, or nothing is known
	Attempts uint64            `json:"attempts,omitempty"` // since the prober knows the check
	Failed   map[string]uint64 `json:"failed,omitempty"`   // attempts that did not pass, by reason
	P50      time.Duration     `json:"latency_p50_ns,omitempty"`
	P99      time.Duration     `json:"latency_p99_ns,omitempty"`
	Runs     []Run             `json:"runs,omitempty"` // what the last attempts found, oldest first
}

// Run is attempts in a row that ended alike.
type Run struct {
	Reason  string        `json:"reason,omitempty"` // "": they passed
	Detail  string        `json:"detail,omitempty"`
	Count   uint64        `json:"count"`
	From    time.Time     `json:"from"` // end of the first
	To      time.Time     `json:"to"`   // end of the last
	Latency time.Duration `json:"latency_ns"`
	Longest time.Duration `json:"longest_ns"` // latency
}

func (s *HTTPServer) explain(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "name")
	if err != nil {
		return err
	}
	name := q.Get("name")
	switch {
	case name == "":
		return &Error{Status: http.StatusBadRequest, Message: "parameter name is missing", Remedy: "name an instance or a real server: /v1/explain?name=192.168.16.103:80"}
	case len(name) > maxName:
		return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("parameter name is longer than %d bytes", maxName), Remedy: "name an instance or a real server"}
	}
	return answerWith(w, r, func(ctx context.Context) (Explanation, error) { return s.reader.Explain(ctx, name) })
}

// Explain asks why an instance or a real server, ADDRESS or ADDRESS:PORT, is in
// its state. An unknown name is an *Error with status 404.
func (c *Client) Explain(ctx context.Context, name string) (Explanation, error) {
	var out Explanation
	err := c.call(ctx, statusWithin, http.MethodGet, "/v1/explain?"+url.Values{"name": {name}}.Encode(), nil, &out)
	return out, err
}
