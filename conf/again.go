package conf

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"
	"strconv"
	"strings"

	"baton/healthcheck"
)

// A configuration of ten thousand servers takes a quarter of a second of
// processor time to read, and most reloads change one of them. So a Config
// remembers from which text each of its services came, and the next one is
// made from the text that is new, or names files, and the services that are
// not. As soon as there is anything to say about that text, the whole is read:
// then every problem has its place and none is missed. Of the services that are
// not read the new text knows what somebody may ask for: the names, which an
// instance may track, their groups and the named checks that they use.

// textSum stands for a text.
type textSum = [sha256.Size]byte

// source is what a Config remembers of its text.
type source struct {
	node     string  // as it was asked for
	host     string  // that a node without a name is called by
	rest     textSum // of all that is no virtual_server
	sections map[textSum]section
}

// section is the text of one virtual_server.
type section struct {
	service   int      // of Config.Services
	unchecked int      // servers of it without a check
	first     string   // the first of these: "real_server[2]"
	name      string   // of the service
	group     string   // the virtual_server_group that it has; "": none
	checks    []string // the [check.NAME] that it uses
	files     bool     // it names files that were looked at, and may have changed since
}

// split divides a text into its virtual_servers, from one header to the next,
// and all the rest, or says that it cannot. starts are the offsets of the
// sections.
func split(data []byte) (rest []byte, sections [][]byte, starts []int, ok bool) {
	if bytes.Contains(data, []byte(`"""`)) || bytes.Contains(data, []byte("'''")) {
		return nil, nil, nil, false // what looks like a header may be part of a text
	}
	const word = "virtual_server"
	begun, inside := 0, false
	end := func(at int) {
		if inside {
			sections, starts = append(sections, data[begun:at]), append(starts, begun)
		} else {
			rest = append(rest, data[begun:at]...)
		}
		begun = at
	}
	for at, next := 0, 0; at < len(data); at = next {
		next = len(data)
		if nl := bytes.IndexByte(data[at:], '\n'); nl >= 0 {
			next = at + nl + 1
		}
		line := bytes.TrimSpace(data[at:next])
		if len(line) == 0 || line[0] != '[' {
			continue
		}
		switch name := bytes.TrimLeft(line, "[ \t\"'"); {
		case string(line) == "[["+word+"]]":
			end(at)
			inside = true
		case bytes.HasPrefix(line, []byte("["+word+".")), bytes.HasPrefix(line, []byte("[["+word+".")):
			if !inside {
				return nil, nil, nil, false
			}
		case bytes.HasPrefix(name, []byte(word)) && !bytes.HasPrefix(name, []byte(word+"_group")):
			return nil, nil, nil, false // written in another way
		default:
			end(at)
			inside = false
		}
	}
	end(len(data))
	return rest, sections, starts, true
}

// sourceOf notes where the services of a configuration came from. It is nil
// where what stands in one virtual_server bears on another one.
// rest and sums stand for its text.
func (d *decoder) sourceOf(cfg *Config, raw *rawFile, rest textSum, sums []textSum, node string) *source {
	if d.recovered || len(sums) != len(cfg.Services) {
		return nil
	}
	for _, t := range d.tables {
		if strings.HasPrefix(t.path, "virtual_server[") {
			return nil // it names the nodes
		}
	}
	at := make([]section, len(sums))
	for i := range at {
		vs := &cfg.Services[i]
		at[i] = section{service: i, name: vs.Name, group: raw.VirtualServers[i].Group.v, files: !vs.ofTextAlone(),
			checks: slices.Sorted(maps.Keys(d.uses[i]))}
	}
	for _, path := range d.unchecked {
		number, local, _ := strings.Cut(strings.TrimPrefix(path, "virtual_server["), "].")
		i, err := strconv.Atoi(number)
		if err != nil || i >= len(at) {
			return nil
		}
		if at[i].unchecked++; at[i].first == "" {
			at[i].first = local
		}
	}
	s := &source{node: node, host: shortHostname(), rest: rest, sections: make(map[textSum]section, len(sums))}
	for i, sum := range sums {
		s.sections[sum] = at[i]
	}
	return s
}

// ofTextAlone says whether no file that the service names was looked at.
func (v VirtualServer) ofTextAlone() bool {
	plain := func(r RealServer) bool {
		for _, c := range r.Checks {
			switch c.Kind {
			case healthcheck.TCP, healthcheck.UDP, healthcheck.DNS, healthcheck.Ping, healthcheck.HTTP:
			default:
				return false
			}
		}
		return r.NotifyUp == nil && r.NotifyDown == nil
	}
	for _, r := range v.Servers {
		if !plain(r) {
			return false
		}
	}
	return v.QuorumUp == nil && v.QuorumDown == nil && (v.Sorry == nil || plain(*v.Sorry))
}

// again reads what of data c was not made of, and returns nil where all of it
// has to be read.
func (c *Config) again(name string, data []byte, node string, disk bool) *Config {
	if c == nil || c.source == nil || c.source.node != node || c.source.host != shortHostname() || len(data) > maxFileSize {
		return nil
	}
	t, ok := textOf(data)
	if !ok || len(t.sections) == 0 || t.sum != c.source.rest {
		return nil
	}
	var fresh []int
	var kept []section
	of := make([]int, len(t.sections))
	for i, sum := range t.sums {
		if at, known := c.source.sections[sum]; !known || at.files {
			fresh = append(fresh, i)
		} else {
			of[i] = 1
			kept = append(kept, at)
		}
	}
	parts := t.parts(name, node, disk, [][]int{fresh}, kept)
	if parts == nil {
		return nil
	}
	return t.assemble(name, node, append(parts, part{c, c.source}), of)
}
