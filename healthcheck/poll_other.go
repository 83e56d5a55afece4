//go:build !linux

package healthcheck

func newPoller() (poller, error) { return newSleeper(), nil }

// defaultDescriptors is what most systems allow at least.
func defaultDescriptors() int { return 256 - reservedDescriptors }
