package ipvs

import (
	"context"
	"errors"
)

// Kernel is an IPVS table that can be read and changed.
type Kernel interface {
	// Read returns the whole table with its counters. It is no snapshot:
	// somebody may have edited the table meanwhile.
	Read(ctx context.Context) (Table, error)
	// Apply performs one operation. Its error wraps the kernel's errno:
	// EEXIST (already there), ESRCH (no such service), ENOENT (no such server;
	// for services: no such scheduler or persistence engine), EINVAL, EPERM.
	Apply(ctx context.Context, op Op) error
}

// Errors to test for with errors.Is.
var (
	// ErrNoIPVS: the running kernel has no IPVS.
	ErrNoIPVS = errors.New("the kernel has no IPVS: run modprobe ip_vs, or boot a kernel built with CONFIG_IP_VS")
	// ErrNoScheduler: the module of a scheduler or persistence engine is missing.
	ErrNoScheduler = errors.New("scheduler or persistence engine is not in the kernel")
	// ErrHung: the kernel did not answer a request in time.
	ErrHung = errors.New("ipvs netlink request not answered in time")
	// ErrNotConverged: the table still differs after the last pass of a Reconcile.
	ErrNotConverged = errors.New("ipvs table does not converge")
)
