package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Identity is whom a program runs as.
type Identity struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"` // supplementary
}

// Lookup finds a user and a group by name or number. An empty group is the
// user's own; then the supplementary groups are the user's as well. It returns
// an error that names what is missing.
func Lookup(name, group string) (*Identity, error) {
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		if byID, err2 := user.LookupId(name); err2 == nil {
			u, err = byID, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look up user %q: %w", name, err)
	}
	uid, err := number(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("look up user %q: %w", name, err)
	}
	gid, err := number(u.Gid)
	if err != nil {
		return nil, fmt.Errorf("look up user %q: %w", name, err)
	}
	id := &Identity{UID: uid, GID: gid}
	if group == "" {
		ids, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("look up the groups of user %q: %w", name, err)
		}
		for _, s := range ids {
			if n, err := number(s); err == nil && n != gid {
				id.Groups = append(id.Groups, n)
			}
		}
		return id, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		byID, err2 := user.LookupGroupId(group)
		if err2 != nil {
			return nil, fmt.Errorf("look up group %q: %w", group, err)
		}
		g = byID
	}
	if id.GID, err = number(g.Gid); err != nil {
		return nil, fmt.Errorf("look up group %q: %w", group, err)
	}
	return id, nil
}

func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

// credential is what the kernel has to change in the child, nil for nothing.
func (id *Identity) credential() (*syscall.Credential, error) {
	if id == nil {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		if int(id.UID) == os.Geteuid() {
			return nil, nil
		}
		return nil, fmt.Errorf("run as user %d: only root can, and baton runs as user %d", id.UID, os.Geteuid())
	}
	return &syscall.Credential{Uid: id.UID, Gid: id.GID, Groups: id.Groups}, nil
}

// errNotAbsolute is for whoever got past the configuration's own check.
var errNotAbsolute = errors.New("it is not an absolute path")

// checkFile says why a program must not be run: what root runs must not be
// changed by anybody else, neither itself nor through a directory on its path
// (keepalived's enable_script_security).
func checkFile(path string, uid uint32) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("run %s: %w", path, errNotAbsolute)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("run %s: %w", path, rootCause(err))
	}
	st, err := os.Stat(real)
	switch {
	case err != nil:
		return fmt.Errorf("run %s: %w", path, rootCause(err))
	case !st.Mode().IsRegular():
		return fmt.Errorf("run %s: it is no file", path)
	case st.Mode()&0o111 == 0:
		return fmt.Errorf("run %s: it is not executable (mend with: chmod +x %s)", path, path)
	case uid != 0:
		return nil
	}
	for _, start := range []string{path, real} {
		for p := filepath.Clean(start); ; p = filepath.Dir(p) {
			if err := onlyRootWrites(p); err != nil {
				return fmt.Errorf("run %s as root: %w", path, err)
			}
			if p == "/" {
				break
			}
		}
	}
	return nil
}

// onlyRootWrites looks at one part of a path. In a directory with the sticky
// bit nobody can replace what is root's.
func onlyRootWrites(p string) error {
	st, err := os.Lstat(p)
	if err != nil {
		return rootCause(err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	mode := st.Mode()
	switch {
	case !ok:
		return fmt.Errorf("the owner of %s is unknown", p)
	case sys.Uid != 0:
		return fmt.Errorf("%s belongs to user %d, who could replace it (mend with: chown root %s)", p, sys.Uid, p)
	case mode&fs.ModeSymlink != 0, mode.IsDir() && mode&fs.ModeSticky != 0:
		return nil
	case mode&0o002 != 0, mode&0o020 != 0 && sys.Gid != 0:
		return fmt.Errorf("others than root can write to %s (mend with: chmod go-w %s)", p, p)
	}
	return nil
}

// rootCause drops the operation and the path, which the message has already.
func rootCause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
