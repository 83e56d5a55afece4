package sim

import (
	"fmt"
	"strings"
)

// shrinkTries is how many runs a report may cost.
const shrinkTries = 3000

// Transcript runs s and returns what happened, one line for each thing.
func Transcript(s *Scenario, o Options) string {
	var b strings.Builder
	o.Trace = func(line string) { b.WriteString(line + "\n") }
	Run(s, o)
	return b.String()
}

// mostLines is how much of a transcript a report holds: its end.
const mostLines = 200

func tail(transcript string) string {
	lines := strings.SplitAfter(transcript, "\n")
	if len(lines) > mostLines {
		lines = append([]string{fmt.Sprintf("… %d lines …\n", len(lines)-mostLines)}, lines[len(lines)-mostLines:]...)
	}
	return strings.Join(lines, "")
}

// Report shrinks a scenario that has failed and returns what is left of it,
// with its transcript.
func Report(s *Scenario, bad *Violation, o Options) string {
	small := Shrink(s, o, shrinkTries)
	return fmt.Sprintf("seed %d: %v\nshrunk from %d faults to %d:\n%s%s", s.Seed, bad, len(s.Faults), len(small.Faults), small, tail(Transcript(small, o)))
}
