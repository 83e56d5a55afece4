// Package lab builds the reference topology of a Linux IPVS pair on one
// machine: a client, a router, a switch, two directors and two real servers,
// each in a network namespace of its own. It runs Baton there, breaks things
// and measures what a client notices.
//
// Namespaces, links, addresses and sysctls are made with netlink and /proc
// alone and are named so that `ip netns` finds them. What runs and where is
// kept in a state directory: a lab outlives the command that made it.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Options says what Up builds. The zero value is the reference lab: both
// directors, adverts every second, lvs-a preferred.
type Options struct {
	// Topology is how the nodes are arranged and IPVS forwards. Default DR.
	Topology Topology
	// IPv6 gives every node IPv6 addresses beside the others, and the directors
	// an instance VI_6 and a virtual_server for VIP6. For DR.
	IPv6 bool
	// Name prefixes the namespaces ("baton" makes baton-lvs-a) and names the
	// state directory. Default "baton".
	Name string
	// Dir is the state directory. Default /run/NAME-lab. It must not exist, or
	// be one that an earlier lab left.
	Dir string
	// Binary is the baton program that directors, real servers and load
	// clients run. Default: the running program.
	Binary string
	// Directors are the nodes on which `baton run` is started. Default: both.
	// An empty slice that is not nil starts none.
	Directors []string
	// AdvertInterval is advert_int. Default 1 s.
	AdvertInterval time.Duration
	// Version is the VRRP version, 2 or 3. Default 3.
	Version int
	// Priorities by director. Default lvs-a 150, lvs-b 100.
	Priorities map[string]int
	// NoPreempt makes a returning director stay backup.
	NoPreempt bool
	// CheckInterval is the delay_loop of the health checks. Default 1 s.
	CheckInterval time.Duration
	// GlobalTOML, InstanceTOML and ServerTOML are lines added to [global], to
	// each vrrp_instance and to each virtual_server; ExtraTOML follows after all.
	GlobalTOML, InstanceTOML, ServerTOML, ExtraTOML string
	// Config replaces the whole configuration file. Paths of sockets and
	// directories in it must be those of PathsIn.
	Config string
	// Env is added to the environment of the directors.
	Env []string
	// Patience bounds every wait for a condition. Default 2 min, which a slow
	// emulated processor needs.
	Patience time.Duration
	// Progress, if set, hears what is being done, one sentence at a time.
	Progress func(string)

	temporary bool
}

func (o Options) withDefaults() (Options, error) {
	if o.Topology == "" {
		o.Topology = DR
	}
	if err := o.Topology.check(); err != nil {
		return o, err
	}
	if o.IPv6 && o.Topology != DR {
		return o, fmt.Errorf("arrange lab as %q with IPv6: only %q has it", o.Topology, DR)
	}
	if o.Name == "" {
		o.Name = "baton"
	}
	if o.Dir == "" {
		o.Dir = DefaultDir(o.Name)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("resolve lab directory: %w", err)
	}
	o.Dir = dir
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return o, fmt.Errorf("find own program: %w", err)
		}
	}
	if o.Directors == nil {
		o.Directors = []string{LVSA, LVSB}
	}
	for _, d := range o.Directors {
		if !isDirector(d) {
			return o, fmt.Errorf("start director %q: the lab has %s and %s", d, LVSA, LVSB)
		}
	}
	if o.AdvertInterval == 0 {
		o.AdvertInterval = time.Second
	}
	if o.Version == 0 {
		o.Version = 3
	}
	if o.CheckInterval == 0 {
		o.CheckInterval = time.Second
	}
	if o.Priorities == nil {
		o.Priorities = map[string]int{LVSA: 150, LVSB: 100}
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o, nil
}

// DefaultDir is where a lab of that name keeps its state.
func DefaultDir(name string) string { return filepath.Join("/run", name+"-lab") }

// Lab is a built topology. Its methods may be called from several goroutines.
type Lab struct {
	opts Options

	mu      sync.Mutex
	state   state
	reapers sync.WaitGroup
}

// Errors that callers tell apart.
var (
	// ErrUp is returned by Up when a lab of that name exists already.
	ErrUp = errors.New("lab is up already")
	// ErrDown is returned by Open when there is no lab of that name.
	ErrDown = errors.New("lab is not up")
)

