package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	stateFile = "lab.json"
	maxState  = 1 << 20

	phaseBuilding = "building"
	phaseUp       = "up"
)

// state is what the next command must know of a lab. It is written before the
// first namespace is made, so that whatever exists is found again.
type state struct {
	Name           string         `json:"name"`
	Dir            string         `json:"dir"`
	Phase          string         `json:"phase"`
	Builder        int            `json:"builder_pid"`
	BuilderStart   uint64         `json:"builder_start_ticks"`
	Temporary      bool           `json:"temporary"` // gone with its builder
	Created        time.Time      `json:"created"`
	Binary         string         `json:"binary"`
	Config         string         `json:"config"`
	Topology       Topology       `json:"topology"`
	IPv6           bool           `json:"ipv6"`
	AdvertInterval time.Duration  `json:"advert_interval_ns"`
	Version        int            `json:"vrrp_version"`
	Directors      []string       `json:"directors"`
	Priorities     map[string]int `json:"priorities"`
	NoPreempt      bool           `json:"no_preempt"`
	Processes      []process      `json:"processes"`
}

func newState(o Options) state {
	self, _ := readStat(os.Getpid()) // without /proc nothing else works either
	return state{
		Name: o.Name, Dir: o.Dir, Phase: phaseBuilding, Builder: os.Getpid(), BuilderStart: self.start, Temporary: o.temporary,
		Created: time.Now(), Binary: o.Binary,
		Config: filepath.Join(o.Dir, "baton.toml"), Topology: o.Topology, IPv6: o.IPv6, AdvertInterval: o.AdvertInterval, Version: o.Version,
		Directors: o.Directors, Priorities: o.Priorities, NoPreempt: o.NoPreempt,
	}
}

// save replaces the state file in one step: a crash leaves the old or the new.
func (l *Lab) save() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	raw, err := json.MarshalIndent(l.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encode lab state: %w", err)
	}
	if err := os.MkdirAll(l.opts.Dir, 0o755); err != nil {
		return fmt.Errorf("make lab directory: %w", err)
	}
	name := filepath.Join(l.opts.Dir, stateFile)
	if err := os.WriteFile(name+".new", raw, 0o644); err != nil {
		return fmt.Errorf("write lab state: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("replace lab state: %w", err)
	}
	return nil
}

func loadState(dir string) (state, error) {
	name := filepath.Join(dir, stateFile)
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, fmt.Errorf("open %s: %w (baton lab up builds it)", name, ErrDown)
	}
	if err != nil {
		return state{}, fmt.Errorf("read lab state: %w", err)
	}
	if st.Size() > maxState {
		return state{}, fmt.Errorf("read lab state %s: %d bytes are not a lab's", name, st.Size())
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return state{}, fmt.Errorf("read lab state: %w", err)
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return state{}, fmt.Errorf("decode lab state %s: %w (baton lab down removes it)", name, err)
	}
	return s, nil
}

// checkAbsent refuses to build over something that exists.
func checkAbsent(o Options) error {
	s, err := loadState(o.Dir)
	switch {
	case err == nil && s.Phase == phaseUp:
		return fmt.Errorf("%w: %q since %s in %s (baton lab down removes it)", ErrUp, s.Name, s.Created.Format(time.DateTime), o.Dir)
	case err == nil:
		return fmt.Errorf("%w: %q was left half built by pid %d (baton lab down removes it)", ErrUp, s.Name, s.Builder)
	case !errors.Is(err, ErrDown):
		return err
	}
	if left := presentNamespaces(o.Name); len(left) > 0 {
		return fmt.Errorf("%w: namespaces of %s exist, but no state in %s (baton lab down removes them)",
			ErrUp, strings.Join(left, ", "), o.Dir)
	}
	entries, err := os.ReadDir(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read lab directory: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("use %s as lab directory: it holds other files; choose one that does not exist", o.Dir)
	}
	return nil
}

// lockDir keeps two commands from building or removing the same lab at once.
func lockDir(dir string) (unlock func(), err error) {
	name := filepath.Clean(dir) + ".lock"
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of the lab's lock: %w", err)
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lab lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: another command is building or removing this lab: %w", name, err)
	}
	// Whoever held it before may have removed the file after we opened it: then
	// our lock is one that nobody else asks for.
	now, err1 := os.Stat(name)
	mine, err2 := f.Stat()
	if err1 != nil || err2 != nil || !os.SameFile(now, mine) {
		f.Close()
		return nil, fmt.Errorf("lock %s: another command has just used this lab; try again", name)
	}
	return func() {
		os.Remove(name)
		f.Close()
	}, nil
}
