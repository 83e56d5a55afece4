package director

import (
	"baton/healthcheck"
	"baton/internal/ipc"
	"baton/internal/metrics"
	"baton/internal/track"
	"baton/vrrp"
)

// The messages between the director and its children. Towards a child state is
// always whole; facts come back.
const (
	kindApply    ipc.Kind = "apply"    // speakerState or proberState
	kindReady    ipc.Kind = "ready"    // map[string]bool: the ready gate
	kindTrack    ipc.Kind = "track"    // map[string]vrrp.TrackState, by Track.Key: downwards
	kindFailover ipc.Kind = "failover" // string: the instance
	kindStatus   ipc.Kind = "status"   // a question downwards, speakerFacts upwards
	kindChecks   ipc.Kind = "checks"   // a question downwards, proberFacts upwards
	kindAlive    ipc.Kind = "alive"    // a question downwards, and its answer
	kindInspect  ipc.Kind = "inspect"  // inspection downwards, its answer upwards
	kindTrigger  ipc.Kind = "trigger"  // []hint: downwards
	kindTrace    ipc.Kind = "trace"    // bool: tell of the steady state too; downwards
	kindStop     ipc.Kind = "stop"

	kindHello   ipc.Kind = "hello"   // the child works on its desired state
	kindEvent   ipc.Kind = "event"   // event.Event
	kindNotice  ipc.Kind = "notice"  // vrrp.Notice
	kindVerdict ipc.Kind = "verdict" // healthcheck.Verdict
	kindTracked ipc.Kind = "tracked" // trackFact
	kindRefused ipc.Kind = "refused" // refusal: why a failover was not begun
)

// speakerState is everything that the speaker works from.
type speakerState struct {
	Instances []vrrp.Config              `json:"instances"`
	Groups    []vrrp.SyncGroup           `json:"groups,omitempty"`
	Track     map[string]vrrp.TrackState `json:"track,omitempty"`
	Ready     map[string]bool            `json:"ready"`
	Past      map[string]vrrp.Past       `json:"past,omitempty"` // when the speaker before this one died
	// Ports are the TCP ports of the virtual services on an instance's
	// addresses: those whose connections a planned takeover must not break.
	Ports      map[string][]uint16 `json:"ports,omitempty"`
	RuntimeDir string              `json:"runtime_dir"`
}

// proberState is everything that the prober works from.
type proberState struct {
	Checks []healthcheck.Spec `json:"checks"`
	// Unheard are those without a verdict, unless the prober is new: then all are.
	Unheard []string `json:"unheard,omitempty"`
	// Doubted are those of servers that have failed and not come up since.
	Doubted []string               `json:"doubted,omitempty"`
	Track   track.Specs            `json:"track"`
	Known   map[string]track.State `json:"known,omitempty"` // of Track, from the prober before this one
	// Verdicts are what the prober before this one found; only a new one heeds them.
	Verdicts map[string]healthcheck.Verdict `json:"verdicts,omitempty"`
}

// speakerFacts are what the speaker answers to kindStatus.
type speakerFacts struct {
	Instances []vrrp.Status  `json:"instances"`
	Lateness  vrrp.Lateness  `json:"lateness"`
	Usage     *metrics.Usage `json:"usage,omitempty"`
}

// proberFacts are what the prober answers to kindChecks. Their size does not
// depend on how many checks there are.
type proberFacts struct {
	metrics.Checks
	Usage *metrics.Usage `json:"usage,omitempty"`
}

// inspection is a question after checks, and its answer.
type inspection struct {
	Number  uint64               `json:"number"` // of the question
	IDs     []string             `json:"ids,omitempty"`
	Reports []healthcheck.Report `json:"reports,omitempty"`
}
