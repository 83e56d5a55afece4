package ipvs

import "context"

// LinuxKernel is the IPVS table of a network namespace, over generic netlink.
type LinuxKernel struct{}

// OpenKernel opens the table of the calling thread's network namespace.
func OpenKernel() (*LinuxKernel, error) { return nil, ErrNoIPVS }

// Read implements Kernel.
func (k *LinuxKernel) Read(ctx context.Context) (Table, error) { return nil, ErrNoIPVS }

// Apply implements Kernel.
func (k *LinuxKernel) Apply(ctx context.Context, op Op) error { return ErrNoIPVS }

// Close releases the sockets.
func (k *LinuxKernel) Close() error { return nil }
