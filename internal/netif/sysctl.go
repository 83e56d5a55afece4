package netif

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxSysctl bounds what is read of a parameter; a page is the kernel's bound.
const maxSysctl = 4096

// procSys is where the parameters are; tests have their own.
var procSys = "/proc/sys"

// Sysctls changes kernel parameters and remembers what they were. The zero
// value is ready; it is not safe for concurrent use.
type Sysctls struct {
	changed []sysctlChange
}

type sysctlChange struct{ name, was, now string }

// ReadSysctl returns the value of a parameter below /proc/sys without the
// final newline. The name's parts are separated by slashes, as an interface
// name may contain a dot: "net/ipv4/conf/eth0.100/rp_filter".
func ReadSysctl(name string) (string, error) {
	path, err := sysctlPath(name)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", name, cause(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSysctl))
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", name, cause(err))
	}
	return strings.TrimRight(string(b), "\n"), nil
}

// WriteSysctl sets a parameter, named as in ReadSysctl.
func WriteSysctl(name, value string) error {
	path, err := sysctlPath(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value + "\n")
		err = errors.Join(err, f.Close())
	}
	switch {
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("set sysctl %s to %s: %w (%s)", name, value, cause(err), readOnly)
	case err != nil:
		return fmt.Errorf("set sysctl %s to %s: %w", name, value, cause(err))
	}
	return nil
}

// SysctlWritable says why a parameter could not be set, without setting it; nil:
// it could, as far as permissions go.
func SysctlWritable(name string) error {
	path, err := sysctlPath(name)
	if err != nil {
		return err
	}
	switch err := unix.Access(path, unix.W_OK); {
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("set sysctl %s: %w (%s)", name, err, readOnly)
	case err != nil:
		return fmt.Errorf("set sysctl %s: %w", name, err)
	}
	return nil
}

// readOnly is the remedy where a container's /proc/sys is not its own.
const readOnly = "/proc/sys is mounted read-only: set it outside the container"

// SysctlKey is a parameter as sysctl(8) names it: a dot in an interface's name
// becomes a slash.
func SysctlKey(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '/':
			return '.'
		case '.':
			return '/'
		}
		return r
	}, name)
}

// Conf4 returns what the kernel goes by for a parameter of an interface below
// net/ipv4/conf of which the larger value counts, its own or that for all
// (Documentation/networking/ip-sysctl.rst): arp_ignore, arp_announce, rp_filter,
// send_redirects. What does not exist counts as 0.
func Conf4(iface, name string) (int, error) {
	most := 0
	for _, dev := range []string{"all", iface} {
		v, err := ReadSysctl("net/ipv4/conf/" + dev + "/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			return 0, fmt.Errorf("read sysctl %s of %s: %q is not a number", name, dev, v)
		}
		most = max(most, n)
	}
	return most, nil
}

// Forwards6 says whether the node is an IPv6 router on the interface. Where
// that cannot be read it is none.
func Forwards6(iface string) bool {
	v, err := ReadSysctl("net/ipv6/conf/" + iface + "/forwarding")
	return err == nil && v != "0"
}

// Set writes value unless it already stands, and remembers what stood there.
func (s *Sysctls) Set(name, value string) error {
	was, err := ReadSysctl(name)
	if err != nil {
		return err
	}
	if was == value {
		return nil
	}
	if err := WriteSysctl(name, value); err != nil {
		return err
	}
	for i, c := range s.changed {
		if c.name == name {
			s.changed[i].now = value
			return nil
		}
	}
	s.changed = append(s.changed, sysctlChange{name: name, was: was, now: value})
	return nil
}

// atLeast is Set, and leaves a larger number alone.
func (s *Sysctls) atLeast(name, value string) error {
	was, err := ReadSysctl(name)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(was)
	least, err2 := strconv.Atoi(value)
	if err == nil && err2 == nil && n >= least {
		return nil
	}
	return s.Set(name, value)
}

// Restore puts back every changed parameter that still has the value Set gave
// it, last change first; one that somebody changed since, or that is gone, is
// left alone.
func (s *Sysctls) Restore() error {
	var errs []error
	for i := len(s.changed) - 1; i >= 0; i-- {
		c := s.changed[i]
		now, err := ReadSysctl(c.name)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		case now == c.now:
			errs = append(errs, WriteSysctl(c.name, c.was))
		}
	}
	s.changed = nil
	return errors.Join(errs...)
}

func sysctlPath(name string) (string, error) {
	if !filepath.IsLocal(name) || strings.Contains(name, "//") {
		return "", fmt.Errorf("sysctl %q: must be a path below /proc/sys, such as net/ipv4/ip_forward", name)
	}
	return filepath.Join(procSys, name), nil
}

// cause drops the path from a file error: the parameter's name says it.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
