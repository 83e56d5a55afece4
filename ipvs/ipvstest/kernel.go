// Package ipvstest is an IPVS kernel for unit tests: it holds a table,
// answers with the kernel's errnos, and speaks ipvsadm's language, so that a
// test reads like a shell session.
package ipvstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"

	"baton/ipvs"
)

// Kernel implements ipvs.Kernel. Its zero value is an empty table.
type Kernel struct {
	// BeforeRead and BeforeApply are called first, outside the lock, so that
	// they may edit the table: that is a race. An error of theirs is the answer.
	BeforeRead  func() error
	BeforeApply func(ipvs.Op) error
	// AfterApply sees the table after each operation that was performed. It
	// must not keep or change it.
	AfterApply func(ipvs.Op, ipvs.Table)
	// Missing are the schedulers that the kernel does not have.
	Missing []string

	mu       sync.Mutex
	table    ipvs.Table
	commands []string
	settings settings
}

// New returns a kernel whose table the given ipvsadm commands made; they are
// separated by newlines, the program's name is optional. It panics on one that fails.
func New(commands string) *Kernel {
	k := &Kernel{}
	if err := k.Run(commands); err != nil {
		panic(err)
	}
	return k
}

// Run edits the table from outside, with ipvsadm commands on lines of their
// own ("-C" among them), until one fails.
func (k *Kernel) Run(commands string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for line := range strings.Lines(commands) {
		line = strings.TrimSpace(line)
		switch strings.TrimSpace(strings.TrimPrefix(line, "ipvsadm")) {
		case "":
			continue
		case "-C":
			clear(k.table)
			continue
		}
		op, err := Parse(line)
		if err == nil {
			err = k.perform(op)
		}
		if err != nil {
			return fmt.Errorf("run %q: %w", line, err)
		}
	}
	return nil
}

// Read implements ipvs.Kernel.
func (k *Kernel) Read(ctx context.Context) (ipvs.Table, error) {
	if err := k.beforeRead(ctx); err != nil {
		return nil, err
	}
	return k.Table(), nil
}

// ReadOver implements ipvs.Kernel. It spoils the room: whoever still looks there is seen.
func (k *Kernel) ReadOver(ctx context.Context, room ipvs.Table) (ipvs.Table, error) {
	for _, e := range room {
		for i := range e.Servers {
			if st := e.Servers[i].Stats; st != nil {
				st.Active = 999999
			}
			e.Servers[i] = ipvs.Server{Weight: 999999}
		}
	}
	clear(room)
	t, err := k.Read(ctx)
	for _, e := range t {
		for i := range e.Servers {
			if st := e.Servers[i].Stats; st != nil {
				e.Servers[i].Stats = new(*st)
			}
		}
	}
	return t, err
}

// ReadServices implements ipvs.Kernel.
func (k *Kernel) ReadServices(ctx context.Context, keys []ipvs.ServiceKey) (ipvs.Table, error) {
	if err := k.beforeRead(ctx); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	t := make(ipvs.Table, len(keys))
	for _, key := range keys {
		if e, there := k.table[key]; there {
			t[key] = e
		}
	}
	return t.Clone(), nil
}

// List implements ipvs.Kernel.
func (k *Kernel) List(ctx context.Context) ([]ipvs.ServiceKey, error) {
	if err := k.beforeRead(ctx); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.table)), nil
}

func (k *Kernel) beforeRead(ctx context.Context) error {
	if err := ctx.Err(); err != nil || k.BeforeRead == nil {
		return err
	}
	return k.BeforeRead()
}

// Apply implements ipvs.Kernel.
func (k *Kernel) Apply(ctx context.Context, ops []ipvs.Op) []error {
	var answers []error
	for _, op := range ops {
		err := k.apply(ctx, op)
		answers = append(answers, err)
		if ctx.Err() != nil || ipvs.Fatal(err) {
			break
		}
	}
	return answers
}

func (k *Kernel) apply(ctx context.Context, op ipvs.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if k.BeforeApply != nil {
		if err := k.BeforeApply(op); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.perform(op); err != nil {
		return err
	}
	k.commands = append(k.commands, op.String())
	if k.AfterApply != nil {
		k.AfterApply(op, k.table)
	}
	return nil
}

// Table returns a copy of the table.
func (k *Kernel) Table() ipvs.Table {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.table.Clone()
}

// Edit changes the table in any way, counters included.
func (k *Kernel) Edit(edit func(ipvs.Table)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.table == nil {
		k.table = ipvs.Table{}
	}
	edit(k.table)
}

// String returns the table in ipvsadm-save's format.
func (k *Kernel) String() string { return k.Table().String() }

// Commands returns what was applied since the last call, as ipvsadm commands.
func (k *Kernel) Commands() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.commands
	k.commands = nil
	return c
}

// perform answers as net/netfilter/ipvs/ip_vs_ctl.c does.
func (k *Kernel) perform(op ipvs.Op) error {
	if k.table == nil {
		k.table = ipvs.Table{}
	}
	key := op.Service.Key
	e, exists := k.table[key]
	if op.Kind == ipvs.AddService {
		if exists {
			return syscall.EEXIST
		}
		e = ipvs.Entry{}
	} else if !exists {
		return syscall.ESRCH
	}
	switch op.Kind {
	case ipvs.AddService, ipvs.UpdateService:
		for _, m := range k.Missing {
			if m == op.Service.Scheduler {
				return fmt.Errorf("scheduler %s: %w: run modprobe ip_vs_%s: %w", m, ipvs.ErrNoModule, m, syscall.ENOENT)
			}
		}
		e.Service = op.Service
		k.table[key] = e
	case ipvs.DeleteService:
		delete(k.table, key)
	default:
		return k.performServer(key, e, op)
	}
	return nil
}

func (k *Kernel) performServer(key ipvs.ServiceKey, e ipvs.Entry, op ipvs.Op) error {
	sk := op.Server.Key
	was, exists := e.Servers.Get(sk)
	switch {
	case op.Kind == ipvs.AddServer && exists:
		return syscall.EEXIST
	case op.Kind != ipvs.AddServer && !exists:
		return syscall.ENOENT
	case op.Kind == ipvs.DeleteServer:
		e.Servers.Delete(sk)
		k.table[key] = e
		return nil
	}
	s := op.Server
	mixed := sk.Address.Is4() != (key.AF() == ipvs.IPv4)
	gue := s.Forward == ipvs.TUN && s.Tunnel.Type == ipvs.GUE
	switch {
	case s.Weight < 0, s.LowerThreshold > s.UpperThreshold:
		return syscall.ERANGE
	case mixed && (s.Forward != ipvs.TUN || len(k.settings.daemons) > 0), gue && s.Tunnel.Port == 0:
		return syscall.EINVAL
	}
	s.Stats = was.Stats // its connections live through a change
	e.Servers.Put(s)
	k.table[key] = e
	return nil
}
