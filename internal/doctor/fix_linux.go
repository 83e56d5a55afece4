package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"baton/internal/netif"
)

// Apply does what the findings' fixes say and returns the commands that it
// stands for. What fails does not keep the others from being done.
func Apply(ctx context.Context, findings []Finding) (done []string, err error) {
	var errs []error
	for _, f := range findings {
		if f.Fix == nil || f.Severity == OK || slices.Contains(done, f.Fix.String()) {
			continue // several findings may have one remedy
		}
		if err := f.Fix.apply(ctx); err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, f.Fix.String())
	}
	return done, errors.Join(errs...)
}

func (f *Fix) apply(ctx context.Context) error {
	if f.Module == "" {
		return netif.WriteSysctl(f.Sysctl, f.Value)
	}
	path := find("modprobe")
	if path == "" {
		return fmt.Errorf("load module %s: there is no modprobe here (a container: run it on its host)", f.Module)
	}
	if _, err := ask(ctx, path, f.Module); err != nil {
		return fmt.Errorf("load module %s: %w", f.Module, err)
	}
	return nil
}

// String is the command that does the same.
func (f *Fix) String() string {
	if f.Module != "" {
		return "modprobe " + f.Module
	}
	return "sysctl -w " + netif.SysctlKey(f.Sysctl) + "=" + f.Value
}
