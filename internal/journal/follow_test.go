package journal

import (
	"context"
	"testing"
	"testing/synctest"

	"baton/internal/event"
)

func TestFollowerGetsWhatComes(t *testing.T) {
	j := open(t, Options{})
	j.Append(numberedEvent(0))
	ctx, cancel := context.WithCancel(t.Context())
	ch := j.Follow(ctx)
	j.Append(numberedEvent(1))
	j.Append(numberedEvent(2))
	wantNumbers(t, []event.Event{<-ch, <-ch}, "1 2")
	cancel()
	if e, open := <-ch; open {
		t.Errorf("%+v came after the end", e)
	}
	j.Append(numberedEvent(3)) // must not send on the closed channel
}

func TestFollowerOfAnEndedContextGetsNothing(t *testing.T) {
	j := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e, open := <-j.Follow(ctx); open {
		t.Errorf("%+v came", e)
	}
}

func TestSlowFollowerLosesAndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, err := Open(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		slow, quick := j.Follow(ctx), j.Follow(ctx)
		for n := range backlog + 10 {
			j.Append(numberedEvent(n))
			<-quick
		}
		// One place is not enough for what was lost and what comes.
		<-slow
		j.Append(numberedEvent(1000))
		<-quick
		<-slow
		j.Append(numberedEvent(1001))
		wantNumbers(t, []event.Event{<-quick}, "1001")

		var last []event.Event
		for range backlog {
			last = append(last, <-slow)
		}
		told, after := last[backlog-2], last[backlog-1]
		if told.Name != event.LogDropped || told.Get(event.Count) != "11" {
			t.Errorf("told is %+v, want 11 dropped", told)
		}
		wantNumbers(t, []event.Event{last[0], last[backlog-3], after}, "2 255 1001")
		cancel()
		synctest.Wait()
		if len(j.subs) != 0 {
			t.Errorf("%d subscribers are left", len(j.subs))
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}
