package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pollInterval is the pause between two looks at a condition, where a look takes no
// longer. On an emulated processor looking without a rest keeps what is looked at
// from getting on.
const pollInterval = 10 * time.Millisecond

// process is one that the lab started. A pid alone is soon somebody else's:
// the start time makes it one process's.
type process struct {
	Kind  string `json:"kind"` // director or real-server
	Node  string `json:"node"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start_ticks"` // of /proc/PID/stat
	Log   string `json:"log"`
}

const (
	kindDirector = "director"
	kindServer   = "real-server"
)

// procStat is what the lab needs of /proc/PID/stat.
type procStat struct {
	pid, parent, session int
	state                byte
	start                uint64
}

func readStat(pid int) (procStat, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(raw))
}

// parseStat reads one line of proc(5)'s /proc/PID/stat. The command's name, in
// parentheses, may hold anything, parentheses and spaces too.
func parseStat(line string) (procStat, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return procStat{}, fmt.Errorf("parse process status %.80q: no command name", line)
	}
	rest := strings.Fields(line[end+1:])
	if len(rest) < 20 || len(rest[0]) != 1 {
		return procStat{}, fmt.Errorf("parse process status %.80q: %d fields after the name", line, len(rest))
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(line[:open]))
	parent, err2 := strconv.Atoi(rest[1])
	session, err3 := strconv.Atoi(rest[3])
	start, err4 := strconv.ParseUint(rest[19], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return procStat{}, fmt.Errorf("parse process status: %w", err)
	}
	return procStat{pid: pid, parent: parent, session: session, state: rest[0][0], start: start}, nil
}

// alive is false for a zombie: nobody may be there to reap an orphan.
func (p process) alive() bool {
	st, err := readStat(p.PID)
	return err == nil && p.PID > 0 && st.start == p.Start && st.state != 'Z' && st.state != 'X'
}

// family returns the living processes that descend from p or share its
// session, p first.
func (p process) family() ([]procStat, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	return descendants(all, p.PID), nil
}

func descendants(all []procStat, root int) []procStat {
	in := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for _, st := range all {
			if !in[st.pid] && (in[st.parent] || st.session == root) {
				in[st.pid], grown = true, true
			}
		}
	}
	var out []procStat
	for _, st := range all {
		if !in[st.pid] || st.state == 'Z' || st.state == 'X' {
			continue
		}
		if st.pid == root {
			out = append([]procStat{st}, out...)
			continue
		}
		out = append(out, st)
	}
	return out
}

func allProcesses() ([]procStat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []procStat
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		st, err := readStat(pid)
		if err != nil { // ended since
			continue
		}
		out = append(out, st)
	}
	return out, nil
}

// killFamily ends p and all its descendants as one: they are stopped first and
// the parent is killed last, so that none sees another die and acts on it.
func (p process) killFamily() error {
	if !p.alive() {
		return nil
	}
	members, err := p.family()
	if err != nil {
		return err
	}
	slices.Reverse(members)
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, m := range members {
			if err := syscall.Kill(m.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d of %s: %w", m.pid, p.Node, err)
			}
		}
	}
	return nil
}

// processesIn returns the pids whose network namespace is the named one,
// without our own.
func processesIn(namespace string) ([]int, error) {
	var want unix.Stat_t
	if err := unix.Stat(filepath.Join(namespaceDir, namespace), &want); err != nil {
		return nil, fmt.Errorf("find namespace %s: %w", namespace, err)
	}
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range all {
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", p.pid), &st) != nil || p.pid == os.Getpid() {
			continue
		}
		if st.Dev == want.Dev && st.Ino == want.Ino {
			pids = append(pids, p.pid)
		}
	}
	return pids, nil
}

// remove takes everything down and goes on after an error: as much as possible
// shall be gone.
func (l *Lab) remove(ctx context.Context) error {
	var errs []error
	l.mu.Lock()
	processes := l.state.Processes
	l.mu.Unlock()
	for _, p := range processes {
		errs = append(errs, p.killFamily())
	}
	present := presentNamespaces(l.opts.Name)
	for _, node := range present {
		errs = append(errs, emptyNamespace(ctx, l.Namespace(node), l.opts.Patience))
	}
	l.reapers.Wait()
	for _, node := range present {
		errs = append(errs, deleteNamespace(l.Namespace(node)))
	}
	if _, err := os.Stat(filepath.Join(l.opts.Dir, stateFile)); err == nil {
		if err := os.RemoveAll(l.opts.Dir); err != nil {
			errs = append(errs, fmt.Errorf("remove lab directory: %w", err))
		}
	}
	return errors.Join(errs...)
}

// emptyNamespace kills what still runs in a namespace until nothing does.
func emptyNamespace(ctx context.Context, namespace string, patience time.Duration) error {
	return await(ctx, patience, func() (string, error) {
		pids, err := processesIn(namespace)
		if err != nil || len(pids) == 0 {
			return "", err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return "", fmt.Errorf("kill process %d in %s: %w", pid, namespace, err)
			}
		}
		return fmt.Sprintf("processes %v in %s live on", pids, namespace), nil
	})
}

// await polls until check returns "" or an error; what it returned last is
// what the error at the deadline says is missing.
func await(ctx context.Context, patience time.Duration, check func() (missing string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		begun := time.Now()
		missing, err := check()
		if err != nil || missing == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait: %s: %w", missing, ctx.Err())
		case <-time.After(max(pollInterval, time.Since(begun))):
		}
	}
}
