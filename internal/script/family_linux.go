package script

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// process is what /proc/PID/stat tells (proc_pid_stat(5)).
type process struct {
	pid, parent, session int
	state                byte
	started              uint64 // clock ticks since boot: with the pid it is unique
}

// family is all processes of one run.
type family struct {
	leader int // of its session; also its first process
	marker string
	known  map[int]uint64 // pid → started, of those found so far
	others map[int]uint64 // the same, of those without the marker
}

// pollEvery is how often the dying are looked at, scanEvery how often all
// processes are, for such as were started meanwhile: there may be thousands.
const (
	pollEvery = 10 * time.Millisecond
	scanEvery = 100 * time.Millisecond
)

// end ends the family, with SIGTERM first where there is a grace. It returns
// how many are left: none, but for processes that the kernel does not let die.
// Gone is closed when the leader is; nil: it is already.
func (f *family) end(gone <-chan struct{}, grace time.Duration) int {
	if grace > 0 && len(f.await(gone, grace, unix.SIGTERM)) == 0 && closed(gone) {
		return 0
	}
	return len(f.await(gone, killing, unix.SIGKILL))
}

// await sends the signal and looks until nobody is left or the time is over.
// Who appears meanwhile gets the signal as well: a process may start others
// until it dies.
func (f *family) await(gone <-chan struct{}, within time.Duration, sig unix.Signal) []process {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	told := map[int]bool{}
	var left []process
	var scanned time.Time
	for {
		left = living(left)
		if len(left) == 0 || time.Since(scanned) >= scanEvery {
			left, scanned = f.members(), time.Now()
		}
		if len(left) == 0 && closed(gone) {
			return nil
		}
		for _, p := range left {
			if !told[p.pid] {
				told[p.pid] = true
				// The only error is that it is gone.
				_ = unix.Kill(p.pid, sig)
			}
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			return left
		}
	}
}

// living keeps those that still run.
func living(ps []process) []process {
	out := ps[:0]
	for _, p := range ps {
		if is, ok := readStat(p.pid); ok && is.started == p.started && is.alive() {
			out = append(out, p)
		}
	}
	return out
}

// alive says that it is more than an entry that waits for its parent.
func (p process) alive() bool { return p.state != 'Z' && p.state != 'X' }

func closed(c <-chan struct{}) bool {
	if c == nil {
		return true
	}
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// members finds the living: who is in the leader's session, descends from
// somebody known, or carries the run's marker.
func (f *family) members() []process {
	all := processes()
	if f.known == nil {
		f.known, f.others = map[int]uint64{}, map[int]uint64{}
	}
	in := map[int]bool{}
	for _, p := range all {
		if p.pid == f.leader || p.session == f.leader || f.known[p.pid] == p.started && p.started != 0 {
			in[p.pid] = true
		}
	}
	self := os.Getpid()
	for grew := true; grew; {
		grew = false
		for _, p := range all {
			if !in[p.pid] && in[p.parent] && p.pid != self {
				in[p.pid], grew = true, true
			}
		}
	}
	var out []process
	for _, p := range all {
		if !in[p.pid] && !f.marked(p) {
			continue
		}
		f.known[p.pid] = p.started
		if p.alive() {
			out = append(out, p)
		}
	}
	return out
}

// marked reads the environment that a process was started with, once: there
// may be thousands. That of another user's process is closed to us, unless we
// are root.
func (f *family) marked(p process) bool {
	if f.others[p.pid] == p.started {
		return false
	}
	env, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/environ")
	if err == nil && bytes.Contains(env, []byte(f.marker+"\x00")) {
		return true
	}
	f.others[p.pid] = p.started
	return false
}

// remains says whether the group that the leader made still has a process.
func (f *family) remains() bool { return unix.Kill(-f.leader, 0) == nil }

// processes reads /proc. Who ends meanwhile is left out.
func processes() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	out := make([]process, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := readStat(pid); ok {
			out = append(out, p)
		}
	}
	return out
}

func readStat(pid int) (process, bool) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	return parseStat(pid, raw)
}

// parseStat reads the fields after the name, which may hold anything.
func parseStat(pid int, raw []byte) (process, bool) {
	_, rest, ok := cutLast(raw, ')')
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 20 || len(fields[0]) != 1 {
		return process{}, false
	}
	p := process{pid: pid, state: fields[0][0]}
	var err1, err2, err3 error
	p.parent, err1 = strconv.Atoi(string(fields[1]))
	p.session, err2 = strconv.Atoi(string(fields[3]))
	p.started, err3 = strconv.ParseUint(string(fields[19]), 10, 64)
	return p, err1 == nil && err2 == nil && err3 == nil
}

func cutLast(b []byte, sep byte) (before, after []byte, found bool) {
	i := bytes.LastIndexByte(b, sep)
	if i < 0 {
		return b, nil, false
	}
	return b[:i], b[i+1:], true
}
