// Package director composes Baton: it is the only package that knows all the
// others. Run is the daemon; RunSpeaker and RunProber are its two children.
package director

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/journal"
	"baton/internal/settings"
	"baton/ipvs"
)

// Options say what `baton run` was asked for.
type Options struct {
	ConfigFile string
	Node       string // "" is the configuration's router_id, else the host name
	Version    string
	Log        *os.File // where lines go; normally standard error
}

// Run is the daemon. It returns when it has been stopped by SIGTERM, SIGINT or
// ctx and everything is handed over; an error before that means that nothing
// was begun. conf.Problems are returned as they are.
func Run(ctx context.Context, opts Options) (refused error) {
	begun := time.Now()
	plenty()
	_ = smallPages() // it works as well with larger ones
	// From the first moment to the last: a SIGHUP while it starts must not end it,
	// nor a second SIGTERM the handover that the first has begun.
	caught := make(chan os.Signal, 16)
	signal.Notify(caught, unix.SIGHUP, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(caught)
	cfg, err := conf.Load(opts.ConfigFile, opts.Node)
	if err != nil {
		return err
	}
	var traces traces
	lock, err := traces.lockRuntime(cfg.Global.RuntimeDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	started := false
	defer func() {
		if !started { // and while the lock is ours
			refused = errors.Join(refused, traces.remove())
		}
	}()
	hold, err := holdNamespace(cfg.Global.RuntimeDir)
	if err != nil {
		return err
	}
	defer hold.Close()
	if err := traces.makeDir(cfg.Global.StateDir, 0o750); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	gid, err := groupID(cfg.Global.ControlGroup)
	if err != nil {
		return err
	}
	kernel, err := ipvs.OpenKernel()
	if err != nil {
		return err // which says that IPVS could not be opened
	}
	defer kernel.Close()
	observed, err := kernel.Read(ctx)
	if err != nil {
		return fmt.Errorf("read ipvs table: %w", err)
	}
	if err := preflight(cfg, settingOps(ctx, settings.On(kernel), cfg), thisGround); err != nil {
		return err
	}
	log := newLogger(opts.Log, string(cfg.Global.LogFormat))
	defer log.close()
	c := newCore(opts, log)
	c.levels.base = event.Level(cfg.Global.LogLevel)
	c.journal, err = journal.Open(journal.Options{Dir: cfg.Global.StateDir, Failed: func(err error, count uint64) {
		c.postAlways(func() { c.say(event.JournalFailed, event.F(event.Err, err), event.F(event.Count, count)) })
	}})
	if err != nil {
		return err
	}
	defer c.journal.Close()
	c.prog, err = newProgrammer(kernel, cfg.Global.StateDir, cfg.Global.ResyncInterval, func(p pass) {
		c.post(context.Background(), func() { c.passed(p) })
	})
	if err != nil {
		return err
	}
	c.reading = &reading{kernel: kernel}
	c.readers = c.newReaders(cfg.Global)
	c.steward = newSteward(settings.On(kernel), cfg.Global.RuntimeDir, cfg.Global.ResyncInterval, func(p settled) {
		c.post(context.Background(), func() { c.gotSettled(p) })
	})
	c.notifier.run = runNotify(cfg.Global.ProberUser)
	started = true
	c.say(event.DirectorStarted, event.F(event.Version, opts.Version), event.F(event.PID, os.Getpid()), event.F(event.File, opts.ConfigFile))
	c.loadOrders(cfg.Global.StateDir)
	c.adopt(cfg, observed, c.prog.owned)
	c.tellApplied(conf.First(cfg, maxDetail/10), begun)
	c.tellWarnings(cfg)
	if err := keepCapabilities(directorCaps); err != nil {
		c.say(event.ChildLimited, event.F(event.Child, "director"), event.F(event.Reason, err),
			event.F(event.Detail, "the director keeps privileges that it does not need"))
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The core outlives the tasks: they still have facts to tell while they end.
	coreCtx, stopCore := context.WithCancel(context.Background())
	var core sync.WaitGroup
	core.Go(func() { c.run(coreCtx) })

	tasks, err := c.tasks(cfg, gid, caught, stop)
	if err == nil {
		err = runTasks(ctx, tasks, func() {
			notifySystemd("READY=1")
			_ = c.ask(ctx, func() {
				c.say(event.DirectorReady, event.F(event.Took, round(time.Since(begun))))
				c.tellRoles()
			})
			trim() // after what the core had before it: the report of the first pass
		})
	}
	if err == nil {
		err = c.clearOnStop(coreCtx, cfg.Global.OnStop)
	}
	// The speaker has said its last word, and the core takes it in order.
	if c.ask(coreCtx, func() { c.notifyStop(); c.notifyOmega() }) == nil {
		c.notifier.stop(stopNotifyWithin)
	}
	stopCore()
	core.Wait()
	c.saveOrders()
	if failed := c.record.write(); failed != nil {
		c.tellUnsaved(failed)
	}
	c.say(event.DirectorStopped, event.F(event.Took, round(time.Since(c.stopAsked(begun)))))
	return err
}

// tasks are the daemon's parts. The control socket is gid's.
func (c *core) tasks(cfg *conf.Config, gid int, caught <-chan os.Signal, stop context.CancelCauseFunc) ([]Task, error) {
	speaker, err := c.speakerChild()
	if err != nil {
		return nil, err
	}
	prober, err := c.proberChild(cfg.Global.ProberUser)
	if err != nil {
		return nil, err
	}
	return []Task{
		newTask("signals", func(ctx context.Context, ready func()) error { return c.signals(ctx, ready, caught, stop) }),
		newTask("ipvs", c.prog.run),
		newTask("ipvs settings", c.steward.run),
		childTask("speaker", speaker),
		childTask("prober", prober),
		newTask("control socket", func(ctx context.Context, ready func()) error {
			fault := c.controlFault(ctx)
			srv := control.NewServer(control.ServerOptions{Socket: cfg.Global.ControlSocket, GID: gid, Backend: c, Notify: fault})
			ready()
			if err := srv.Run(ctx); err != nil {
				// Without the socket operators are blind, but traffic is not.
				fault(err)
				<-ctx.Done()
			}
			return nil
		}),
		newTask("control listener", func(ctx context.Context, ready func()) error {
			ready()
			c.readers.Run(ctx)
			return nil
		}),
		newTask("reachability", c.watchReach),
		newTask("scripts", func(ctx context.Context, ready func()) error {
			ready()
			return c.watcher.Run(ctx)
		}),
		newTask("path check", func(ctx context.Context, ready func()) error {
			ready()
			return c.paths.checker.Run(ctx)
		}),
		newTask("orders", func(ctx context.Context, ready func()) error {
			ready()
			c.record.run(ctx, func(err error) { c.postAlways(func() { c.tellUnsaved(err) }) })
			return nil
		}),
		newTask("watchdog", func(ctx context.Context, ready func()) error {
			ready()
			return c.feedWatchdog(ctx)
		}),
	}, nil
}

// groupID resolves control_group; -1 leaves the socket with our own group.
func groupID(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("look up control_group %q: %w (mend with: groupadd --system %s)", name, err, name)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("look up control_group %q: %w", name, err)
	}
	return gid, nil
}

// childTask supervises a child; it is ready when the child has first said
// hello.
func childTask(name string, c *supervised) Task {
	return &task{name: name, ready: c.hello, run: func(ctx context.Context) error {
		return c.Supervise(ctx, stopChild)
	}}
}

// supervised is a child with the moment of its first hello.
type supervised struct {
	ipc.Child
	hello chan struct{}
	once  sync.Once
}

// errSignal is why the daemon stops when it was asked to.
type errSignal struct{ sig os.Signal }

func (e errSignal) Error() string { return e.sig.String() }

// signals turns SIGHUP into a reload and SIGTERM or SIGINT into a stop.
func (c *core) signals(ctx context.Context, ready func(), ch <-chan os.Signal, stop context.CancelCauseFunc) error {
	ready()
	reloads := make(chan struct{}, 1) // a storm of SIGHUP is one reload and one more
	go func() {
		for range reloads {
			notifyReloading()
			// What happened is told by events; SIGHUP has nobody to answer to.
			_, _ = c.Reload(ctx)
			notifySystemd("READY=1")
		}
	}()
	defer close(reloads)
	for {
		select {
		case <-ctx.Done():
			c.stopping(context.Cause(ctx))
			return nil
		case s := <-ch:
			if s == unix.SIGHUP {
				select {
				case reloads <- struct{}{}:
				default:
				}
				continue
			}
			stop(errSignal{s})
			c.stopping(errSignal{s})
			return nil
		}
	}
}

// stopping notes that and why the daemon ends.
func (c *core) stopping(why error) {
	notifySystemd("STOPPING=1")
	c.post(context.Background(), func() {
		if !c.stopAt.IsZero() {
			return
		}
		c.stopAt = time.Now()
		reason := "asked to"
		if why != nil && !errors.Is(why, context.Canceled) {
			reason = why.Error()
		}
		c.say(event.DirectorStopping, event.F(event.Reason, reason))
	})
}

// stopAsked is when the stop began, or the given time if nobody asked.
func (c *core) stopAsked(otherwise time.Time) time.Time {
	if c.stopAt.IsZero() {
		return otherwise
	}
	return c.stopAt
}

// tellWarnings says what in a valid configuration is probably not meant so.
func (c *core) tellWarnings(cfg *conf.Config) {
	for i, w := range cfg.Warnings {
		if i == maxWarnings {
			c.say(event.ConfigWarning, event.F(event.File, c.opts.ConfigFile),
				event.F(event.Detail, fmt.Sprintf("and %s more: baton check lists them", plural(len(cfg.Warnings)-i, "warning"))))
			return
		}
		c.say(event.ConfigWarning, event.F(event.File, c.opts.ConfigFile), event.F(event.Detail, w))
	}
}

// maxWarnings bounds the lines that a configuration is worth: ten thousand
// servers without a check are one mistake.
const maxWarnings = 20

// tellApplied says that a configuration is in force.
func (c *core) tellApplied(d conf.Changes, begun time.Time) {
	c.say(event.ConfigApplied, event.F(event.File, c.opts.ConfigFile), event.F(event.Added, d.Added),
		event.F(event.Changed, d.Changed), event.F(event.Deleted, d.Deleted), event.F(event.Took, round(time.Since(begun))), event.F(event.Detail, joinSome(d.List, d.Added+d.Changed+d.Deleted, conf.Change.String, maxDetail)))
}

// maxDetail bounds the changes that one line lists; `baton reload` prints all.
const maxDetail = 400

// joinSome joins what each is in words as far as it fits into about n bytes, and
// says how many more there are of the total.
func joinSome[T any](some []T, total int, words func(T) string, n int) string {
	var b strings.Builder
	for i, one := range some {
		l := words(one)
		if i > 0 && b.Len()+len(l) > n {
			some = some[:i]
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(l)
	}
	if total > len(some) {
		fmt.Fprintf(&b, "; and %d more", total-len(some))
	}
	return b.String()
}
