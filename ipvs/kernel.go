package ipvs

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// Kernel is an IPVS table that can be read and changed.
type Kernel interface {
	// Read returns the whole table with its counters. It is no snapshot:
	// somebody may have edited the table meanwhile.
	Read(ctx context.Context) (Table, error)
	// ReadOver is Read into the room of a table that it has returned before, nil for none.
	// Nobody else may have anything of that any more, whatever ReadOver returns.
	ReadOver(ctx context.Context, room Table) (Table, error)
	// ReadServices returns those of the services that are in the table.
	ReadServices(ctx context.Context, keys []ServiceKey) (Table, error)
	// List returns the services that are in the table, in no order.
	List(ctx context.Context) ([]ServiceKey, error)
	// Apply performs operations in order, each whatever became of those
	// before it, and returns an answer to each: nil, or an error that does not
	// name the operation and wraps the kernel's errno: EEXIST (already there),
	// ESRCH (no such service), ENOENT (no such server), EINVAL, EPERM; ENOBUFS
	// if the kernel had no room to answer, and it is not known. A missing
	// scheduler is ErrNoModule. After an error that is Fatal, or when ctx has
	// ended, it returns: the last answer says why, and what has none was not tried.
	Apply(ctx context.Context, ops []Op) []error
}

// Fatal says whether after err every further operation would end the same way.
func Fatal(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, ErrNoIPVS) || errors.Is(err, ErrHung)
}

// Errors to test for with errors.Is.
var (
	// ErrNoIPVS: the running kernel has no IPVS.
	ErrNoIPVS = errors.New("the kernel has no IPVS: run modprobe ip_vs (a container: on its host), or boot a kernel built with CONFIG_IP_VS")
	// ErrNoModule: the module of a scheduler or persistence engine is missing.
	ErrNoModule = errors.New("missing kernel module")
	// ErrHung: the kernel did not answer a request in time.
	ErrHung = errors.New("ipvs netlink request not answered in time")
	// ErrNotConverged: the table still differs after the last pass of a Reconcile.
	ErrNotConverged = errors.New("ipvs table does not converge")
)

// explain adds to an errno of the kernel what it means for op and what to do.
// The errno stays in the chain. op is nil for a reading.
func explain(op *Op, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: CAP_NET_ADMIN is missing: run as root or grant it", err)
	case op == nil:
		return err
	}
	onService := op.Kind == AddService || op.Kind == UpdateService
	onServer := op.Kind == AddServer || op.Kind == UpdateServer
	switch {
	case onService && errors.Is(err, syscall.ENOENT):
		s := op.Service
		if s.PersistenceEngine != "" {
			return fmt.Errorf("scheduler %s or persistence engine %s: %w: run modprobe -a ip_vs_%s ip_vs_pe_%s: %w",
				s.Scheduler, s.PersistenceEngine, ErrNoModule, s.Scheduler, s.PersistenceEngine, err)
		}
		return fmt.Errorf("scheduler %s: %w: run modprobe ip_vs_%s: %w", s.Scheduler, ErrNoModule, s.Scheduler, err)
	case onServer && errors.Is(err, syscall.EINVAL):
		// Without a local routing table, which comes with the first interface
		// that is up, the kernel takes no address for unicast.
		return fmt.Errorf("%w: a real server has a unicast address, of the service's family unless forwarded by TUN, gue has a port, and lo must be up%s", err, mixedRemedy(*op))
	}
	return err
}

// mixedRemedy is for a server of another family than its service.
func mixedRemedy(op Op) string {
	if !op.mixed() {
		return ""
	}
	return "; a server of another family cannot stand beside a sync daemon"
}
