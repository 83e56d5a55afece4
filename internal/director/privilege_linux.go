package director

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// speakerCaps is what the speaker may do: addresses and routes, raw sockets.
var speakerCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}

// directorCaps is what the director keeps: the IPVS table; and the power to
// start its children again, the prober as another user, the speaker with its
// own capabilities and real-time priority.
var directorCaps = []uintptr{
	unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_NICE, unix.CAP_IPC_LOCK,
	unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_KILL, unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE,
	unix.CAP_SYS_RESOURCE,
}

// keepCapabilities drops every capability of this process but the given ones,
// for good: they leave the bounding set as well. Capabilities that the process
// does not have are not asked for.
func keepCapabilities(keep []uintptr) error {
	have, err := permitted()
	if err != nil {
		return err
	}
	var mask uint64
	for _, c := range keep {
		mask |= 1 << c
	}
	if have&(1<<unix.CAP_SETPCAP) != 0 {
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			if mask&(1<<c) != 0 {
				continue
			}
			if _, _, e := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); e != 0 && e != unix.EINVAL {
				return fmt.Errorf("drop capability %d from the bounding set: %w", c, e)
			}
		}
	}
	mask &= have
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Effective: uint32(mask), Permitted: uint32(mask)},
		{Effective: uint32(mask >> 32), Permitted: uint32(mask >> 32)},
	}
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&data[0])), 0)
	runtime.KeepAlive(&data)
	if e != 0 {
		return fmt.Errorf("drop capabilities: %w", e)
	}
	return nil
}

// emptyBoundingSet leaves nothing that this thread's children could ever gain.
// It needs CAP_SETPCAP; without that they gain nothing anyway but from files
// with capabilities, which no_new_privs rules out.
func emptyBoundingSet() error {
	have, err := permitted()
	if err != nil || have&(1<<unix.CAP_SETPCAP) == 0 {
		return err
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
	return nil
}

func permitted() (uint64, error) {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

// noNewPrivileges makes sure that nothing this process starts gains any.
func noNewPrivileges() error {
	if _, _, e := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("set no_new_privs: %w", e)
	}
	return nil
}

// proberIdentity is the user that the prober runs as. Without root there is
// nothing to change into, and nil is returned. A missing user is replaced by
// nobody; the note says so.
func proberIdentity(name string) (cred *syscall.Credential, note string, err error) {
	if os.Geteuid() != 0 {
		return nil, "baton was not started as root: the prober runs as the same user", nil
	}
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		note = fmt.Sprintf("user %q does not exist, the prober runs as nobody; mend with: useradd --system --no-create-home %s", name, name)
		return &syscall.Credential{Uid: 65534, Gid: 65534}, note, nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("look up prober_user %q: %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, "", fmt.Errorf("look up prober_user %q: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, "", fmt.Errorf("look up prober_user %q: %w", name, err)
	}
	if uid == 0 {
		return nil, "", fmt.Errorf("use prober_user %q: it is root; name an unprivileged user", name)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, "", nil
}

// realtime puts every thread of this process under SCHED_RR at the lowest
// real-time priority, above all ordinary work and below the kernel's own
// threads, and locks its memory. Threads that start later inherit both.
func realtime() error {
	var errs []error
	if err := scheduleAll(1); err != nil {
		errs = append(errs, err)
	}
	if err := lockMemory(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// lockMemory keeps every page that was touched, and will be, in memory. The
// limit goes first: with MCL_FUTURE each mapping counts in full, and a process
// that has dropped CAP_IPC_LOCK under a limit dies at the first that exceeds
// it. Where the limit cannot be raised nothing is locked.
func lockMemory() error {
	inf := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &inf); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	return nil
}

// schedRR is SCHED_RR of sched.h.
const schedRR = 2

func scheduleAll(priority int32) error {
	done := map[int]bool{}
	// A thread may start a sibling while the list is read: repeat until a
	// whole pass finds nobody new.
	for {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		fresh := 0
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || done[tid] {
				continue
			}
			fresh++
			done[tid] = true
			_, _, e := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(tid), schedRR, uintptr(unsafe.Pointer(&priority)))
			if e != 0 && e != unix.ESRCH {
				return fmt.Errorf("set SCHED_RR: %w", e)
			}
		}
		if fresh == 0 {
			return nil
		}
	}
}

// childEnv is the environment that the children get: nothing of the
// operator's shell.
func childEnv(extra ...string) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "GOCOVERDIR=") {
			env = append(env, e)
		}
	}
	return append(env, extra...)
}
