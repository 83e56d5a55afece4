package director

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"baton/internal/atomicfile"
	"baton/internal/plan"
	"baton/ipvs"
)

// programmer is the one writer of the kernel's IPVS table: it takes whole
// desired tables, the latest wins, and reports each pass. A new table costs
// what differs; all services are read on each resync, after trouble, and when
// asked.
type programmer struct {
	rec      *ipvs.Reconciler
	owned    ipvs.Ownership
	record   string         // file that remembers what is ours
	recorded ipvs.Ownership // what it holds; nil: nobody knows
	resync   time.Duration  // between passes that nobody asked for
	report   func(pass)

	mu    sync.Mutex
	want  ipvs.Table
	seq   uint64                       // of want
	whole bool                         // the next pass reads all services
	look  map[ipvs.ServiceKey]struct{} // that the next pass reads whatever changes
	wake  chan struct{}
}

// pass is the outcome of one reconciliation.
type pass struct {
	seq  uint64 // of the table that was wanted
	res  ipvs.Result
	err  error
	took time.Duration
}

func newProgrammer(k ipvs.Kernel, stateDir string, resync time.Duration, report func(pass)) (*programmer, error) {
	owned, recorded, err := plan.ReadOwnership(stateDir)
	if err != nil {
		return nil, err
	}
	p := &programmer{
		rec: ipvs.NewReconciler(k), owned: owned, resync: resync, report: report,
		record: plan.OwnershipFile(stateDir), wake: make(chan struct{}, 1),
	}
	if recorded {
		p.recorded = owned
	}
	return p, nil
}

// set makes t the desired table and returns its number, which a later pass
// carries.
func (p *programmer) set(t ipvs.Table) uint64 {
	p.mu.Lock()
	p.want = t
	p.seq++
	seq := p.seq
	p.mu.Unlock()
	p.rouse()
	return seq
}

// poke asks for a pass over all services now.
func (p *programmer) poke() {
	p.mu.Lock()
	p.whole = true
	p.mu.Unlock()
	p.rouse()
}

// lookAt asks for a pass now that reads these services.
func (p *programmer) lookAt(keys ...ipvs.ServiceKey) {
	p.mu.Lock()
	if p.look == nil {
		p.look = map[ipvs.ServiceKey]struct{}{}
	}
	for _, k := range keys {
		p.look[k] = struct{}{}
	}
	p.mu.Unlock()
	p.rouse()
}

func (p *programmer) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run reconciles when asked and every resync interval, which is shortened
// after a failure. It is ready after the first pass, however that went: what is
// wrong with the kernel's table is told, and must not keep the rest from
// working.
func (p *programmer) run(ctx context.Context, ready func()) error {
	first := sync.OnceFunc(ready)
	t := time.NewTimer(p.resync)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-t.C:
			p.poke()
			continue
		}
		whole, err := p.next(ctx)
		first()
		switch {
		case err != nil:
			t.Reset(min(time.Second, p.resync))
		case whole: // a row of changes must not put the next resync off
			t.Reset(p.resync)
		}
	}
}

// next is the pass that was asked for.
func (p *programmer) next(ctx context.Context) (whole bool, err error) {
	p.mu.Lock()
	whole = p.whole
	p.mu.Unlock()
	if whole {
		return true, p.once(ctx)
	}
	return false, p.pass(ctx, func(want ipvs.Table, look []ipvs.ServiceKey) (ipvs.Result, error) {
		return p.rec.Change(ctx, want, p.owned, look...)
	})
}

// once reads all services and makes them what is wanted.
func (p *programmer) once(ctx context.Context) error {
	if _, err := os.Stat(p.record); err != nil {
		p.recorded = nil // somebody removed it
	}
	return p.pass(ctx, func(want ipvs.Table, _ []ipvs.ServiceKey) (ipvs.Result, error) {
		return p.rec.Reconcile(ctx, want, p.owned)
	})
}

func (p *programmer) pass(ctx context.Context, apply func(want ipvs.Table, look []ipvs.ServiceKey) (ipvs.Result, error)) error {
	p.mu.Lock()
	want, seq, look := p.want, p.seq, slices.Collect(maps.Keys(p.look))
	p.whole, p.look = false, nil
	p.mu.Unlock()
	if want == nil {
		return nil
	}
	begun := time.Now()
	// What is about to become ours is written down first: a crash between the
	// two must not leave a service that nobody claims. A disk that cannot be
	// written is told, but traffic decisions go on without it.
	noted := p.remember(p.owned.With(want))
	res, err := apply(want, look)
	if ctx.Err() != nil {
		return nil
	}
	p.owned = res.Owned
	if noted == nil {
		noted = p.remember(p.owned)
	}
	err = errors.Join(err, noted)
	p.report(pass{seq: seq, res: res, err: err, took: time.Since(begun)})
	return err
}

// remember writes the ownership record when it has changed. A state directory
// that cannot be written must not stop traffic decisions: the caller reports
// the error and goes on.
func (p *programmer) remember(o ipvs.Ownership) error {
	if p.recorded != nil && maps.Equal(p.recorded, o) {
		return nil
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode ownership record: %w", err)
	}
	p.recorded = nil
	if err := atomicfile.Write(p.record, raw, 0o600); err != nil {
		return err
	}
	p.recorded = o
	return nil
}
