package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// startDaemon runs the baton program in a node, apart from our terminal and
// able to outlive us, with its output appended to the node's log.
func (l *Lab) startDaemon(node, kind string, env []string, args ...string) (process, error) {
	if old, ok := l.process(node); ok && old.alive() {
		return process{}, fmt.Errorf("start %s in %s: it runs already with pid %d", kind, node, old.PID)
	}
	paths := l.Paths(node)
	// The prober, which is not root, reaches its files through this directory.
	if err := os.MkdirAll(filepath.Dir(paths.Log), 0o755); err != nil {
		return process{}, fmt.Errorf("make directory of %s: %w", node, err)
	}
	if len(paths.Socket) > 107 {
		return process{}, fmt.Errorf("start %s in %s: socket path %s is longer than the 107 bytes of unix(7); choose a shorter lab directory",
			kind, node, paths.Socket)
	}
	log, err := os.OpenFile(paths.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return process{}, fmt.Errorf("open log of %s: %w", node, err)
	}
	defer log.Close()
	cmd := exec.Command(l.opts.Binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := l.Start(node, cmd); err != nil {
		return process{}, err
	}
	p := process{Kind: kind, Node: node, PID: cmd.Process.Pid, Log: paths.Log}
	// Not reaped yet, so the pid is surely still this process's.
	st, err := readStat(p.PID)
	if err != nil {
		return process{}, fmt.Errorf("read process %d: %w", p.PID, err)
	}
	p.Start = st.start
	l.reapers.Go(func() {
		// How it ended is told by its log; here it must only not stay a zombie.
		_ = cmd.Wait()
	})
	l.record(p)
	return p, l.save()
}

func (l *Lab) record(p process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Processes = slices.DeleteFunc(l.state.Processes, func(q process) bool { return q.Node == p.Node })
	l.state.Processes = append(l.state.Processes, p)
}

func (l *Lab) process(node string) (process, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.state.Processes, func(p process) bool { return p.Node == node })
	if i < 0 {
		return process{}, false
	}
	return l.state.Processes[i], true
}

// Exec replaces the running program by another one inside a node, as `ip netns
// exec` does. It returns only when that fails.
func (l *Lab) Exec(node string, argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("find program: %w", err)
	}
	return inNamespace(l.Namespace(node), func() error {
		if err := mountSys(); err != nil {
			return err
		}
		if err := syscall.Exec(path, argv, os.Environ()); err != nil {
			return fmt.Errorf("run %s in %s: %w", path, node, err)
		}
		return nil
	})
}
