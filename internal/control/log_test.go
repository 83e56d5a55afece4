package control

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLogLevelsTravelWhole(t *testing.T) {
	b := &backend{log: Log{Level: "info", Subsystems: []LogLevel{{Subsystem: "vrrp", Level: "debug", Until: time.Unix(1, 0).UTC()}}}}
	c := NewClient(serve(t, b))
	defer c.Close()
	for _, ask := range []func() (Log, error){
		func() (Log, error) { return c.Log(t.Context()) },
		func() (Log, error) {
			return c.SetLog(t.Context(), LogRequest{Levels: map[string]string{"vrrp": "debug", "ipvs": DefaultLevel}})
		},
		func() (Log, error) {
			return c.SetLog(t.Context(), LogRequest{Levels: map[string]string{"vrrp": "warn"}, For: "0s"})
		},
	} {
		out, err := ask()
		if err != nil || out.Level != "info" || !slices.Equal(out.Subsystems, b.log.Subsystems) {
			t.Errorf("answer is %+v, %v", out, err)
		}
	}
	want := []string{"levels", "log map[ipvs:default vrrp:debug] for 10m0s", "log map[vrrp:warn] for 0s"}
	if !slices.Equal(b.asked, want) {
		t.Errorf("asked %q, want %q", b.asked, want)
	}
}

// TestLogLevelsThatAreRefused: each with what is wrong, and nothing is done.
func TestLogLevelsThatAreRefused(t *testing.T) {
	b := &backend{}
	c := NewClient(serve(t, b))
	defer c.Close()
	for want, req := range map[string]LogRequest{
		"the levels are missing":                     {},
		`there is no subsystem "speaker"`:            {Levels: map[string]string{"speaker": "debug"}},
		`vrrp: there is no level "trace"`:            {Levels: map[string]string{"vrrp": "trace"}},
		`for "-1s" is not a duration from 0s`:        {Levels: map[string]string{"vrrp": "debug"}, For: "-1s"},
		`for "24h0m1s" is not a duration from 0s`:    {Levels: map[string]string{"vrrp": "debug"}, For: "24h0m1s"},
		`for "tomorrow" is not a duration from 0s t`: {Levels: map[string]string{"vrrp": "debug"}, For: "tomorrow"},
	} {
		_, err := c.SetLog(t.Context(), req)
		var e *Error
		if !errors.As(err, &e) || e.Status != http.StatusBadRequest || !strings.Contains(e.Message, want) || e.Remedy == "" {
			t.Errorf("%+v: %v, want %q", req, err, want)
		}
	}
	if len(b.asked) > 0 {
		t.Errorf("asked %q", b.asked)
	}
}
