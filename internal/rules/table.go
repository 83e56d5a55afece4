package rules

// own lists patterns of this module's packages.
func own(dirs ...string) []string {
	var out []string
	for _, d := range dirs {
		out = append(out, Module+"/"+d)
	}
	return out
}

// effects are packages with which a file could touch the world.
var effects = []string{"net", "net/http/...", "os/...", "syscall", "unsafe", "golang.org/x/...", "github.com/...",
	"go.uber.org/...", "log/..."}

// Imports is who may import whom. It is the drawing of docs/architecture.md
// in a form that fails.
var Imports = []Rule{
	{
		Name:  "the domain packages stand alone",
		Files: []string{"vrrp/...", "ipvs/...", "healthcheck/..."},
		Deny:  own("..."),
		Allow: own("vrrp/...", "ipvs/...", "healthcheck/..."),
		Why:   "they are libraries: they know neither configuration nor processes",
	},
	{
		Name: "vrrp imports no sibling", Files: []string{"vrrp/..."},
		Deny: own("ipvs/...", "healthcheck/..."), Why: "an election knows nothing of the servers behind it",
	},
	{
		Name: "ipvs imports no sibling", Files: []string{"ipvs/..."},
		Deny: own("vrrp/...", "healthcheck/..."), Why: "the table knows nothing of who holds the address",
	},
	{
		Name: "healthcheck imports no sibling", Files: []string{"healthcheck/..."},
		Deny: own("vrrp/...", "ipvs/..."), Why: "a check knows nothing of what follows from it",
	},
	{
		Name: "only the simulation's command runs the simulation", Files: []string{"vrrp/*.go", "cmd/...", "conf/...", "internal/..."},
		Deny: own("vrrp/sim/..."), Why: "it judges the product and is no part of it",
	},
	{
		Name:  "the domain packages report, others write",
		Files: []string{"vrrp/...", "ipvs/...", "healthcheck/..."},
		Deny: []string{"log/...", "go.uber.org/zap/...", "github.com/prometheus/...", "github.com/BurntSushi/...",
			"github.com/pelletier/...", "github.com/spf13/..."},
		Why: "facts leave them through typed callbacks: no log, no metrics, no TOML, no flags",
	},
	{
		Name:  "configuration is values",
		Files: []string{"conf/..."},
		Deny:  own("..."),
		Allow: own("conf/...", "vrrp", "ipvs", "healthcheck"),
		Why:   "conf knows the domain's values and nothing that runs",
	},
	{
		Name:  "events are words",
		Files: []string{"internal/event/..."},
		Deny:  own("..."),
		Allow: own("internal/event/..."),
		Why:   "everything else depends on the vocabulary",
	},
	{
		Name:   "only the director knows all others",
		Files:  []string{"internal/..."},
		Except: []string{"internal/director/...", "internal/pool/...", "internal/settings/...", "internal/plan/...", "internal/doctor/..."},
		Deny:   own("internal/director/...", "conf/...", "cmd/..."),
		Why:    "internal/director is the one composition root",
	},
	{
		Name:  "a pool is a function of its configuration",
		Files: []string{"internal/pool/..."},
		Deny:  own("..."),
		Allow: own("conf", "ipvs", "healthcheck"),
		Why:   "the director and baton plan must come to the same table, whoever runs",
	},
	{
		Name:  "settings follow from the configuration and the kernel",
		Files: []string{"internal/settings/..."},
		Deny:  own("..."),
		Allow: own("conf", "ipvs", "internal/netif"),
		Why:   "the director and baton plan must come to the same commands, whoever runs",
	},
	{
		Name:  "a plan asks the cores and runs nothing",
		Files: []string{"internal/plan/..."},
		Deny:  own("..."),
		Allow: own("conf", "ipvs", "vrrp", "healthcheck", "internal/control", "internal/netif", "internal/pool", "internal/settings"),
		Why:   "it foretells what the director does and is no part of it",
	},
	{
		Name:  "metrics are values made text",
		Files: []string{"internal/metrics/..."},
		Deny:  own("..."),
		Allow: own("vrrp", "ipvs", "healthcheck"),
		Why:   "whoever owns a fact counts it; here it is only written down",
	},
	{
		Name:  "a doctor looks, and runs nothing",
		Files: []string{"internal/doctor/..."},
		Deny:  own("..."),
		Allow: own("conf", "ipvs", "vrrp", "healthcheck", "internal/announce", "internal/control", "internal/netif", "internal/nstest",
			"internal/realserver", "internal/settings"),
		Why: "it must work where the director does not",
	},
	{
		Name:  "the kernel's hands are blind",
		Files: []string{"internal/netif/...", "internal/announce/...", "internal/realserver/...", "internal/pathcheck/...", "internal/mark/..."},
		Deny:  own("vrrp/...", "ipvs/...", "healthcheck/...", "internal/ipc/...", "internal/control/...", "internal/event/..."),
		Why:   "they do what they are told to do, and do not know why",
	},
	{
		Name:  "who watches does not know for whom",
		Files: []string{"internal/script/...", "internal/track/..."},
		Deny:  own("..."),
		Allow: own("internal/script", "internal/track"),
		Why:   "a script fails or a process ends; what follows for an election is the director's to say",
	},
	{
		Name:  "the lab drives the product from outside",
		Files: []string{"internal/lab/..."},
		Deny:  own("vrrp/...", "ipvs/...", "healthcheck/...", "internal/ipc/..."),
		Why:   "a drill that uses the product's own code to judge it proves nothing",
	},
	{
		Name:  "the machine for the tests is no part of the product",
		Files: []string{"integration/vm/..."},
		Deny:  own("..."),
		Allow: own("integration/vm/..."),
		Why:   "it must build while the product does not",
	},
	{
		Name:  "a file is bytes",
		Files: []string{"internal/atomicfile/..."},
		Deny:  own("..."),
		Why:   "what is recorded in it is its owner's to say",
	},
	{
		Name:  "one place logs",
		Files: []string{"cmd/...", "conf/...", "internal/..."},
		// net/http hands its complaints to a *log.Logger, which makes events of them.
		Except: []string{"internal/director/...", "internal/control/server.go"},
		Deny:   []string{"go.uber.org/zap/...", "log", "log/slog", "github.com/sirupsen/..."},
		Why:    "an error is returned or logged, and internal/director does the logging",
	},
	{
		Name:  "nothing imports a command",
		Files: []string{"cmd/...", "conf/...", "internal/...", "integration/..."},
		Deny:  own("cmd/..."), Why: "commands hold flags, exit codes and printing only",
	},
}

