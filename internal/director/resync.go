package director

import (
	"context"
	"os"
	"slices"
	"time"

	"baton/ipvs"
)

// A large table is not read in one go: for the time that takes, a server that fails
// would wait for its removal, and checks for the processor. It is read partSize servers
// at a time, spread over the resync interval; after an error the Reconciler reads it
// whole by itself, and where a part shows that somebody edits it the whole is read at
// once, for he has hardly edited that part alone.
const (
	partSize = 500
	minPace  = 20 * time.Millisecond // so much time has a part, however short the interval is
)

// rotation is where the reading of all services, part by part, has got to.
type rotation struct {
	left      []ipvs.ServiceKey
	strangers []ipvs.ServiceKey // of the one before: not wanted and yet there
}

// parts is how many readings the wanted table is.
func (p *programmer) parts() int {
	servers := 0
	for _, e := range p.want {
		servers += 1 + len(e.Servers)
	}
	return 1 + servers/partSize
}

// pace is the time between two parts of a round.
func (p *programmer) pace() time.Duration {
	return max(p.resync/time.Duration(p.parts()), min(minPace, p.resync))
}

// nextPart asks for the next part of a round, and returns when the one after that is
// due. A round begins with what the kernel has and nobody wants.
func (p *programmer) nextPart(ctx context.Context) time.Duration {
	if p.parts() == 1 {
		p.poke()
		return p.resync
	}
	var due []ipvs.ServiceKey
	if len(p.rotation.left) == 0 {
		if _, err := os.Stat(p.record); err != nil {
			p.recorded = nil // somebody removed it
		}
		there, err := p.rec.List(ctx)
		if err != nil {
			p.poke() // which fails as well, and is told
			return p.resync
		}
		unwanted := func(keys []ipvs.ServiceKey) []ipvs.ServiceKey {
			return slices.DeleteFunc(keys, func(k ipvs.ServiceKey) bool { _, wanted := p.want[k]; return wanted })
		}
		there = unwanted(there)
		due = slices.Concat(there, unwanted(p.rotation.strangers)) // those that are gone are foreign no more
		p.rotation = rotation{left: p.want.Keys(), strangers: there}
	}
	for n := 0; n < partSize && len(p.rotation.left) > 0; p.rotation.left = p.rotation.left[1:] {
		k := p.rotation.left[0]
		due = append(due, k)
		n += 1 + len(p.want[k].Servers)
	}
	p.lookAt(due...)
	return p.pace()
}
