package director

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stopBeat is how often a stop looks whether it is waited for any longer, in
// milliseconds.
const stopBeat = 100

// Stop asks the director with this runtime directory to hand its addresses over
// and to end, and waits until it has. It returns its pid, 0 if none runs.
func Stop(ctx context.Context, runtimeDir string) (pid int, err error) {
	name := filepath.Join(runtimeDir, directorLock)
	pid, err = lockHolder(name)
	if err != nil || pid == 0 {
		return 0, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return pid, nil
	}
	if err != nil {
		return pid, fmt.Errorf("stop the director, pid %d: %w", pid, err)
	}
	defer unix.Close(fd)
	// Looked at again: now it cannot be another process of the same pid.
	if again, err := lockHolder(name); err != nil || again != pid {
		return pid, err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return pid, fmt.Errorf("stop the director, pid %d: %w", pid, err)
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, stopBeat)
		switch {
		case n > 0:
			return pid, nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return pid, fmt.Errorf("wait for the director, pid %d: %w", pid, err)
		case ctx.Err() != nil:
			return pid, fmt.Errorf("wait for the director, pid %d: it was told to stop and has not ended yet: %w", pid, context.Cause(ctx))
		}
	}
}
