package ipvstest

import (
	"testing"

	"baton/ipvs"
)

// OpenKernel opens the table of the network namespace that the calling thread is
// in, until the test has ended.
func OpenKernel(t testing.TB) *ipvs.LinuxKernel {
	t.Helper()
	k, err := ipvs.OpenKernel()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}
