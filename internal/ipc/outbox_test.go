package ipc

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// drain runs the outbox against a connection until everything is out.
func drain(t *testing.T, o *Outbox) []Message {
	t.Helper()
	a, b := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx, a, func(err error) { t.Error(err) }); a.Close() }()
	var got []Message
	for {
		m, err := b.Receive()
		if errors.Is(err, io.EOF) {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m)
	}
}

func numbers(t *testing.T, ms []Message) []int {
	t.Helper()
	out := []int{}
	for _, m := range ms {
		var b body
		if err := m.Decode(&b); err != nil {
			t.Fatal(err)
		}
		out = append(out, b.N)
	}
	return out
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestOutboxReplacesByKeyInPlace(t *testing.T) {
	o := NewOutbox(10)
	o.Put("v", "a", body{1})
	o.Put("v", "b", body{2})
	o.Put("v", "a", body{3})
	if got := numbers(t, drain(t, o)); !equal(got, []int{3, 2}) {
		t.Errorf("sent %v, want [3 2]", got)
	}
}

// TestOutboxBoundsFactsWithoutKey also holds that dropping from the middle
// leaves the keyed facts where their key says.
func TestOutboxBoundsFactsWithoutKey(t *testing.T) {
	o := NewOutbox(2)
	o.Put("f", "", body{1})
	o.Put("v", "a", body{10})
	o.Put("f", "", body{2})
	o.Put("v", "b", body{20})
	o.Put("f", "", body{3}) // 1 goes
	o.Put("v", "a", body{11})
	o.Put("v", "b", body{21})
	if got := numbers(t, drain(t, o)); !equal(got, []int{11, 2, 21, 3}) {
		t.Errorf("sent %v, want [11 2 21 3]", got)
	}
	if o.Dropped() != 1 {
		t.Errorf("dropped %d, want 1", o.Dropped())
	}
}

func TestOutboxNeverDropsWhatIsPutAlways(t *testing.T) {
	o := NewOutbox(2)
	for n := range 5 {
		o.PutAlways("n", body{100 + n})
		o.Put("v", "a", body{10 + n})
		o.Put("f", "", body{n})
	}
	if got := numbers(t, drain(t, o)); !equal(got, []int{100, 14, 101, 102, 103, 3, 104, 4}) {
		t.Errorf("sent %v, want [100 14 101 102 103 3 104 4]", got)
	}
	if o.Dropped() != 3 {
		t.Errorf("dropped %d, want 3", o.Dropped())
	}
	o.Put("f", "", body{1})
	o.Put("f", "", body{2})
	if got := numbers(t, drain(t, o)); !equal(got, []int{1, 2}) {
		t.Errorf("afterwards sent %v, want [1 2]", got)
	}
}

func TestOutboxKeyIsFreeAfterSending(t *testing.T) {
	o := NewOutbox(2)
	o.Put("v", "a", body{1})
	drain(t, o)
	o.Put("v", "a", body{2})
	if got := numbers(t, drain(t, o)); !equal(got, []int{2}) {
		t.Errorf("sent %v, want [2]", got)
	}
}

func TestOutboxEndsWithTheConnection(t *testing.T) {
	o := NewOutbox(2)
	a, b := pipe(t)
	b.Close()
	o.Put("f", "", body{1})
	if err := o.Run(context.Background(), a, func(err error) { t.Error(err) }); err == nil {
		t.Error("no error from a closed connection")
	}
}

// TestOutboxGoesOnAfterWhatCannotBeSent: one configuration that is too large must
// not cut a child off from all that comes after it.
func TestOutboxGoesOnAfterWhatCannotBeSent(t *testing.T) {
	o := NewOutbox(4)
	a, b := pipe(t)
	o.Put("big", "big", strings.Repeat("x", MaxFrame))
	o.Put("odd", "odd", func() {})
	o.Put("f", "", body{3})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var told []string
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx, a, func(err error) { told = append(told, err.Error()) }); a.Close() }()
	m, err := b.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, []Message{m}); !equal(got, []int{3}) {
		t.Errorf("sent %v, want [3]", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(told) != 2 || !strings.Contains(told[0], "send big message: message cannot be sent: ") || !strings.Contains(told[1], "encode odd message") {
		t.Errorf("told %q", told)
	}
}
