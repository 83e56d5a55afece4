package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ServerRequest names real servers: the body of POST /v1/undrain, and the
// parameters of GET /v1/drain.
type ServerRequest struct {
	Server  string `json:"server"`            // ADDRESS:PORT is one, ADDRESS all of them; as baton status has them
	Service string `json:"service,omitempty"` // "" is every service
}

// DrainRequest is the body of POST /v1/drain.
type DrainRequest struct {
	ServerRequest
	Timeout *time.Duration // 0 … 24 h; nil: the service's drain_timeout
}

// WeightRequest is the body of POST /v1/weight.
type WeightRequest struct {
	ServerRequest
	Weight Weight `json:"weight"`
}

// Weight is a weight, 0 … 65535, or null for the configured one. In a request it
// must not be missing: that would silently mean null.
type Weight struct {
	Value *int // nil: the configured one
	given bool
}

// UnmarshalJSON reads a whole number or null.
func (w *Weight) UnmarshalJSON(b []byte) error {
	w.given, w.Value = true, nil
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	var n int
	if err := json.Unmarshal(b, &n); err != nil || n < 0 || n > maxWeight {
		return fmt.Errorf("weight %s is neither a whole number from 0 to %d nor null", clip(string(b)), maxWeight)
	}
	w.Value = &n
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (w Weight) MarshalJSON() ([]byte, error) { return json.Marshal(w.Value) }

// The ranges of what an operator may ask for.
const (
	maxWeight = 65535
	maxDrain  = 24 * time.Hour
)

type drainBody struct {
	ServerRequest
	Timeout string `json:"timeout,omitempty"` // "90s"; "": the service's drain_timeout
}

// MarshalJSON writes the request's body.
func (r DrainRequest) MarshalJSON() ([]byte, error) {
	b := drainBody{ServerRequest: r.ServerRequest}
	if r.Timeout != nil {
		b.Timeout = r.Timeout.String()
	}
	return json.Marshal(b)
}

// UnmarshalJSON reads a request's body, and nothing else.
func (r *DrainRequest) UnmarshalJSON(raw []byte) error {
	var b drainBody
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return err
	}
	*r = DrainRequest{ServerRequest: b.ServerRequest}
	if b.Timeout == "" {
		return nil
	}
	t, err := time.ParseDuration(b.Timeout)
	if err != nil || t < 0 || t > maxDrain {
		return fmt.Errorf("timeout %q is not a duration from 0s to %v", clip(b.Timeout), maxDrain)
	}
	r.Timeout = &t
	return nil
}

func (r WeightRequest) check() error {
	if !r.Weight.given {
		return &Error{Status: http.StatusBadRequest, Message: "the weight is missing", Remedy: `give "weight": NUMBER, or null for the configured one`}
	}
	return r.ServerRequest.check()
}

func (r ServerRequest) check() error {
	if r.Server == "" {
		return &Error{Status: http.StatusBadRequest, Message: "the server is missing", Remedy: `give "server": "ADDRESS:PORT", or "ADDRESS" for all of its services`}
	}
	return nil
}

// order is the handler of a request for real servers whose body is an R.
func order[R interface{ check() error }](s *HTTPServer, do func(Backend, context.Context, R) (Orders, error)) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := query(r); err != nil {
			return err
		}
		var req R
		if err := decode(r, &req); err != nil {
			return err
		}
		if err := req.check(); err != nil {
			return err
		}
		return answerWith(w, r, func(ctx context.Context) (Orders, error) { return do(s.writer, ctx, req) })
	}
}

// drains says how far servers are on their way out.
func (s *HTTPServer) drains(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "server", "service")
	if err != nil {
		return err
	}
	req := ServerRequest{q.Get("server"), q.Get("service")}
	return answerWith(w, r, func(ctx context.Context) (Orders, error) { return s.reader.Drains(ctx, req) })
}

// Drain asks the director to take real servers out of service. It returns when
// that has begun; Drains says how far it is.
func (c *Client) Drain(ctx context.Context, req DrainRequest) (Orders, error) {
	return c.order(ctx, "/v1/drain", req)
}

// Undrain asks the director to put drained real servers back into service.
func (c *Client) Undrain(ctx context.Context, req ServerRequest) (Orders, error) {
	return c.order(ctx, "/v1/undrain", req)
}

// Weight gives real servers a weight in place of the configured one, or takes it
// back.
func (c *Client) Weight(ctx context.Context, req WeightRequest) (Orders, error) {
	return c.order(ctx, "/v1/weight", req)
}

func (c *Client) order(ctx context.Context, path string, req any) (out Orders, err error) {
	err = c.call(ctx, statusWithin, http.MethodPost, path, req, &out)
	return out, err
}

// Drains asks how far the named real servers are on their way out; without a
// name, which ones there are.
func (c *Client) Drains(ctx context.Context, req ServerRequest) (out Orders, err error) {
	v := url.Values{}
	for name, value := range map[string]string{"server": req.Server, "service": req.Service} {
		if value != "" {
			v.Set(name, value)
		}
	}
	err = c.call(ctx, statusWithin, http.MethodGet, "/v1/drain?"+v.Encode(), nil, &out)
	return out, err
}
