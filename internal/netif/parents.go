package netif

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	"baton/internal/atomicfile"
)

// parentSysctls are what the interface below needs while it has a VMAC: it
// must not answer for the addresses on the VMAC with its own hardware address,
// nor ask with one of them as the sender's, which says the same.
var parentSysctls = []struct{ name, value string }{
	{"net/ipv4/conf/%s/arp_ignore", "1"},
	{"net/ipv4/conf/%s/arp_announce", "2"},
}

// parents are the interfaces below VMACs, with what was changed of each. A
// file remembers it for the next run. It is guarded by Manager.mu.
type parents struct {
	file    string
	changed map[string]*Sysctls // by interface
	unread  error               // why the file of an earlier run counts for nothing
}

// changedParameter is one line of the file.
type changedParameter struct {
	Name string `json:"name"`
	Was  string `json:"was"`
	Now  string `json:"now"`
}

// maxParents bounds the file: a parameter takes some 100 bytes.
const maxParents = 1 << 20

func readParents(file string) *parents {
	p := &parents{file: file, changed: map[string]*Sysctls{}}
	if file == "" {
		return p
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	var raw []byte
	if err == nil {
		defer f.Close()
		raw, err = io.ReadAll(io.LimitReader(f, maxParents+1))
	}
	if err == nil {
		p.changed, err = parseParents(raw)
	}
	if err != nil {
		p.changed = map[string]*Sysctls{}
		p.unread = fmt.Errorf("read record of interfaces below a vmac, %s: %w (remove the file; arp_ignore and arp_announce of these interfaces have to be set back by hand)", file, err)
	}
	return p
}

func parseParents(raw []byte) (map[string]*Sysctls, error) {
	if len(raw) > maxParents {
		return nil, fmt.Errorf("larger than %d bytes", maxParents)
	}
	var all map[string][]changedParameter
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	out := map[string]*Sysctls{}
	for iface, list := range all {
		s := &Sysctls{}
		for _, c := range list {
			if !strings.HasPrefix(c.Name, "net/ipv4/conf/"+iface+"/") {
				return nil, fmt.Errorf("%q is no parameter of interface %q", c.Name, iface)
			}
			if _, err := sysctlPath(c.Name); err != nil {
				return nil, err
			}
			s.changed = append(s.changed, sysctlChange{name: c.Name, was: c.Was, now: c.Now})
		}
		out[iface] = s
	}
	return out, nil
}

// prepare sets what an interface needs before it carries a VMAC.
func (p *parents) prepare(iface string) error {
	s := p.changed[iface]
	if s == nil {
		s = &Sysctls{}
		p.changed[iface] = s
	}
	before := len(s.changed)
	var err error
	for _, ps := range parentSysctls {
		if err = s.atLeast(fmt.Sprintf(ps.name, iface), ps.value); err != nil {
			break
		}
	}
	// Also of what was changed before something failed.
	if len(s.changed) > before {
		err = errors.Join(err, p.save())
	}
	return err
}

// restore sets back what carries no VMAC any more.
func (p *parents) restore(carrying map[string]bool) error {
	errs := []error{p.unread}
	p.unread = nil
	before := len(p.changed)
	maps.DeleteFunc(p.changed, func(iface string, s *Sysctls) bool {
		if carrying[iface] {
			return false
		}
		errs = append(errs, s.Restore())
		return true
	})
	if len(p.changed) != before {
		errs = append(errs, p.save())
	}
	return errors.Join(errs...)
}

func (p *parents) save() error {
	if p.file == "" {
		return nil
	}
	all := map[string][]changedParameter{}
	for iface, s := range p.changed {
		for _, c := range s.changed {
			all[iface] = append(all[iface], changedParameter{c.name, c.was, c.now})
		}
	}
	raw, err := json.Marshal(all)
	if err == nil {
		err = atomicfile.Write(p.file, append(raw, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write record of interfaces below a vmac: %w", err)
	}
	return nil
}
