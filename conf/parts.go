package conf

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"

	"baton/ipvs"
)

// A large file is read a part of its virtual_servers after the other, each with
// all that is no virtual_server before it: what reading leaves behind then is
// that of one part instead of ten thousand servers, and every processor has
// something to do. Where there is anything to say about a part, the whole is
// read, as in a reload.

// partSize is how much text a part has at least, and partOfRest how often that
// of the rest, which each part reads again.
const (
	partSize   = 64 << 10
	partOfRest = 8
)

// text is a file, divided.
type text struct {
	data     []byte
	rest     []byte
	sum      textSum // of rest
	sections [][]byte
	starts   []int
	sums     []textSum // of the sections
}

func textOf(data []byte) (text, bool) {
	rest, sections, starts, ok := split(data)
	if !ok || len(sections) > maxElements {
		return text{}, false
	}
	t := text{data: data, rest: rest, sum: sha256.Sum256(rest), sections: sections, starts: starts, sums: make([]textSum, len(sections))}
	for i, s := range sections {
		t.sums[i] = sha256.Sum256(s)
	}
	return t, true
}

// inParts reads a file by parts of so many bytes at least, and returns nil where
// all of it has to be read at once.
func inParts(name string, data []byte, node string, disk bool, size int) *Config {
	if len(data) < 2*size || len(data) > maxFileSize {
		return nil
	}
	t, ok := textOf(data)
	if !ok {
		return nil
	}
	each := max(size, partOfRest*len(t.rest))
	var lists [][]int
	of := make([]int, len(t.sections))
	for i, size := 0, each; i < len(t.sections); i++ {
		if size >= each {
			lists, size = append(lists, nil), 0
		}
		of[i] = len(lists) - 1
		last := &lists[of[i]]
		*last, size = append(*last, i), size+len(t.sections[i])
	}
	if len(lists) < 2 {
		return nil
	}
	parts := t.parts(name, node, disk, lists, nil)
	if parts == nil {
		return nil
	}
	return t.assemble(name, node, parts, of)
}

// part is a configuration of which services are taken.
type part struct {
	cfg    *Config
	source *source
}

// parts reads the rest with each list of sections, or returns nil where there
// is anything to say about one of them. kept are the services of sections that
// are in no list.
func (t *text) parts(name, node string, disk bool, lists [][]int, kept []section) []part {
	out := make([]part, len(lists))
	var next atomic.Int32
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range min(len(lists), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(lists) {
					return
				}
				if out[i] = t.part(name, node, disk, lists[i], kept); out[i].source == nil {
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	if failed.Load() {
		return nil
	}
	return out
}

// part reads the rest with some sections. Its source is nil where there is
// anything to say about that text.
func (t *text) part(name, node string, disk bool, sections []int, kept []section) part {
	size := len(t.rest) + 1
	for _, i := range sections {
		size += len(t.sections[i]) + 1
	}
	data := append(make([]byte, 0, size), t.rest...)
	for _, i := range sections {
		if n := len(data); n > 0 && data[n-1] != '\n' {
			data = append(data, '\n') // of the rest: the last line of a section ends, or is the last of all
		}
		data = append(data, t.sections[i]...)
	}
	d := newDecoder(name, &decoder{disk: disk, rest: kept})
	tree := d.parse(data)
	if tree == nil || d.recovered {
		return part{}
	}
	var raw rawFile
	d.table("", tree, reflect.ValueOf(&raw).Elem())
	cfg := d.resolve(&raw, node)
	if cfg == nil || len(d.problems) > 0 || d.more > 0 || len(cfg.Services) != len(sections) {
		return part{}
	}
	sums := make([]textSum, len(sections))
	for i, at := range sections {
		sums[i] = t.sums[at]
	}
	return part{cfg, d.sourceOf(cfg, &raw, t.sum, sums, node)}
}

// assemble puts the services of parts into the order of the text; of says which
// part that of a section is. All that is no service is the first part's.
func (t *text) assemble(name, node string, parts []part, of []int) *Config {
	cfg := *parts[0].cfg
	cfg.File, cfg.Hash, cfg.Services = name, hashOf(t.data), make([]VirtualServer, 0, len(t.sections))
	cfg.source = &source{node: node, host: parts[0].source.host, rest: t.sum, sections: make(map[textSum]section, len(t.sections))}
	m := merger{names: make(map[string]bool, len(t.sections)), keys: make(map[ipvs.ServiceKey]bool, len(t.sections))}
	for i, sum := range t.sums {
		from := parts[of[i]]
		at, known := from.source.sections[sum]
		if !known || !m.takes(from.cfg.Services[at.service]) {
			return nil
		}
		cfg.Services = append(cfg.Services, from.cfg.Services[at.service])
		if m.unchecked += at.unchecked; at.unchecked > 0 && m.warning == nil {
			m.warning = uncheckedAt(t.data, t.starts[i], t.sections[i], i, at.first)
		}
		at.service = i
		cfg.source.sections[sum] = at
	}
	cfg.Warnings = Problems{}
	if m.warning != nil {
		m.warning.File, m.warning.Message, m.warning.Remedy = name, uncheckedMessage(m.unchecked), uncheckedRemedy
		cfg.Warnings = append(cfg.Warnings, *m.warning)
	}
	return &cfg
}

// merger holds the services of a configuration against one another.
type merger struct {
	names     map[string]bool
	keys      map[ipvs.ServiceKey]bool
	unchecked int
	warning   *Problem
}

// takes notes a service, unless it is in another's way.
func (m *merger) takes(vs VirtualServer) bool {
	if m.names[vs.Name] || len(m.keys)+len(vs.Keys) > maxAllKeys {
		return false
	}
	m.names[vs.Name] = true
	for _, k := range vs.Keys {
		if m.keys[k] {
			return false
		}
		m.keys[k] = true
	}
	return true
}

// uncheckedAt finds the place of a real server in the text of one section.
func uncheckedAt(data []byte, start int, section []byte, i int, local string) *Problem {
	line, column := lazyIndex(section).find("virtual_server[0]." + local)
	return &Problem{Severity: SeverityWarning, Line: line + bytes.Count(data[:start], []byte{'\n'}), Column: column,
		Key: element("virtual_server", i) + "." + local}
}
