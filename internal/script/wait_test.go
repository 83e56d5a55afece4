package script

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestStallIsNotTheProgramsTime: while this process stands still, so does the program
// as a rule. It gets that time back, and what it has done meanwhile counts.
func TestStallIsNotTheProgramsTime(t *testing.T) {
	const sec = time.Second
	for _, tc := range []struct {
		name         string
		stall, exits time.Duration // from the beginning, 0: never
		want         ending
		took, stood  time.Duration
	}{
		{"no stall", 0, 0, timedOut, sec, 0},
		{"no stall, and it ends", 0, sec / 2, exited, sec / 2, 0},
		{"a stall, and it never ends", 5 * sec, 0, timedOut, sec, 5 * sec},
		{"a stall, and it ends afterwards", 5 * sec, 900 * time.Millisecond, exited, 900 * time.Millisecond, 5 * sec},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, gone := time.Now(), make(chan struct{})
				if tc.exits > 0 {
					time.AfterFunc(tc.exits, func() { close(gone) })
				}
				end, stood := await(context.Background(), gone, sec, func() time.Time {
					now := time.Now()
					if now.Sub(begun) >= sec/2 {
						now = now.Add(tc.stall)
					}
					return now
				})
				if took := time.Since(begun); end != tc.want || took != tc.took || stood != tc.stood {
					t.Errorf("ended by %v after %v, stood still for %v", end, took, stood)
				}
			})
		})
	}
}

// TestExitedBeforeAnythingElse: after a stall all has come at once.
func TestExitedBeforeAnythingElse(t *testing.T) {
	gone := make(chan struct{})
	close(gone)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if end, _ := await(ctx, gone, time.Second, time.Now); end != exited {
			t.Fatalf("ended by %v", end)
		}
	}
}
