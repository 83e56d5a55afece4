package healthcheck

import "testing"

func TestGateKeepsHalfForThePrompt(t *testing.T) {
	g := &gate{limit: 4}
	for i, suspect := range []bool{true, true} {
		if !g.enter(suspect) {
			t.Fatalf("suspect %d refused", i)
		}
	}
	if g.enter(true) {
		t.Fatal("a third suspect of four places admitted")
	}
	for i := range 2 {
		if !g.enter(false) {
			t.Fatalf("prompt check %d was refused its half", i)
		}
	}
	if g.enter(false) {
		t.Fatal("five in four places")
	}

	slow, prompt, gone := &check{suspect: true}, &check{}, &check{removed: true}
	g.wait(slow)
	g.wait(gone)
	g.wait(prompt)
	valid := func(c *check) bool { return !c.removed }
	if c := g.next(valid); c != nil || g.ready() {
		t.Fatalf("next = %v while full", c)
	}
	g.leave(true)
	if !g.ready() || g.next(valid) != prompt {
		t.Fatal("the prompt one does not come first")
	}
	if g.next(valid) != slow {
		t.Fatal("the suspect does not get the place that nobody else wants")
	}
	if g.next(valid) != nil {
		t.Fatal("something came out twice")
	}
}

func TestGateOfOne(t *testing.T) {
	g := &gate{limit: 1}
	if !g.enter(true) {
		t.Fatal("the only place is never a suspect's")
	}
	g.leave(true)
	if !g.enter(false) {
		t.Fatal("the place was not given back")
	}
}

func TestFIFOReusesItsMemory(t *testing.T) {
	var f fifo
	cs := make([]check, 100)
	in, out := 0, 0
	for range 2000 {
		for range 3 {
			f.push(&cs[in%100])
			in++
		}
		for range 3 {
			if got := f.pop(); got != &cs[out%100] {
				t.Fatalf("element %d out of order", out)
			}
			out++
		}
		if f.len() < 20 {
			f.push(&cs[in%100])
			in++
		}
	}
	if f.len() != in-out || cap(f.items) > 128 {
		t.Fatalf("%d queued of %d in %d places", f.len(), in-out, cap(f.items))
	}
}
