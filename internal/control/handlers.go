package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// handlerFunc answers a request, or returns an *Error that is the answer. A
// plain error becomes status 500.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

// endpoint is one path with its methods.
type endpoint struct {
	path    string
	methods map[string]handlerFunc
}

// ServeHTTP implements http.Handler.
func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := e.methods[r.Method]
	if !ok {
		allowed := strings.Join(slices.Sorted(maps.Keys(e.methods)), ", ")
		w.Header().Set("Allow", allowed)
		fail(w, &Error{
			Status:  http.StatusMethodNotAllowed,
			Message: fmt.Sprintf("%s does not take %s", e.path, clip(r.Method)),
			Remedy:  "use " + allowed,
		})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := h(w, r); err != nil {
		fail(w, err)
	}
}

func (s *HTTPServer) status(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	return answerWith(w, r, s.reader.Status)
}

func (s *HTTPServer) reload(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if err := decode(r, &struct{}{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), reloadWithin)
	defer cancel()
	// A hundred clients that reload at once must not parse a hundred times at once.
	select {
	case s.reloads <- struct{}{}:
		defer func() { <-s.reloads }()
	case <-ctx.Done():
		return &Error{Status: http.StatusServiceUnavailable, Message: "other reloads are still running", Remedy: "try again"}
	}
	out, err := s.writer.Reload(ctx)
	if err != nil {
		return err
	}
	respond(w, okOr(out.OK, http.StatusUnprocessableEntity), out)
	return nil
}

func okOr(ok bool, otherwise int) int {
	if ok {
		return http.StatusOK
	}
	return otherwise
}

// failoverRequest is the body of POST /v1/failover.
type failoverRequest struct {
	Instance string `json:"instance"` // "" is every one that is master
}

func (s *HTTPServer) failover(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	var req failoverRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), failoverWithin)
	defer cancel()
	out, err := s.writer.Failover(ctx, req.Instance)
	if err != nil {
		return err
	}
	respond(w, okOr(out.OK, http.StatusConflict), out)
	return nil
}

// query returns the parameters of the request; those that are not named are
// refused, for a misspelt one would silently mean its default.
func query(r *http.Request, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &Error{Status: http.StatusBadRequest, Message: "query: " + err.Error(), Remedy: "encode it as key=value&key=value", cause: err}
	}
	for _, k := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(names, k) {
			return nil, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("unknown parameter %q", clip(k)), Remedy: allowed("parameters", names)}
		}
		if len(q[k]) > 1 {
			return nil, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("parameter %q is given twice", k), Remedy: "give it once"}
		}
	}
	return q, nil
}

func allowed(what string, names []string) string {
	if len(names) == 0 {
		return "this path takes no " + what
	}
	return "known " + what + " are " + strings.Join(names, ", ")
}

// decode reads one JSON object, or nothing, into v.
func decode(r *http.Request, v any) error {
	refuse := func(status int, message string, cause error) error {
		return &Error{Status: status, Message: "request body: " + message, Remedy: "send one JSON object with the keys of docs/control-api.md", cause: cause}
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		_, err = d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			return refuse(http.StatusBadRequest, "something follows the object", nil)
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &Error{
			Status:  http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("request body is larger than %d bytes", large.Limit),
			Remedy:  "no request needs that much", cause: err,
		}
	}
	return refuse(http.StatusBadRequest, clip(err.Error()), err)
}

// fail answers with the error.
func fail(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Message: err.Error(), Remedy: "baton events --since 10m tells what happened around it", cause: err}
	}
	if e.Status == 0 {
		e.Status = http.StatusInternalServerError
	}
	respond(w, e.Status, e)
}

// answerWith responds with what the director says within statusWithin.
func answerWith[T any](w http.ResponseWriter, r *http.Request, ask func(context.Context) (T, error)) error {
	ctx, cancel := context.WithTimeout(r.Context(), statusWithin)
	defer cancel()
	out, err := ask(ctx)
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, out)
	return nil
}

// respond writes v within the time that a client has to read it.
func respond(w http.ResponseWriter, status int, v any) {
	// A connection without deadlines does not exist; and a client that has
	// gone away while we write needs no answer.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(v))
}

// encode renders one line of JSON. The values are ours and always encodable.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(`{"error":"the answer cannot be encoded","remedy":"this is a defect of baton: report it"}`)
	}
	return append(b, '\n')
}

// clip bounds what of a request is repeated in the answer to it.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
