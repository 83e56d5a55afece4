package lab

import (
	"context"
	"fmt"
	"time"
)

// The reference client, and how far it is slowed down for a machine that
// cannot carry it: a beat that takes the whole processor would measure the
// processor.
const (
	referenceBeat    = 5 * time.Millisecond
	slowestBeat      = 100 * time.Millisecond
	referenceTimeout = 2 * time.Second
	slowTimeout      = 10 * time.Second // where the beat is not the reference's
	longestTimeout   = 20 * time.Second

	beatPerMean       = 3  // the processor is busy with requests a third of the time at most
	timeoutPerSlowest = 20 // a request that is merely slow must not count as failed

	paceRequests = 30
)

// Pace measures how quick requests are while nothing is broken and returns the
// beat and the time-out that suit this machine: those of the reference client
// on any real one, slower ones on an emulated processor.
func (l *Lab) Pace(ctx context.Context) (LoadOptions, error) {
	load, err := l.StartLoad(ctx, LoadOptions{Interval: slowestBeat / 2, Timeout: longestTimeout})
	if err != nil {
		return LoadOptions{}, err
	}
	awaitErr := load.Await(ctx, paceRequests)
	r, err := load.Stop(ctx)
	if err != nil {
		return LoadOptions{}, err
	}
	if awaitErr != nil {
		return LoadOptions{}, fmt.Errorf("measure pace: %w", awaitErr)
	}
	return paceFor(r.Mean, r.Slowest), nil
}

func paceFor(mean, slowest time.Duration) LoadOptions {
	beat := (beatPerMean*mean + referenceBeat - 1).Truncate(referenceBeat)
	least := referenceTimeout
	if beat > referenceBeat {
		least = slowTimeout
	}
	return LoadOptions{
		Interval: min(max(beat, referenceBeat), slowestBeat),
		Timeout:  min(max(timeoutPerSlowest*slowest, least), longestTimeout),
	}
}
