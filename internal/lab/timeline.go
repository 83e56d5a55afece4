package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"baton/internal/event"
)

// Entry is one line of a timeline: an event that a director logged, or
// something that the drill itself did.
type Entry struct {
	Time   time.Time            `json:"time"`
	Node   string               `json:"node"` // "drill" and "client" besides the directors
	Event  event.Name           `json:"event"`
	Fields map[event.Key]string `json:"fields,omitempty"`
	Text   string               `json:"text,omitempty"` // of a line that is no event, or of a step
}

// Get returns a field, "" without it.
func (e Entry) Get(k event.Key) string { return e.Fields[k] }

// maxLogLine bounds what is read as one line; the rest of a longer one is lost.
const maxLogLine = 256 << 10

// parseLine reads one line of a director's log. What is not one of its JSON
// lines, a panic for example, becomes an Entry with Text.
func parseLine(line []byte, node string) (Entry, bool) {
	text := strings.TrimSpace(string(line))
	if text == "" {
		return Entry{}, false
	}
	var raw map[string]any
	if err := json.Unmarshal(line, &raw); err != nil {
		return Entry{Node: node, Text: text}, true
	}
	e := Entry{Node: node, Fields: map[event.Key]string{}}
	for k, v := range raw {
		s, ok := v.(string)
		if !ok {
			s = fmt.Sprint(v)
		}
		switch k {
		case "time":
			t, err := time.Parse(time.RFC3339Nano, s)
			if err != nil {
				return Entry{Node: node, Text: text}, true
			}
			e.Time = t
		case "msg":
			e.Event = event.Name(s)
		case "level", "source":
		default:
			e.Fields[event.Key(k)] = s
		}
	}
	if e.Event == "" || e.Time.IsZero() {
		return Entry{Node: node, Text: text}, true
	}
	return e, true
}

// logReader reads a growing log file from where it stopped the last time.
type logReader struct {
	path, node string
	offset     int64
	last       time.Time // a line without a time happened after the line before it
}

// next returns the entries that were completed since the last call.
func (r *logReader) next() ([]Entry, error) {
	f, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", r.node, err)
	}
	defer f.Close()
	if _, err := f.Seek(r.offset, io.SeekStart); err != nil {
		return nil, fmt.Errorf("seek log of %s: %w", r.node, err)
	}
	var out []Entry
	br := bufio.NewReaderSize(f, maxLogLine)
	for {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, io.EOF) { // half a line is read again when it is whole
			return out, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return out, fmt.Errorf("read log of %s: %w", r.node, err)
		}
		r.offset += int64(len(line))
		e, ok := parseLine(line, r.node)
		if !ok {
			continue
		}
		if e.Time.IsZero() {
			e.Time = r.last
		}
		r.last = e.Time
		out = append(out, e)
	}
}

// skip moves to the end of what is logged now.
func (r *logReader) skip() error {
	_, err := r.next()
	return err
}

func readLog(path, node string) ([]Entry, error) {
	return (&logReader{path: path, node: node}).next()
}

// merge puts entries of several sources into the order in which they happened.
func merge(sources ...[]Entry) []Entry {
	all := slices.Concat(sources...)
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return all
}

// describe is an entry's facts on one line: who, from and to, then the other
// fields in the order of the catalogue, the reason last.
func (e Entry) describe() string {
	return oneLine(e.facts(), maxShown)
}

// maxShown bounds what is printed of an entry; the log and the JSON report
// have it whole.
const maxShown = 240

func oneLine(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func (e Entry) facts() string {
	if e.Event == "" {
		return e.Text
	}
	var parts []string
	subject := []event.Key{event.Instance, event.Service, event.Server, event.Child}
	for _, k := range subject {
		if v := e.Get(k); v != "" {
			parts = append(parts, v)
		}
	}
	switch from, to := e.Get(event.From), e.Get(event.To); {
	case from != "" && to != "":
		parts = append(parts, from+" → "+to)
	case from != "":
		parts = append(parts, "from "+from)
	case to != "":
		parts = append(parts, "to "+to)
	}
	shown := append(slices.Clone(subject), event.From, event.To, event.Reason, event.Detail, event.VRID)
	for _, k := range fieldOrder(e) {
		if !slices.Contains(shown, k) {
			parts = append(parts, string(k)+"="+e.short(k))
		}
	}
	for _, k := range []event.Key{event.Reason, event.Detail} {
		if v := e.Get(k); v != "" {
			parts = append(parts, "("+v+")")
		}
	}
	return strings.Join(parts, " ")
}

// short is a field without what the line says already: a check's name begins
// with its service and its server.
func (e Entry) short(k event.Key) string {
	v := e.Get(k)
	if k == event.Check {
		v = strings.TrimPrefix(v, e.Get(event.Service)+" ")
		v = strings.TrimPrefix(v, e.Get(event.Server)+" ")
	}
	return v
}

func fieldOrder(e Entry) []event.Key {
	var keys []event.Key
	for _, s := range event.Catalogue {
		if s.Name == e.Event {
			for _, k := range s.Fields {
				if e.Get(k) != "" {
					keys = append(keys, k)
				}
			}
		}
	}
	var rest []event.Key
	for k := range e.Fields {
		if !slices.Contains(keys, k) {
			rest = append(rest, k)
		}
	}
	slices.Sort(rest)
	return append(keys, rest...)
}

// format is an entry as a line of a timeline that began at start.
func (e Entry) format(start time.Time) string {
	name := string(e.Event)
	if name == "" {
		return fmt.Sprintf("%+8.3f s  %-6s %s", e.Time.Sub(start).Seconds(), e.Node, e.describe())
	}
	return fmt.Sprintf("%+8.3f s  %-6s %-20s %s", e.Time.Sub(start).Seconds(), e.Node, name, e.describe())
}
