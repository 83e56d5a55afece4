package main

import (
	"math"
	"path/filepath"
	"testing"
	"time"

	"baton/internal/control"
)

func counted() control.Status {
	st := bad()
	st.Services = st.Services[:2]
	busy := &control.Counters{Connections: 9_999_999_999, InPackets: 10_000_000_000, OutPackets: 0, InBytes: math.MaxUint64, OutBytes: 1,
		Rates: control.Rates{Connections: 1000, InPackets: 2000, OutPackets: 3000, InBytes: 40_000_000, OutBytes: 5}}
	st.Services[0].Counters = busy
	st.Services[0].Servers[0].Counters = busy
	st.Services[0].Servers[3].Counters = &control.Counters{}
	return st
}

func TestCounterTable(t *testing.T) {
	golden(t, filepath.Join("testdata", "status", "counters.txt"), counterTable(counted(), false, time.UTC, false))
	golden(t, filepath.Join("testdata", "status", "rates.txt"), counterTable(counted(), true, time.UTC, false))
}

func TestShort(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 9_999_999_999: "9999999999", 10_000_000_000: "10000000K", 999_999_999_999: "999999999K",
		1_000_000_000_000: "1000000M", math.MaxUint64: "18446744T"} {
		if got := short(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