// Up builds the topology, starts the real servers and the directors, and
// returns when each of them answers on its control socket; Settle waits for a
// master. On failure nothing is left behind. It needs root.
func Up(ctx context.Context, o Options) (*Lab, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("build lab: network namespaces need root (run it with sudo)")
	}
	unlock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := checkAbsent(o); err != nil {
		return nil, err
	}
	l := &Lab{opts: o, state: newState(o)}
	if err := l.build(ctx); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Patience)
		defer cancel()
		return nil, errors.Join(err, l.remove(cleanup))
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	if err := l.save(); err != nil {
		return err
	}
	l.opts.Progress("building namespaces and links")
	if err := l.buildTopology(); err != nil {
		return fmt.Errorf("build topology: %w", err)
	}
	if err := os.WriteFile(l.state.Config, []byte(configText(l.opts)), 0o644); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	l.opts.Progress("starting real servers")
	for _, node := range []string{RS1, RS2} {
		if err := l.StartServer(ctx, node); err != nil {
			return err
		}
	}
	for _, node := range l.opts.Directors {
		l.opts.Progress("starting director " + node)
		if err := l.StartDirector(ctx, node); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.state.Phase = phaseUp
	l.mu.Unlock()
	return l.save()
}

// Open adopts a lab that another process built.
func Open(dir string) (*Lab, error) {
	s, err := loadState(dir)
	if err != nil {
		return nil, err
	}
	o, err := Options{
		Topology: s.Topology, IPv6: s.IPv6, Name: s.Name, Dir: s.Dir, Binary: s.Binary, AdvertInterval: s.AdvertInterval,
		Directors: s.Directors, Priorities: s.Priorities, NoPreempt: s.NoPreempt, Version: s.Version,
	}.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Lab{opts: o, state: s}, nil
}

// Down removes everything: the processes on record, every other process in the
// lab's namespaces, the namespaces, the state directory.
func (l *Lab) Down(ctx context.Context) error {
	unlock, err := lockDir(l.opts.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	return l.remove(ctx)
}

// Down removes the lab of that name and directory ("" is the default one),
// also what a crash or an interrupted Up left. It says whether there was any.
func Down(ctx context.Context, name, dir string) (bool, error) {
	o, err := Options{Name: name, Dir: dir}.withDefaults()
	if err != nil {
		return false, err
	}
	unlock, err := lockDir(o.Dir)
	if err != nil {
		return false, err
	}
	defer unlock()
	l := &Lab{opts: o, state: newState(o)}
	s, err := loadState(o.Dir)
	if err != nil && !errors.Is(err, ErrDown) {
		return false, err
	}
	if err == nil {
		l.opts.Name, l.state = s.Name, s
	}
	found := err == nil || len(presentNamespaces(l.opts.Name)) > 0
	return found, l.remove(ctx)
}

// Name is the prefix of the lab's namespaces.
func (l *Lab) Name() string { return l.opts.Name }

// Topology is how the lab's nodes are arranged.
func (l *Lab) Topology() Topology { return l.opts.Topology }

// ConfigFile is the configuration that both directors read.
func (l *Lab) ConfigFile() string { return l.state.Config }

// Dir is the state directory; each node keeps its files in a directory of its
// name below it.
func (l *Lab) Dir() string { return l.opts.Dir }

// Namespace is the name under /run/netns of a node.
func (l *Lab) Namespace(node string) string { return namespaceName(l.opts.Name, node) }

// Command prepares a program that will run inside a node; start it with Start.
func (l *Lab) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Start starts cmd inside a node's namespace, with that namespace's /sys.
func (l *Lab) Start(node string, cmd *exec.Cmd) error {
	return inNamespace(l.Namespace(node), func() error {
		if err := mountSys(); err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start %s in %s: %w", cmd.Path, node, err)
		}
		return nil
	})
}

// Run runs a program inside a node and returns its standard output and error
// together, at most 1 MiB.
func (l *Lab) Run(ctx context.Context, node, name string, args ...string) (string, error) {
	cmd := l.Command(ctx, name, args...)
	var out tailBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := l.Start(node, cmd); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("run %s in %s: %w: %s", name, node, err, out.String())
	}
	return out.String(), nil
}

// In calls f on a thread that is inside the node's network namespace: sockets
// made by f itself, not by goroutines it starts, belong to that namespace.
func (l *Lab) In(node string, f func() error) error {
	return inNamespace(l.Namespace(node), f)
}
