package settings

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"baton/conf"
)

// maxPasses bounds a Reconcile: one pass applies, one confirms, the third is
// for somebody who changes the same at the same time.
const maxPasses = 3

// Reconciler makes a Machine agree with a configuration. It is used by one
// goroutine.
type Reconciler struct {
	machine Machine
	rec     Record
	save    func(Record) error
	unsaved bool // save has failed for rec
	// held is what a configuration asked for and the kernel last had, by
	// Op.Object: what is missing of it was changed by somebody else.
	held map[string]bool
	of   conf.IPVS // the configuration of held
}

// NewReconciler returns a Reconciler that goes on from a record and saves it
// whenever it changes.
func NewReconciler(m Machine, rec Record, save func(Record) error) *Reconciler {
	return &Reconciler{machine: m, rec: rec.clone(), save: save}
}

// Result is what one Reconcile found and did.
type Result struct {
	Applied []Op // in order
	Drift   []Op // the part of Applied that repaired what somebody else had changed
	Foreign []string
	State   State // as it was read last
	Record  Record
}

// Reconcile reads, plans and applies until a reading agrees with the
// configuration. Returned are all refusals and obstacles, joined; what does not
// fail is done. An operation that was refused is not tried again within the
// call.
func (r *Reconciler) Reconcile(ctx context.Context, want conf.IPVS) (Result, error) {
	if !reflect.DeepEqual(r.of, want) {
		r.held = nil
	}
	var res Result
	refused := map[string]error{} // by Op.String
	var saved error
	for pass := 1; ; pass++ {
		state, err := r.machine.Read(ctx, want, r.rec)
		if err != nil {
			return res, err
		}
		plan := Plan(want, state, r.rec)
		res.State, res.Foreign = state, plan.Foreign
		saved = r.note(plan.Record)
		res.Record = r.rec
		todo := remaining(plan.Ops, refused)
		if len(todo) == 0 || pass > maxPasses {
			return res, r.conclude(want, plan, todo, refused, saved)
		}
		for _, op := range todo {
			err := r.machine.Apply(ctx, op)
			if ctx.Err() != nil {
				return res, ctx.Err()
			}
			if err != nil {
				refused[op.String()] = err
				continue
			}
			res.Applied = append(res.Applied, op)
			if r.held[op.Object()] {
				res.Drift = append(res.Drift, op)
			}
		}
	}
}

// note saves the record where it has changed, or could not be saved before. A
// directory that cannot be written must not keep the rest from working: the
// caller reports the error.
func (r *Reconciler) note(rec Record) error {
	if !r.unsaved && reflect.DeepEqual(r.rec, rec) {
		return nil
	}
	r.rec = rec
	err := r.save(rec)
	r.unsaved = err != nil
	return err
}

func remaining(ops []Op, refused map[string]error) []Op {
	var left []Op
	for _, op := range ops {
		if refused[op.String()] == nil {
			left = append(left, op)
		}
	}
	return left
}

// conclude remembers what now holds and joins what went wrong.
func (r *Reconciler) conclude(want conf.IPVS, last Outcome, todo []Op, refused map[string]error, saved error) error {
	var errs []error
	for _, b := range last.Blocked {
		errs = append(errs, errors.New(b))
	}
	for _, op := range last.Ops {
		if err := refused[op.String()]; err != nil {
			errs = append(errs, err)
		}
	}
	for _, op := range todo {
		errs = append(errs, fmt.Errorf("%s: it does not stay as it was set (%s); somebody else sets it too", op.Object(), op))
	}
	r.of, r.held = want, map[string]bool{}
	for _, object := range last.Held {
		r.held[object] = true
	}
	return errors.Join(append(errs, saved)...)
}
