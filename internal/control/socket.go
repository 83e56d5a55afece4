package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// probeWithin bounds the question whether a socket file is still served.
const probeWithin = time.Second

// lockWithin bounds the wait for another daemon that is just binding.
const lockWithin = 5 * time.Second

// socket is a listening unix socket that owns its file.
type socket struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

// listen binds path with mode 0660 and the given group (-1: the process's
// own). A socket file that nobody serves any more is replaced; one that
// somebody serves, and anything that is no socket, is left alone and refused.
func listen(ctx context.Context, path string, gid int) (*socket, error) {
	unlock, err := lockDirectory(ctx, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("listen on control socket %s: %w", path, err)
	}
	defer unlock()
	if err := removeStale(ctx, path); err != nil {
		return nil, fmt.Errorf("listen on control socket %s: %w", path, err)
	}
	l, err := bind(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket: %w", err)
	}
	s := &socket{UnixListener: l, path: path}
	if s.file, err = os.Lstat(path); err == nil && gid >= 0 {
		err = os.Lchown(path, -1, gid)
	}
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set owner and mode of control socket: %w", err), s.Close())
	}
	return s, nil
}

// bind makes a socket file that only its owner may connect to. On Linux
// bind(2) gives the file the mode of the socket's own inode, so that there is
// no moment in which the umask decides who may.
func bind(ctx context.Context, path string) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return controlFD(c, func(fd int) error { return unix.Fchmod(fd, 0o600) })
	}}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	u := l.(*net.UnixListener)
	// socket.Close removes the file, and only if it is still the same.
	u.SetUnlinkOnClose(false)
	return u, nil
}

// Close stops listening and removes the socket file, unless it has been
// replaced by another one meanwhile.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && s.file != nil && os.SameFile(now, s.file) {
		if err := os.Remove(s.path); err != nil {
			return errors.Join(fmt.Errorf("remove control socket: %w", err), s.UnixListener.Close())
		}
	}
	return s.UnixListener.Close()
}

// removeStale removes a socket file that nobody answers on.
func removeStale(ctx context.Context, path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode()&fs.ModeSocket == 0 {
		return errors.New("the file exists and is no socket (remove it, or choose another control_socket)")
	}
	d := net.Dialer{Timeout: probeWithin}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		defer c.Close()
		return fmt.Errorf("%s answers on it (stop it, or choose another control_socket)", listenerName(c))
	}
	// Only a refusal is proof that nobody listens: a full backlog or a missing
	// permission means the contrary.
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("find out whether it is in use: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}

// listenerName says which process listens at the other end.
func listenerName(c net.Conn) string {
	name := "another process"
	u, ok := c.(*net.UnixConn)
	if !ok {
		return name
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return name
	}
	// The name only makes the message better; without it it is still right.
	_ = controlFD(raw, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err == nil && cred.Pid > 0 {
			name = fmt.Sprintf("pid %d", cred.Pid)
		}
		return err
	})
	return name
}

// lockDirectory keeps two daemons from finding the same stale file and
// removing each other's new one.
func lockDirectory(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no directory %s (mkdir -p %s)", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWithin)
	defer cancel()
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock directory %s: %w", dir, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock directory %s: %w", dir, ctx.Err())
		}
	}
}

func controlFD(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
