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

// programmer is the one writer of the kernel's IPVS table: it takes changes of
// the desired one and reports each pass. A pass costs what has changed; services are
// read when that is more than servers, in turn within each resync interval, and all of
// them after trouble and when asked.
type programmer struct {
	rec      *ipvs.Reconciler
	owned    ipvs.Ownership
	record   string         // file that remembers what is ours
	recorded ipvs.Ownership // what it holds, which contains owned or is contained in it; nil: nobody knows
	resync   time.Duration  // within which each service is read
	rotation rotation
	report   func(pass)
	want     ipvs.Table // desired, as of the last pass

	mu    sync.Mutex
	next  changes                      // of want, that the next pass takes over
	seq   uint64                       // of the table that they make; 0: nobody has said yet what is wanted
	whole bool                         // the next pass reads all services
	look  map[ipvs.ServiceKey]struct{} // that the next pass reads whatever changes
	asked bool                         // somebody has asked for some of next
	wake  chan struct{}
}

// changes are entries of a desired table that differ from those before; nil: the
// service is gone.
type changes map[ipvs.ServiceKey]*ipvs.Entry

// pass is the outcome of one reconciliation.
type pass struct {
	seq   uint64 // of the table that was wanted
	asked bool   // somebody has asked for some of it: not all followed from verdicts
	res   ipvs.Result
	err   error
	took  time.Duration
}

func newProgrammer(k ipvs.Kernel, stateDir string, resync time.Duration, report func(pass)) (*programmer, error) {
	owned, recorded, err := plan.ReadOwnership(stateDir)
	if err != nil {
		return nil, err
	}
	p := &programmer{
		rec: ipvs.NewReconciler(k), owned: owned, resync: resync, report: report,
		want: ipvs.Table{}, record: plan.OwnershipFile(stateDir), wake: make(chan struct{}, 1),
	}
	if recorded {
		p.recorded = owned
	}
	return p, nil
}

// change changes the desired table, which is empty at first, and returns the
// number of what comes of it, which a later pass carries. ch and the entries in it
// are the programmer's from now on.
func (p *programmer) change(ch changes) uint64 { return p.wants(ch, true) }

// follow is change for what nobody has asked for: it follows from verdicts and time.
func (p *programmer) follow(ch changes) uint64 { return p.wants(ch, false) }

func (p *programmer) wants(ch changes, asked bool) uint64 {
	p.mu.Lock()
	p.asked = p.asked || asked
	if p.next == nil {
		p.next = ch
	} else {
		maps.Copy(p.next, ch)
	}
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

// run reconciles when asked and in each resync interval, which is shortened
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
			t.Reset(p.nextPart(ctx))
			continue
		}
		whole, err := p.due(ctx)
		first()
		switch {
		case err != nil:
			t.Reset(min(time.Second, p.resync))
		case whole: // a row of changes must not put the next resync off
			p.rotation = rotation{}
			t.Reset(p.pace())
		}
	}
}

// due makes the pass that was asked for, and says whether it has read all services.
func (p *programmer) due(ctx context.Context) (whole bool, err error) {
	p.mu.Lock()
	all := p.whole
	p.mu.Unlock()
	if all {
		return true, p.once(ctx)
	}
	return p.pass(ctx, func(keys []ipvs.ServiceKey, read bool) (ipvs.Result, error) {
		if read {
			return p.rec.Change(ctx, p.want, p.owned, keys...)
		}
		return p.rec.Follow(ctx, p.want, p.owned, keys...)
	})
}

// once reads all services and makes them what is wanted.
func (p *programmer) once(ctx context.Context) error {
	if _, err := os.Stat(p.record); err != nil {
		p.recorded = nil // somebody removed it
	}
	_, err := p.pass(ctx, func([]ipvs.ServiceKey, bool) (ipvs.Result, error) {
		return p.rec.Reconcile(ctx, p.want, p.owned)
	})
	return err
}

// pass takes over what has changed and has it applied, and the services read where
// somebody has asked for that: what was wanted already is owned and recorded as such
// since the pass that brought it.
func (p *programmer) pass(ctx context.Context, apply func(keys []ipvs.ServiceKey, read bool) (ipvs.Result, error)) (whole bool, err error) {
	p.mu.Lock()
	next, look, seq, asked := p.next, p.look, p.seq, p.asked
	p.next, p.look, p.whole, p.asked = nil, nil, false, false
	p.mu.Unlock()
	if seq == 0 {
		return false, nil
	}
	begun := time.Now()
	keys := slices.AppendSeq(slices.Collect(maps.Keys(look)), maps.Keys(next))
	added := ipvs.Table{}
	for k, e := range next {
		if e == nil {
			delete(p.want, k)
			continue
		}
		p.want[k], added[k] = *e, *e
	}
	// What is about to become ours is written down first: a crash between the
	// two must not leave a service that nobody claims. A disk that cannot be
	// written is told, but traffic decisions go on without it.
	noted := p.remember(p.owned.With(added))
	res, err := apply(keys, len(look) > 0)
	p.owned = res.Owned
	if noted == nil {
		noted = p.remember(p.owned)
	}
	if ctx.Err() != nil {
		return false, nil
	}
	err = errors.Join(err, noted)
	p.report(pass{seq: seq, asked: asked, res: res, err: err, took: time.Since(begun)})
	if len(res.Drift) > 0 && !res.Whole {
		p.poke()
	}
	return res.Whole, err
}

// remember writes the ownership record when it has changed: of two sets that
// contain one another the length tells. A state directory
// that cannot be written must not stop traffic decisions: the caller reports
// the error and goes on.
func (p *programmer) remember(o ipvs.Ownership) error {
	if p.recorded != nil && len(p.recorded) == len(o) {
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
