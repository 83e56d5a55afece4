package track

import (
	"context"
	"reflect"
	"sync"
	"time"

	"baton/internal/script"
)

// Options are what a Scheduler works with. All but the functions that tell may
// be left out.
type Options struct {
	Changed func(key string, s State) // each change of state, and the first state
	Trouble func(Trouble)

	Run      func(context.Context, Script) script.Result // a run of a script
	ReadFile func(path string) ([]byte, error)
	List     func(visit func(Proc)) error // every process
}

// Scheduler watches. One goroutine watches one thing; the callbacks come from
// these, one at a time.
type Scheduler struct {
	opts Options

	mu      sync.Mutex
	ctx     context.Context
	items   map[string]*item
	done    sync.WaitGroup
	telling sync.Mutex
	list    list
}

// item is one thing that is watched.
type item struct {
	spec   any
	watch  func(ctx context.Context, h hysteresis)
	start  hysteresis
	cancel context.CancelFunc
	after  <-chan struct{} // its predecessor, whose script may still be ended
	ended  chan struct{}
	told   bool // its state, at least once
}

// NewScheduler makes a scheduler that watches nothing yet.
func NewScheduler(o Options) *Scheduler {
	if o.Run == nil {
		o.Run = runScript
	}
	if o.ReadFile == nil {
		o.ReadFile = readFile
	}
	if o.List == nil {
		o.List = listProcesses
	}
	return &Scheduler{opts: o, items: map[string]*item{}}
}

// Run watches until ctx ends. It returns nil when no script runs any more,
// which takes script.Grace and a little.
func (s *Scheduler) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, it := range s.items {
		s.begin(it)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.items = map[string]*item{}
	s.mu.Unlock()
	s.done.Wait()
	return nil
}

// Apply takes over what to watch. What is unchanged keeps its state and its
// timers; what is new or changed is looked at as soon as it can be, and starts
// from its state in known, which may be nil: so a restart of this process
// needs as many failures as ever to call something down. What has been told and
// is not in known counts as new: whoever applies has forgotten it meanwhile.
func (s *Scheduler) Apply(specs Specs, known map[string]State) {
	next := map[string]*item{}
	for _, sp := range specs.Scripts {
		next[sp.Key()] = &item{spec: sp, watch: func(ctx context.Context, h hysteresis) { s.watchScript(ctx, sp, h) }}
	}
	for _, sp := range specs.Files {
		next[sp.Key()] = &item{spec: sp, watch: func(ctx context.Context, _ hysteresis) { s.watchFile(ctx, sp) }}
	}
	for _, sp := range specs.Processes {
		next[sp.Key()] = &item{spec: sp, watch: func(ctx context.Context, h hysteresis) { s.watchProcess(ctx, sp, h) }}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx != nil && s.ctx.Err() != nil {
		return
	}
	for key, it := range s.items {
		n := next[key]
		_, heard := known[key]
		if n != nil && (heard || !it.told) && reflect.DeepEqual(n.spec, it.spec) {
			next[key] = it
			continue
		}
		if it.cancel != nil {
			it.cancel()
			if n != nil {
				n.after = it.ended
			}
		}
	}
	for key, it := range next {
		if s.items[key] == it {
			continue
		}
		if st, ok := known[key]; ok {
			it.start = hysteresis{known: true, up: st.Up}
		}
		if s.ctx != nil {
			s.begin(it)
		}
	}
	s.items = next
}

// begin starts an item's goroutine. With s.mu held.
func (s *Scheduler) begin(it *item) {
	ctx, cancel := context.WithCancel(s.ctx)
	it.cancel, it.ended = cancel, make(chan struct{})
	s.done.Go(func() {
		defer close(it.ended)
		defer cancel()
		if it.after != nil {
			<-it.after
		}
		it.watch(ctx, it.start)
	})
}

// changed tells a state, unless the item was replaced meanwhile.
func (s *Scheduler) changed(ctx context.Context, key string, st State) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	current := ctx.Err() == nil // else the item of this key is another one
	if it := s.items[key]; current && it != nil {
		it.told = true
	}
	s.mu.Unlock()
	if current {
		s.opts.Changed(key, st)
	}
}

func (s *Scheduler) trouble(ctx context.Context, t Trouble) {
	s.telling.Lock()
	defer s.telling.Unlock()
	if ctx.Err() == nil {
		s.opts.Trouble(t)
	}
}

// every calls look at once and then whenever it said to, until ctx ends.
func every(ctx context.Context, look func() time.Duration) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			t.Reset(look())
		case <-ctx.Done():
			return
		}
	}
}
