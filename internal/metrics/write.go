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
	w.daemon(s)
	w.elections(s)
	w.checks(s)
	w.table(s)
	if s.KeepalivedNames {
		w.keepalived(s)
	}
	w.flush()
	return w.err
}

var (
	buildInfo = gauge("baton_build_info", "Always 1; the version of Baton, of Go, and the node's name.", "version", "go_version", "node")

	configInfo     = gauge("baton_config_info", "Always 1; the SHA-256 of the configuration file in force.", "hash")
	configOK       = gauge("baton_config_last_reload_successful", "Whether the last reload was accepted; 1 before the first.")
	configAsked    = gauge("baton_config_last_reload_timestamp_seconds", "When the configuration was read or refused last, at the start or by a reload.")
	configLoaded   = gauge("baton_config_last_reload_success_timestamp_seconds", "When the configuration in force was read.")
	configWarnings = gauge("baton_config_warnings", "What baton check warns of in the configuration in force.")

	processUp       = gauge("baton_process_up", "Whether the process runs and answers.", "process")
	processStart    = gauge("baton_process_start_time_seconds", "When the process was started.", "process")
	processRestarts = counter("baton_process_restarts_total", "How often the process has been started again.", "process")
	processCPU      = counter("baton_process_cpu_seconds_total", "CPU time, user and system.", "process")
	processMemory   = gauge("baton_process_resident_memory_bytes", "Resident memory.", "process")
	processThreads  = gauge("baton_process_threads", "Threads.", "process")
	processFiles    = gauge("baton_process_open_fds", "Open file descriptors.", "process")

	events = counter("baton_events_total", "Lines of the log, by event.", "event")
)

func (w *writer) daemon(s *Snapshot) {
	w.begin(buildInfo)
	w.int(1, s.Version, runtime.Version(), s.Node)

	w.begin(configInfo)
	w.int(1, s.Config.Hash)
	w.begin(configOK)
	w.bool(s.Config.LastOK)
	w.begin(configAsked)
	w.moment(s.Config.LastReload)
	w.begin(configLoaded)
	w.moment(s.Config.Loaded)
	w.begin(configWarnings)
	w.int(s.Config.Warnings)

	w.processes(s.Processes)

	w.begin(events)
	for _, name := range slices.Sorted(maps.Keys(s.Events)) {
		w.uint(s.Events[name], name)
	}
}

func (w *writer) processes(ps []Process) {
	w.begin(processUp)
	for _, p := range ps {
		w.bool(p.Running, p.Name)
	}
	w.begin(processStart)
	for _, p := range ps {
		w.moment(p.Started, p.Name)
	}
	w.begin(processRestarts)
	for _, p := range ps {
		w.int(p.Restarts, p.Name)
	}
	used := func(f *Family, value func(Process)) {
		w.begin(f)
		for _, p := range ps {
			if p.Usage != nil {
				value(p)
			}
		}
	}
	used(processCPU, func(p Process) { w.seconds(p.Usage.CPU, p.Name) })
	used(processMemory, func(p Process) { w.uint(p.Usage.Resident, p.Name) })
	used(processThreads, func(p Process) { w.int(p.Usage.Threads, p.Name) })
	used(processFiles, func(p Process) {
		if p.Usage.Files >= 0 {
			w.int(p.Usage.Files, p.Name)
		}
	})
}
