package director

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holdPrefix begins the name of an abstract unix socket, which belongs to a network
// namespace as addresses do and is gone with its process however that ends. The
// director's pid, a number and its runtime_dir follow: several directors with
// directories of their own may run in one namespace, so that none keeps another out.
const holdPrefix = "@baton/director/"

const (
	maxHold    = 107 // bytes of a socket's name
	heldWithin = time.Second
)

// holdNamespace shows until it is closed that a director runs in this network
// namespace. A clean-up goes by marks, and takes those of every director there.
func holdNamespace(runtimeDir string) (net.Listener, error) {
	dir, err := filepath.Abs(runtimeDir)
	if err != nil {
		return nil, fmt.Errorf("hold network namespace: %w", err)
	}
	// The number keeps apart those that have one pid, each in its container.
	name := fmt.Sprintf("%s%d/%08x%s", holdPrefix, os.Getpid(), rand.Uint32(), dir)
	l, err := net.Listen("unix", name[:min(len(name), maxHold)])
	if err != nil {
		return nil, fmt.Errorf("hold network namespace: %w", err)
	}
	go func() { // who connects asks for our user id, and no more
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return l, nil
}

// nsHolder is a director that runs in this network namespace.
type nsHolder struct {
	pid        int // 0: it cannot be seen from here
	runtimeDir string
}

// String says what is known of it.
func (h nsHolder) String() string {
	pid := "unknown"
	if h.pid != 0 {
		pid = strconv.Itoa(h.pid)
	}
	return fmt.Sprintf("pid %s, runtime_dir %s", pid, h.runtimeDir)
}

// namespaceHolders are the directors that run in this network namespace. Anybody may
// bind such a name: only root's and this user's count, lest a stranger keeps the
// addresses of a dead director here.
func namespaceHolders() ([]nsHolder, error) {
	sockets, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, fmt.Errorf("look for directors in this network namespace: %w", err)
	}
	var out []nsHolder
	for line := range strings.Lines(string(sockets)) {
		_, rest, found := strings.Cut(strings.TrimSuffix(line, "\n"), " "+holdPrefix)
		if !found {
			continue
		}
		_, dir, _ := strings.Cut(rest, "/") // the pid is that of its own namespace
		_, dir, _ = strings.Cut(dir, "/")
		h := nsHolder{runtimeDir: "/" + dir}
		if h.pid, found = holderOf(holdPrefix + rest); found && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out, nil
}

// holderOf connects to a director's socket: the kernel says whose it is. One that
// has ended meanwhile is none; one that hangs still is.
func holderOf(name string) (pid int, found bool) {
	c, err := net.DialTimeout("unix", name, heldWithin)
	if err != nil {
		return 0, !errors.Is(err, unix.ECONNREFUSED)
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, true
	}
	var who *unix.Ucred
	if ctlErr := raw.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); ctlErr != nil || err != nil {
		return 0, true
	}
	return int(who.Pid), who.Uid == 0 || int(who.Uid) == os.Geteuid()
}