// Pure lists the files whose functions are pure: values in, values out.
var Pure = []Rule{
	{
		Name:  "VRRP's rules are pure",
		Files: []string{"vrrp/advert.go", "vrrp/step.go", "vrrp/timing.go", "vrrp/state.go"},
		Deny:  effects, Why: "a simulation runs them on a virtual clock, and a reader beside RFC 9568 section 6.4",
	},
	{
		Name:   "the simulation has no world but its own",
		Files:  []string{"vrrp/sim/..."},
		Except: []string{"vrrp/sim/cmd/..."},
		Deny:   append([]string{"math/rand", "crypto/...", "sync/...", "context", "runtime/..."}, effects...),
		Why:    "the same seed gives the same trace: no clock, no goroutine, no chance but the seed's",
	},
	{
		Name:   "pools are pure",
		Files:  []string{"internal/pool/*.go"},
		Except: []string{"internal/pool/*_test.go"},
		Deny:   effects, Why: "what the director will do is a prediction only as long as nothing else has a say",
	},
	{
		Name:  "settings are planned purely",
		Files: []string{"internal/settings/plan.go", "internal/settings/plan_daemon.go", "internal/settings/op.go"},
		Deny:  effects, Why: "a plan is made from what was read, without asking the kernel",
	},
	{
		Name: "a doctor judges purely",
		Files: []string{"internal/doctor/doctor.go", "internal/doctor/kernel.go", "internal/doctor/sysctl.go", "internal/doctor/address.go", "internal/doctor/wire.go",
			"internal/doctor/tunnel.go", "internal/doctor/beside.go", "internal/doctor/filter.go", "internal/doctor/nft.go", "internal/doctor/iptables.go"},
		Deny: effects, Why: "what is judged of a machine is a function of what was found on it",
	},
	{
		Name:  "IPVS planning is pure",
		Files: []string{"ipvs/plan.go", "ipvs/op.go", "ipvs/table.go", "ipvs/service.go", "ipvs/server.go", "ipvs/ownership.go"},
		Deny:  effects, Why: "a plan is made from two tables, without asking the kernel",
	},
}
