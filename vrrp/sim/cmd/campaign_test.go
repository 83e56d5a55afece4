package main

import (
	"strings"
	"testing"
	"time"

	"baton/vrrp"
	"baton/vrrp/sim"
)

// deaf is an engine that never reads its socket.
type deaf struct{ *vrrp.Core }

func (deaf) Receive(vrrp.Endpoint) bool { return false }

func TestCampaign(t *testing.T) {
	var out strings.Builder
	c := campaign{first: 1, size: sim.Small, workers: 2, days: time.Hour, out: &out}
	if !c.run() {
		t.Errorf("it failed:\n%s", &out)
	}
	for _, want := range []string{"seeds 1 to ", "cluster-days          0.", "transitions by reason\n", "  startup\n", "violations            0\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, &out)
		}
	}

	out.Reset()
	c.options = sim.Options{Engine: func(o vrrp.EngineOptions) sim.Engine { return deaf{vrrp.NewCore(o)} }}
	if c.run() {
		t.Error("nothing is wrong with an engine that hears nobody")
	}
	for _, want := range []string{"violations            1: seed ", "shrunk from ", "director a: ", "VIOLATION "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, &out)
		}
	}
}
