package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const namespaceDir = "/run/netns"

// inNamespace calls f on an operating system thread inside the named network
// namespace. The thread dies afterwards: one that was elsewhere is never given
// back to the scheduler.
func inNamespace(name string, f func() error) error {
	ns, err := openNamespace(name)
	if err != nil {
		return err
	}
	defer ns.Close()
	return onDiscardedThread(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter namespace %s: %w", name, err)
		}
		return f()
	})
}

func openNamespace(name string) (netns.NsHandle, error) {
	ns, err := netns.GetFromName(name)
	if errors.Is(err, fs.ErrNotExist) {
		return ns, fmt.Errorf("enter namespace %s: %w (baton lab up builds it)", name, ErrDown)
	}
	if err != nil {
		return ns, fmt.Errorf("open namespace %s: %w", name, err)
	}
	return ns, nil
}

func onDiscardedThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		// /proc/self speaks of the main thread, which moreover cannot die: hold
		// it here while another one does the work.
		if unix.Gettid() == os.Getpid() {
			done <- onDiscardedThread(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

func createNamespace(name string) error {
	return onDiscardedThread(func() error {
		ns, err := netns.NewNamed(name)
		if err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
		return ns.Close()
	})
}

func deleteNamespace(name string) error {
	err := netns.DeleteNamed(name)
	if errors.Is(err, unix.EINVAL) { // the file without the mount: a creation that was interrupted
		err = os.Remove(filepath.Join(namespaceDir, name))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}

// presentNamespaces returns those of a lab's nodes, whatever its topology, whose
// namespace exists.
func presentNamespaces(lab string) []string {
	var found []string
	for _, name := range EveryNode() {
		if _, err := os.Lstat(filepath.Join(namespaceDir, namespaceName(lab, name))); err == nil {
			found = append(found, name)
		}
	}
	return found
}

// mountSys gives the calling thread, which must be a discarded one, a mount
// namespace in which /sys shows the network namespace it is in.
func mountSys() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// Not mounted (EINVAL) or a machine without /sys: nothing to replace.
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
		return nil
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return nil
}

// writeSysctl writes net.* of the calling thread's network namespace; key is
// its path below /proc/sys/net.
func writeSysctl(key, value string) error {
	path := filepath.Join("/proc/sys/net", key)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open sysctl: %w", err)
	}
	if _, err := f.WriteString(value); err != nil {
		f.Close()
		return fmt.Errorf("write sysctl net.%s: %w", strings.ReplaceAll(key, "/", "."), err)
	}
	return f.Close()
}
