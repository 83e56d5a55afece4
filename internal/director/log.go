package director

import (
	"io"
	"os"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"baton/internal/event"
)

// logger turns events into lines. It is the only place that knows zap.
type logger struct {
	zap     *zap.Logger
	entries bool // for journald, in place of lines
	out     *asyncWriter
}

// newLogger writes every event that it is given to w. Format is "json", "console"
// or "auto": entries with fields where w is systemd's journal, text on a terminal,
// JSON elsewhere.
func newLogger(w *os.File, format string) *logger {
	if format == "auto" || format == "" {
		if startedByJournald(w, os.Getenv("JOURNAL_STREAM")) {
			// Without a socket lines do as well.
			if j, err := newJournald(journaldSocket, w); err == nil {
				return &logger{entries: true, out: newAsyncWriter(j, logDepth)}
			}
		}
		format = "json"
		if st, err := w.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			format = "console"
		}
	}
	out := newAsyncWriter(w, logDepth)
	return &logger{zap: zap.New(zapcore.NewCore(encoder(format), out, zapcore.DebugLevel)), out: out}
}

// logDepth is how many lines may wait for a reader of the log.
const logDepth = 4096

func encoder(format string) zapcore.Encoder {
	c := zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", MessageKey: "msg", NameKey: "source",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeName:     zapcore.FullNameEncoder,
		LineEnding:     zapcore.DefaultLineEnding,
	}
	if format == "console" {
		c.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		c.ConsoleSeparator = "  "
		return zapcore.NewConsoleEncoder(c)
	}
	return zapcore.NewJSONEncoder(c)
}

var zapLevels = map[event.Level]zapcore.Level{
	event.LevelDebug: zapcore.DebugLevel, event.LevelInfo: zapcore.InfoLevel,
	event.LevelWarn: zapcore.WarnLevel, event.LevelError: zapcore.ErrorLevel,
}

// write logs one event with the time at which it happened, which for an event
// of a child is earlier than now.
func (l *logger) write(e event.Event) {
	if l.entries {
		// It never fails.
		_, _ = l.out.Write(journalEntry(e))
		return
	}
	ce := l.zap.Named(e.Source).Check(zapLevels[e.Level], string(e.Name))
	if ce == nil {
		return
	}
	ce.Time = e.Time
	fields := make([]zap.Field, len(e.Fields))
	for i, f := range e.Fields {
		fields[i] = zap.String(string(f.Key), f.Value)
	}
	ce.Write(fields...)
}

// close writes what is queued, as far as the reader takes it.
func (l *logger) close() { l.out.close() }

// asyncWriter keeps a blocked log pipe away from traffic decisions: Write
// queues a copy and never waits; at the bound lines are dropped and counted.
type asyncWriter struct {
	lines   chan []byte
	dropped atomic.Uint64
	once    sync.Once
	done    chan struct{}
	quit    chan struct{}
}

func newAsyncWriter(w io.Writer, depth int) *asyncWriter {
	a := &asyncWriter{lines: make(chan []byte, depth), done: make(chan struct{}), quit: make(chan struct{})}
	go a.run(w)
	return a
}

func (a *asyncWriter) run(w io.Writer) {
	defer close(a.done)
	for {
		select {
		case line := <-a.lines:
			// A log that cannot be written cannot be reported in the log.
			_, _ = w.Write(line)
		case <-a.quit:
			for {
				select {
				case line := <-a.lines:
					_, _ = w.Write(line)
				default:
					return
				}
			}
		}
	}
}

// lost is how many lines were dropped since it was last asked.
func (a *asyncWriter) lost() uint64 { return a.dropped.Swap(0) }

func (a *asyncWriter) Write(p []byte) (int, error) {
	select {
	case a.lines <- append([]byte(nil), p...):
	default:
		a.dropped.Add(1)
	}
	return len(p), nil
}

// Sync is part of zapcore.WriteSyncer; lines go out without being asked.
func (a *asyncWriter) Sync() error { return nil }

func (a *asyncWriter) close() {
	a.once.Do(func() { close(a.quit) })
	select {
	case <-a.done:
	case <-after(closeLogWithin):
	}
}
