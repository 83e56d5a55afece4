package metrics

import (
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// flushAt is how much text is gathered before it is handed on: a scrape of
// 10,000 servers has some 20 MB, of which this much is ever held. In pieces of a quarter
// of it, each of which is a system call or two, sending them takes half as long again.
const flushAt = 256 << 10

// maxLine is more than any one line needs: it is the room that the buffer has
// beyond flushAt.
const maxLine = 4 << 10

// writer makes lines of the text format. The first error stays, and all that
// follows does nothing.
type writer struct {
	out  io.Writer
	b    []byte
	err  error
	fam  *Family
	open bool // the head of fam is written
}

func newWriter(out io.Writer) *writer {
	return &writer{out: out, b: make([]byte, 0, flushAt+maxLine)}
}

func (w *writer) flush() {
	if w.err == nil && len(w.b) > 0 {
		_, w.err = w.out.Write(w.b)
	}
	w.b = w.b[:0]
}

// begin makes f the metric of what follows. Its head is written with its first
// value: one without values does not appear.
func (w *writer) begin(f *Family) { w.fam, w.open = f, false }

func (w *writer) head() {
	if w.open {
		return
	}
	w.open = true
	w.b = append(w.b, "# HELP "...)
	w.b = append(w.b, w.fam.Name...)
	w.b = append(w.b, ' ')
	w.b = append(w.b, w.fam.Help...)
	w.b = append(w.b, "\n# TYPE "...)
	w.b = append(w.b, w.fam.Name...)
	w.b = append(w.b, ' ')
	w.b = append(w.b, w.fam.Type...)
	w.b = append(w.b, '\n')
}

// series writes all of a line before its value; labels are values in the order
// of the family's names, those that are "" are left out: to Prometheus they are
// the same.
func (w *writer) series(labels []string) {
	w.head()
	w.b = append(w.b, w.fam.Name...)
	w.labels(labels, "")
	w.b = append(w.b, ' ')
}

func (w *writer) labels(values []string, le string) {
	open := byte('{')
	for i, v := range values {
		if v != "" {
			w.b = append(w.b, open)
			w.b = appendLabel(w.b, w.fam.Labels[i], v)
			open = ','
		}
	}
	if le != "" {
		w.b = append(w.b, open)
		w.b = appendLabel(w.b, "le", le)
		open = ','
	}
	if open == ',' {
		w.b = append(w.b, '}')
	}
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func appendLabel(b []byte, name, v string) []byte {
	if strings.ContainsAny(v, "\\\"\n") {
		v = escapes.Replace(v)
	}
	b = append(b, name...)
	b = append(b, `="`...)
	b = append(b, v...)
	return append(b, '"')
}

func (w *writer) end() {
	w.b = append(w.b, '\n')
	if len(w.b) >= flushAt {
		w.flush()
	}
}

func (w *writer) uint(v uint64, labels ...string) {
	w.series(labels)
	w.b = strconv.AppendUint(w.b, v, 10)
	w.end()
}

func (w *writer) int(v int, labels ...string) {
	w.series(labels)
	w.b = strconv.AppendInt(w.b, int64(v), 10)
	w.end()
}

func (w *writer) bool(v bool, labels ...string) {
	w.int(number(v), labels...)
}

func number(v bool) int {
	if v {
		return 1
	}
	return 0
}

// seconds writes a duration.
func (w *writer) seconds(d time.Duration, labels ...string) {
	w.series(labels)
	w.b = appendSeconds(w.b, d)
	w.end()
}

// moment writes a time in seconds since 1970, and nothing for the zero time.
func (w *writer) moment(t time.Time, labels ...string) {
	if t.IsZero() {
		return
	}
	w.series(labels)
	w.b = strconv.AppendFloat(w.b, math.Round(float64(t.UnixMilli()))/1e3, 'f', 3, 64)
	w.end()
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, d.Seconds(), 'g', -1, 64)
}

// histogram writes counts, of which each is of one bucket alone and the last of
// what is beyond all bounds.
func (w *writer) histogram(bounds []time.Duration, counts []uint64, sum time.Duration, labels ...string) {
	w.head()
	var total uint64
	line := func(suffix, le string, value func()) {
		w.b = append(w.b, w.fam.Name...)
		w.b = append(w.b, suffix...)
		w.labels(labels, le)
		w.b = append(w.b, ' ')
		value()
		w.end()
	}
	count := func() { w.b = strconv.AppendUint(w.b, total, 10) }
	for i, n := range counts {
		total += n
		le := "+Inf"
		if i < len(bounds) {
			le = string(appendSeconds(nil, bounds[i]))
		}
		line("_bucket", le, count)
	}
	line("_sum", "", func() { w.b = appendSeconds(w.b, sum) })
	line("_count", "", count)
}
