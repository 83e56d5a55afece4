package control

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOrdersTravelWhole: what a client asks for is what the director hears.
func TestOrdersTravelWhole(t *testing.T) {
	b := &backend{orders: Orders{Servers: []Ordered{{Service: "tcp 192.168.16.200:80", Server: Server{Address: "192.168.16.103:80", State: "draining",
		Drain: &Drain{Deadline: time.Date(2026, 11, 20, 3, 4, 5, 0, time.UTC)}}}}, Notes: []string{"a note"}}}
	c := NewClient(serve(t, b))
	defer c.Close()
	server := ServerRequest{Server: "192.168.16.103:80", Service: "tcp 192.168.16.200:80"}
	zero, nine := time.Duration(0), 9
	for _, ask := range []func() (Orders, error){
		func() (Orders, error) { return c.Drain(t.Context(), DrainRequest{ServerRequest: server}) },
		func() (Orders, error) {
			return c.Drain(t.Context(), DrainRequest{ServerRequest: server, Timeout: &zero})
		},
		func() (Orders, error) { return c.Undrain(t.Context(), ServerRequest{Server: "192.168.16.103"}) },
		func() (Orders, error) { return c.Drains(t.Context(), server) },
		func() (Orders, error) { return c.Drains(t.Context(), ServerRequest{}) },
		func() (Orders, error) {
			return c.Weight(t.Context(), WeightRequest{ServerRequest: server, Weight: Weight{Value: &nine}})
		},
		func() (Orders, error) { return c.Weight(t.Context(), WeightRequest{ServerRequest: server}) },
	} {
		out, err := ask()
		if err != nil || len(out.Servers) != 1 || out.Servers[0].Service != "tcp 192.168.16.200:80" || out.Servers[0].Address != "192.168.16.103:80" ||
			!out.Servers[0].Drain.Deadline.Equal(b.orders.Servers[0].Drain.Deadline) || !slices.Equal(out.Notes, b.orders.Notes) {
			t.Errorf("answer is %+v, %v", out, err)
		}
	}
	want := []string{
		`drain "192.168.16.103:80" of "tcp 192.168.16.200:80" within as configured`,
		`drain "192.168.16.103:80" of "tcp 192.168.16.200:80" within 0s`,
		`undrain "192.168.16.103" of ""`,
		`drains "192.168.16.103:80" of "tcp 192.168.16.200:80"`,
		`drains "" of ""`,
		`weight "192.168.16.103:80" of "tcp 192.168.16.200:80": 9`,
		`weight "192.168.16.103:80" of "tcp 192.168.16.200:80": as configured`,
	}
	if !slices.Equal(b.asked, want) {
		t.Errorf("asked\n\t%s\nwant\n\t%s", strings.Join(b.asked, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestOrdersThatAreRefused: each with what is wrong, and nothing is done.
func TestOrdersThatAreRefused(t *testing.T) {
	b := &backend{}
	socket := serve(t, b)
	for _, tc := range []struct{ method, path, body, want string }{
		{"POST", "/v1/drain", ``, "the server is missing"},
		{"POST", "/v1/drain", `{"server":"192.168.16.103","timeout":"-1s"}`, "is not a duration from 0s to 24h0m0s"},
		{"POST", "/v1/drain", `{"server":"192.168.16.103","timeout":"25h"}`, "is not a duration from 0s to 24h0m0s"},
		{"POST", "/v1/drain", `{"server":"192.168.16.103","timeout":90}`, "cannot unmarshal number"},
		{"POST", "/v1/drain", `{"server":"192.168.16.103","tiemout":"9s"}`, `unknown field \"tiemout\"`},
		{"POST", "/v1/undrain", `{"server":"192.168.16.103","timeout":"9s"}`, `unknown field \"timeout\"`},
		{"POST", "/v1/weight", `{"server":"192.168.16.103"}`, "the weight is missing"},
		{"POST", "/v1/weight", `{"weight":3}`, "the server is missing"},
		{"POST", "/v1/weight", `{"server":"192.168.16.103","weight":65536}`, "neither a whole number from 0 to 65535 nor null"},
		{"POST", "/v1/weight", `{"server":"192.168.16.103","weight":1.5}`, "neither a whole number"},
		{"POST", "/v1/weight", `{"server":"192.168.16.103","weight":"3"}`, "neither a whole number"},
		{"GET", "/v1/drain?sever=192.168.16.103", ``, `unknown parameter \"sever\"`},
		{"GET", "/v1/weight", ``, "does not take GET"},
	} {
		answer := exchange(t, socket, request(tc.method, tc.path, tc.body))
		if !strings.Contains(answer, tc.want) || !strings.Contains(answer, " 40") {
			t.Errorf("%s %s %s is answered\n%s\nwant %q", tc.method, tc.path, tc.body, answer, tc.want)
		}
	}
	if len(b.asked) > 0 {
		t.Errorf("and yet done: %v", b.asked)
	}
	b.err = &Error{Status: http.StatusConflict, Message: "ambiguous", Remedy: "candidates are a, b"}
	c := NewClient(socket)
	defer c.Close()
	_, err := c.Undrain(t.Context(), ServerRequest{Server: "192.168.16.103"})
	var refused *Error
	if !errors.As(err, &refused) || refused.Status != http.StatusConflict || refused.Remedy != "candidates are a, b" {
		t.Errorf("the director's refusal arrives as %v", err)
	}
}
