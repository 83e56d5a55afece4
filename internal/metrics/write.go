package metrics

import (
	"io"
	"maps"
	"runtime"
	"slices"
)

// Write writes the snapshot as text, piece by piece: what it holds of the text
// at a time does not depend on how many servers there are.
func Write(out io.Writer, s *Snapshot) error {
	w := newWriter(out)
	whole := []Snapshot{*s}
	figures(w, daemonFigures, whole)
	figures(w, processFigures, s.Processes)
	figures(w, instanceFigures, s.Instances)
	figures(w, electionFigures, whole)
	if s.Checks != nil {
		figures(w, checkFigures, []Checks{*s.Checks})
	}
	w.table(s)
	if s.KeepalivedNames {
		w.keepalived(s)
	}
	w.flush()
	return w.err
}

// daemonFigures are those of a director as a whole.
var daemonFigures = []figure[Snapshot]{
	{gauge("baton_build_info", "Always 1; the version of Baton, of Go, and the node's name.", "version", "go_version", "node"),
		func(w *writer, s *Snapshot) { w.int(1, s.Version, runtime.Version(), s.Node) }},
	{gauge("baton_config_info", "Always 1; the SHA-256 of the configuration file in force.", "hash"),
		func(w *writer, s *Snapshot) { w.int(1, s.Config.Hash) }},
	{gauge("baton_config_last_reload_successful", "Whether the last reload was accepted; 1 before the first."),
		func(w *writer, s *Snapshot) { w.bool(s.Config.LastOK) }},
	{gauge("baton_config_last_reload_timestamp_seconds", "When the configuration was read or refused last, at the start or by a reload."),
		func(w *writer, s *Snapshot) { w.moment(s.Config.LastReload) }},
	{gauge("baton_config_last_reload_success_timestamp_seconds", "When the configuration in force was read."),
		func(w *writer, s *Snapshot) { w.moment(s.Config.Loaded) }},
	{gauge("baton_config_warnings", "What baton check warns of in the configuration in force."),
		func(w *writer, s *Snapshot) { w.int(s.Config.Warnings) }},
	{counter("baton_events_total", "Lines of the log, by event.", "event"),
		func(w *writer, s *Snapshot) {
			for _, name := range slices.Sorted(maps.Keys(s.Events)) {
				w.uint(s.Events[name], name)
			}
		}},
}

// processFigures are those of the director and of each of its children.
var processFigures = []figure[Process]{
	{gauge("baton_process_up", "Whether the process runs and answers.", "process"),
		func(w *writer, p *Process) { w.bool(p.Running, p.Name) }},
	{gauge("baton_process_start_time_seconds", "When the process was started.", "process"),
		func(w *writer, p *Process) { w.moment(p.Started, p.Name) }},
	{counter("baton_process_restarts_total", "How often the process has been started again.", "process"),
		func(w *writer, p *Process) { w.int(p.Restarts, p.Name) }},
	{counter("baton_process_cpu_seconds_total", "CPU time, user and system.", "process"),
		used(func(w *writer, of string, u *Usage) { w.seconds(u.CPU, of) })},
	{gauge("baton_process_resident_memory_bytes", "Resident memory.", "process"),
		used(func(w *writer, of string, u *Usage) { w.uint(u.Resident, of) })},
	{gauge("baton_process_threads", "Threads.", "process"),
		used(func(w *writer, of string, u *Usage) { w.int(u.Threads, of) })},
	{gauge("baton_process_open_fds", "Open file descriptors.", "process"),
		used(func(w *writer, of string, u *Usage) {
			if u.Files >= 0 {
				w.int(u.Files, of)
			}
		})},
}

// used writes what a process uses, where that is known.
func used(write func(w *writer, of string, u *Usage)) func(*writer, *Process) {
	return func(w *writer, p *Process) {
		if p.Usage != nil {
			write(w, p.Name, p.Usage)
		}
	}
}
