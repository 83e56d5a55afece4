package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	moby "github.com/moby/ipvs"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
)

// DefaultTimeout is how long the kernel may leave one netlink request
// unanswered. It answers in microseconds; the bound is for one that hangs.
const DefaultTimeout = 10 * time.Second

// LinuxKernel is the IPVS table of a network namespace, over generic netlink.
// Its methods may be called from several goroutines.
type LinuxKernel struct{ owner *owner[*sockets] }

// OpenKernel opens the table of the calling thread's network namespace. The
// error is ErrNoIPVS if the kernel has none.
func OpenKernel() (*LinuxKernel, error) {
	k := &LinuxKernel{owner: newOwner(openSession, DefaultTimeout)}
	if err := k.owner.do(context.Background(), func(*sockets, func()) error { return nil }); err != nil {
		return nil, fmt.Errorf("open ipvs: %w", err)
	}
	return k, nil
}

// Read implements Kernel.
func (k *LinuxKernel) Read(ctx context.Context) (Table, error) { return k.ReadOver(ctx, nil) }

// ReadOver implements Kernel.
func (k *LinuxKernel) ReadOver(ctx context.Context, room Table) (Table, error) {
	return ask(ctx, k, func(s *sockets, beat func()) (Table, error) { return s.read(ctx, beat, room) })
}

// ask runs a job of the owner that has a result.
func ask[T any](ctx context.Context, k *LinuxKernel, job func(s *sockets, beat func()) (T, error)) (T, error) {
	result := make(chan T, 1) // not a variable: a reading that was given up may still end
	err := k.owner.do(ctx, func(s *sockets, beat func()) error {
		t, err := job(s, beat)
		result <- t
		return err
	})
	if err != nil {
		var none T
		return none, explain(nil, err)
	}
	return <-result, nil
}

// ReadServices implements Kernel.
func (k *LinuxKernel) ReadServices(ctx context.Context, keys []ServiceKey) (Table, error) {
	return ask(ctx, k, func(s *sockets, beat func()) (Table, error) { return s.readServices(ctx, beat, keys) })
}

// List implements Kernel.
func (k *LinuxKernel) List(ctx context.Context) ([]ServiceKey, error) {
	return ask(ctx, k, func(s *sockets, _ func()) ([]ServiceKey, error) { return s.list() })
}

// Apply implements Kernel. A single operation goes through moby/ipvs where that
// can express it; several are pipelined, batchSize in one system call.
func (k *LinuxKernel) Apply(ctx context.Context, ops []Op) []error {
	answers := make([]error, 0, len(ops))
	for len(ops) > 0 {
		n := min(len(ops), batchSize)
		batch, err := ask(ctx, k, func(s *sockets, _ func()) ([]error, error) {
			if n == 1 {
				return []error{s.apply(ops[0])}, nil
			}
			return s.conn.batch(ops[:n])
		})
		if err != nil {
			return append(answers, err)
		}
		for i, err := range batch {
			answers = append(answers, explain(&ops[i], err))
			if Fatal(err) {
				return answers
			}
		}
		ops = ops[n:]
	}
	return answers
}

// Close releases the sockets. The table stays as it is.
func (k *LinuxKernel) Close() error {
	k.owner.close()
	return nil
}

// sockets is a session: moby/ipvs for what it can express, conn for the rest.
type sockets struct {
	moby *moby.Handle
	conn *conn
	keys []ServiceKey // of the last reading
}

// mobyFamily is the generic netlink family id that moby/ipvs looked up once
// for the life of the process.
var mobyFamily struct {
	sync.Mutex
	id uint16
}

func openSession() (*sockets, error) {
	// moby/ipvs reports a missing family as success of everything, so ask first.
	f, err := netlink.GenlFamilyGet("IPVS")
	switch {
	case errors.Is(err, syscall.ENOENT):
		return nil, ErrNoIPVS
	case err != nil:
		return nil, fmt.Errorf("look up generic netlink family IPVS: %w", err)
	}
	mobyFamily.Lock()
	defer mobyFamily.Unlock()
	if mobyFamily.id == 0 {
		// moby/ipvs warns through logrus when modprobe does not work, though IPVS is there.
		logrus.SetOutput(io.Discard)
	} else if mobyFamily.id != f.ID {
		return nil, errors.New("the ip_vs module was unloaded and loaded again: restart this process")
	}
	handle, err := moby.New("")
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	mobyFamily.id = f.ID
	c, err := dial(f.ID)
	if err != nil {
		handle.Close()
		return nil, err
	}
	return &sockets{moby: handle, conn: c}, nil
}

func (s *sockets) abort() { s.moby.Close() }

func (s *sockets) close() {
	s.moby.Close()
	s.conn.close()
}

func (s *sockets) apply(op Op) error {
	svc := mobyService(op.Service)
	switch op.Kind {
	case AddService:
		return s.moby.NewService(svc)
	case UpdateService:
		return s.moby.UpdateService(svc)
	case DeleteService:
		return s.moby.DelService(svc)
	}
	if beyondMoby(op) {
		answers, err := s.conn.batch([]Op{op})
		return errors.Join(append(answers, err)...)
	}
	d, err := mobyDestination(op.Server)
	if err != nil {
		return err
	}
	switch op.Kind {
	case AddServer:
		return s.moby.NewDestination(svc, d)
	case UpdateServer:
		return s.moby.UpdateDestination(svc, d)
	case DeleteServer:
		return s.moby.DelDestination(svc, d)
	}
	return fmt.Errorf("%s: unknown operation", op.Kind)
}
