package realserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"baton/internal/atomicfile"
)

// maxFile bounds what is read: ten thousand addresses fit.
const maxFile = 4 << 20

// The kinds of change.
const (
	changedSysctl  = "sysctl"  // Name, Was, Now
	addedAddress   = "address" // Interface, Address
	addedInterface = "interface"
	setInterfaceUp = "up"
)

// change is one thing that was altered here, with what is needed to undo it.
type change struct {
	Kind      string       `json:"kind"`
	Name      string       `json:"name,omitempty"`
	Was       string       `json:"was,omitempty"`
	Now       string       `json:"now,omitempty"`
	Interface string       `json:"interface,omitempty"`
	Address   netip.Prefix `json:"address,omitzero"`
}

// same says whether both are about the same thing.
func (c change) same(o change) bool {
	return c.Kind == o.Kind && c.Name == o.Name && c.Interface == o.Interface && c.Address == o.Address
}

// record is what was changed since the machine was started.
type record struct {
	Boot    string   `json:"boot"`            // the kernel's boot_id: what was changed before a reboot is undone by it
	NetNS   uint64   `json:"netns,omitempty"` // the network namespace's inode; 0: an earlier version wrote the record
	Wants   []Want   `json:"wants"`
	Changes []change `json:"changes"` // in the order in which they were made
}

// note remembers a change before it is made: a crash in between leaves a line
// too many, which undoes nothing, and never a change that nobody owns. What
// was changed twice is undone to what stood there first.
func (r *record) note(c change) {
	i := slices.IndexFunc(r.Changes, c.same)
	if i < 0 {
		r.Changes = append(r.Changes, c)
		return
	}
	r.Changes[i].Now = c.Now
}

func (r *record) forget(c change) {
	r.Changes = slices.DeleteFunc(r.Changes, c.same)
}

func (r *record) has(c change) bool { return slices.ContainsFunc(r.Changes, c.same) }

// want replaces what was wanted of the same address.
func (r *record) want(w Want) {
	r.Wants = append(without(r.Wants, w.VIP), w)
}

func without(wants []Want, vip netip.Addr) []Want {
	return slices.DeleteFunc(slices.Clone(wants), func(w Want) bool { return w.VIP == vip })
}

func find(wants []Want, vip netip.Addr) (Want, bool) {
	i := slices.IndexFunc(wants, func(w Want) bool { return w.VIP == vip })
	if i < 0 {
		return Want{}, false
	}
	return wants[i], true
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// netNS is the inode of this thread's network namespace, as in net:[4026531840];
// 0 where that cannot be told.
func netNS() uint64 {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return 0
	}
	return st.Ino
}

// errOtherNetNS is a record that cannot be undone here.
var errOtherNetNS = errors.New("it is of another network namespace")

// readRecord reads what this boot changed in this network namespace; there being
// nothing is fine. In another namespace nothing of the record is found, and
// undoing it there would forget it.
func readRecord(name, boot string, netns uint64) (*record, error) {
	r := &record{Boot: boot}
	data, err := readFile(name)
	if err == nil && data != nil {
		err = parseRecord(data, r)
	}
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w (look at it; without it, what was changed has to be undone by hand)", name, err)
	}
	if r.Boot != boot {
		return &record{Boot: boot, NetNS: netns}, nil
	}
	if r.NetNS != 0 && netns != 0 && r.NetNS != netns {
		return nil, fmt.Errorf("read record %s: %w, net:[%d], and this is net:[%d] (name another directory for this one with --runtime-dir; where the other one is gone, remove the file)",
			name, errOtherNetNS, r.NetNS, netns)
	}
	r.NetNS = netns
	return r, nil
}

func parseRecord(data []byte, r *record) error {
	if err := json.Unmarshal(data, r); err != nil {
		return err
	}
	for _, c := range r.Changes {
		ok := false
		switch c.Kind {
		case changedSysctl:
			ok = filepath.IsLocal(c.Name) && c.Was != "" && c.Now != ""
		case addedAddress:
			ok = c.Interface != "" && c.Address.IsValid()
		case addedInterface, setInterfaceUp:
			ok = c.Interface != ""
		}
		if !ok {
			return fmt.Errorf("change %q: incomplete or unknown", c.Kind)
		}
	}
	return checkWants(r.Wants)
}

func checkWants(wants []Want) error {
	for _, w := range wants {
		ok, err := NewWant(w.VIP.String(), w.Mode, w.Interface)
		if err != nil {
			return err
		}
		if ok != w {
			return fmt.Errorf("virtual address %s: incomplete", w.VIP)
		}
	}
	return nil
}

// readWants reads what --persist has kept; there being nothing is fine.
func readWants(name string) ([]Want, error) {
	var wants []Want
	data, err := readFile(name)
	if err == nil && data != nil {
		if err = json.Unmarshal(data, &wants); err == nil {
			err = checkWants(wants)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read persistent addresses %s: %w (mend or remove the file)", name, err)
	}
	return wants, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, err
}

// replaceFile writes a file as a whole, for half of it would be none; nothing
// to hold removes it.
func replaceFile(name string, v any, empty bool) error {
	if empty {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove record: %w", err)
		}
		return nil
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(name), 0o755)
	}
	if err == nil {
		err = atomicfile.Write(name, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}
