package director

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
)

// TestAskOfABusyCore: who gives up hears why, and what he asked for is not done
// behind his back.
func TestAskOfABusyCore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCore(t, &conf.Config{})
		ran := false
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.ask(ctx, func() { ran = true }); err != errBusy {
			t.Errorf("a core that does not come to it: %v", err)
		}
		c.handle(1)
		if ran {
			t.Error("done after it was given up")
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if err := c.ask(stopped, func() { ran = true }); err != errStopping {
			t.Errorf("a core that stops: %v", err)
		}
		// Given up while it runs: its end is waited for.
		ctx, giveUp := context.WithCancel(t.Context())
		go c.handle(256)
		done := make(chan error)
		go func() {
			done <- c.ask(ctx, func() { giveUp(); <-time.After(time.Minute); ran = true })
		}()
		synctest.Wait()
		c.handle(1)
		if err := <-done; err != nil || !ran {
			t.Errorf("one that was running: %v, %v", err, ran)
		}
	})
}
