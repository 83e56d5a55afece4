package track

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Proc is one running process.
type Proc struct {
	Comm string // its name as the kernel has it, at most 15 bytes
	// Command returns its arguments, Exe the path of its program, "" where that
	// is not ours to know. They cost a system call, Comm costs nothing.
	Command func() []string
	Exe     func() string
}

// commLength is how much of a name the kernel keeps (TASK_COMM_LEN of
// linux/sched.h, without the final zero).
const commLength = 15

// fits says whether a process is one of those that are counted. Its name must
// be that of the program: that costs no look at the memory of others. A name
// that was cut, a path and arguments are then compared in full. An interpreted
// program is known by its file: /bin/sh /usr/bin/program.
func (p Process) fits(q Proc) bool {
	base := path.Base(p.Process)
	if q.Comm != base[:min(len(base), commLength)] {
		return false
	}
	isPath := p.Process != base
	if !isPath && len(base) <= commLength && p.Args == nil {
		return true
	}
	is := func(s string) bool { return s == p.Process || !isPath && path.Base(s) == base }
	command := q.Command()
	at := slices.IndexFunc(command[:min(2, len(command))], is)
	switch {
	case at >= 0:
		return p.Args == nil || slices.Equal(p.Args, command[at+1:])
	case isPath && p.Args == nil:
		return q.Exe() == p.Process // it has changed its title
	}
	return !isPath && len(command) > 0 && p.Args != nil && slices.Equal(p.Args, command[1:])
}

// listProcesses reads /proc. It opens one small file for each process and
// allocates next to nothing, for there may be thousands.
func listProcesses(visit func(Proc)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	fd := int(dir.Fd())
	var buf [512]byte
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if name[0] < '1' || name[0] > '9' {
				continue
			}
			// Who ends meanwhile is left out.
			n := readAt(fd, name+"/stat", buf[:])
			comm, state, ok := parseComm(buf[:n])
			if !ok || state == 'Z' || state == 'X' {
				continue
			}
			visit(Proc{Comm: comm,
				Command: func() []string { return commandOf(name) },
				Exe:     func() string { s, _ := os.Readlink("/proc/" + name + "/exe"); return s }})
		}
		if len(names) == 0 || err != nil {
			return nil // io.EOF is the end of the list
		}
	}
}

// readAt reads the beginning of a file below a directory.
func readAt(dir int, name string, buf []byte) int {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	n, err := unix.Read(fd, buf)
	unix.Close(fd)
	if err != nil {
		return 0
	}
	return n
}

// parseComm reads the name and the state of /proc/PID/stat: "7 (name) S …". The
// name may hold anything, parentheses too.
func parseComm(raw []byte) (comm string, state byte, ok bool) {
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndex(raw, []byte(") "))
	if open < 0 || end < open || end+2 >= len(raw) {
		return "", 0, false
	}
	if _, err := strconv.Atoi(string(bytes.TrimSpace(raw[:open]))); err != nil {
		return "", 0, false
	}
	return string(raw[open+1 : end]), raw[end+2], true
}

// maxCommand bounds what is read of a command line, in bytes.
const maxCommand = 64 << 10

func commandOf(pid string) []string {
	f, err := os.Open("/proc/" + pid + "/cmdline")
	if err != nil {
		return nil
	}
	defer f.Close()
	buf := make([]byte, maxCommand)
	n, _ := f.Read(buf) // nothing: it has ended, or has no memory
	return splitCommand(buf[:n])
}

// splitCommand splits /proc/PID/cmdline at its zero bytes.
func splitCommand(raw []byte) []string {
	if len(raw) == 0 {
		return nil
	}
	var out []string
	for _, part := range bytes.Split(bytes.TrimSuffix(raw, []byte{0}), []byte{0}) {
		out = append(out, string(part))
	}
	return out
}
