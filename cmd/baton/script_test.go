package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/doctor"
	"baton/internal/event"
	"baton/internal/plan"
	"baton/internal/realserver"
	"baton/internal/settings"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	drainBeat = time.Millisecond
	os.Exit(m.Run())
}

// atHome serialises what depends on the working directory and on the places
// where a plan meets the machine.
var atHome sync.Mutex

// code N ARGUMENT… runs baton, which must exit with N, in the script's
// directory. It runs in this process, for starting one under the race detector
// takes longer than all that is tested here.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: code N ARGUMENT…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	atHome.Lock()
	defer atHome.Unlock()
	here, err := os.Getwd()
	ts.Check(err)
	ts.Check(os.Chdir(ts.MkAbs(".")))
	defer func() { ts.Check(os.Chdir(here)) }()
	defer func(m plan.Machine) { machine = m }(machine)
	defer func(was hospital) { clinic = was }(clinic)
	fixtures(ts)
	if got := run(args[1:], ts.Stdout(), ts.Stderr()); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// fixtures puts files of the script in the kernel's place.
func fixtures(ts *testscript.TestScript) {
	if name := ts.Getenv("TABLE"); name != "" {
		machine.Kernel = func() (plan.Kernel, error) { return fixedKernel{ipvstest.New(ts.ReadFile(name))}, nil }
	}
	if name := ts.Getenv("NETWORK"); name != "" {
		machine.Network = func(*conf.Config, *control.Status) (plan.Network, error) {
			var out plan.Network
			return out, json.Unmarshal([]byte(ts.ReadFile(name)), &out)
		}
	}
	if name := ts.Getenv("FACTS"); name != "" {
		clinic = fixedClinic(ts.ReadFile(name), ts.ReadFile(ts.Getenv("MENDED")))
	}
	machine.Settings = func(k plan.Kernel) settings.Machine {
		values := map[string]string{"expire_nodest_conn": "0", "sync_threshold": "3\t50"}
		return settings.Machine{Kernel: k,
			Sysctl: func(name string) (string, error) {
				v, there := values[filepath.Base(name)]
				if !there {
					return "", fs.ErrNotExist
				}
				return v, nil
			},
			Link: func(name string) (int, error) { return map[string]int{"eth0": 2}[name], nil },
		}
	}
}

// fixedClinic is a machine with the facts of a script, and with others once
// something was mended.
func fixedClinic(facts, mended string) hospital {
	read := func(from string) (doctor.Facts, error) {
		var f doctor.Facts
		return f, json.Unmarshal([]byte(from), &f)
	}
	look := func(f *doctor.Facts) (err error) { *f, err = read(mended); return err }
	return hospital{
		gather:  func(_ context.Context, _ *conf.Config, o doctor.Options) (doctor.Facts, error) { return read(facts) },
		refresh: func(_ context.Context, _ *conf.Config, f *doctor.Facts) error { return look(f) },
		gatherServer: func(context.Context, *realserver.Manager, []realserver.Want, doctor.Options) (doctor.Facts, error) {
			return read(facts)
		},
		refreshServer: func(_ context.Context, _ *realserver.Manager, _ []realserver.Want, f *doctor.Facts) error {
			return look(f)
		},
		apply: func(_ context.Context, findings []doctor.Finding) (done []string, err error) {
			for _, f := range findings {
				if f.Fix != nil {
					done = append(done, f.Fix.String())
				}
			}
			return done, nil
		},
	}
}

type fixedKernel struct{ *ipvstest.Kernel }

func (fixedKernel) Close() error { return nil }

func (k fixedKernel) Apply(context.Context, ipvs.Op) error { panic("plan has changed the kernel") }

// answers are a director's, from a file of the script.
type answers struct {
	Status   control.Status
	Reload   control.Reload
	Explain  map[string]control.Explanation
	Failover map[string]control.Failover // by instance
	Drain    map[string]control.Orders   // by server, as all that follow
	Drains   map[string][]control.Orders // one after the other, the last one again and again
	Undrain  map[string]control.Orders
	Weight   map[string]control.Orders // by server and weight, "192.168.16.103 9"
	Refusal  *control.Error            // of every order
	Log      control.Log
	Events   []event.Event
	Live     []event.Event // sent to followers, whereupon the stream ends
}

// oracle answers control requests.
type oracle struct{ *answers }

func (d oracle) Status(context.Context) (control.Status, error) { return d.answers.Status, nil }
func (d oracle) Reload(context.Context) (control.Reload, error) { return d.answers.Reload, nil }

func (d oracle) Failover(_ context.Context, instance string) (control.Failover, error) {
	return d.answers.Failover[instance], nil
}

func (d oracle) Explain(_ context.Context, name string) (control.Explanation, error) {
	if e, ok := d.answers.Explain[name]; ok {
		return e, nil
	}
	return control.Explanation{}, &control.Error{Status: 404, Message: "no instance, real server or service is called " + name, Remedy: "known are VI_1"}
}

func (d oracle) Metrics(context.Context, io.Writer) error { return d.refused() }

func (d oracle) Log(context.Context) (control.Log, error) { return d.answers.Log, nil }

func (d oracle) SetLog(_ context.Context, req control.LogRequest) (control.Log, error) {
	out := d.answers.Log
	out.Subsystems = nil
	for _, s := range d.answers.Log.Subsystems {
		if level, ok := req.Levels[s.Subsystem]; ok {
			s.Level, s.Until = level, out.Time.Add(req.Duration())
			if level == control.DefaultLevel {
				s.Level, s.Until = out.Level, time.Time{}
			}
		}
		out.Subsystems = append(out.Subsystems, s)
	}
	return out, nil
}

// refused is the answer to an order that is not in the file.
func (d oracle) refused() error {
	if d.Refusal != nil {
		d.Refusal.Status = 409
		return d.Refusal
	}
	return errors.New("the script has no such answer")
}

func (d oracle) order(from map[string]control.Orders, key string) (control.Orders, error) {
	if out, ok := from[key]; ok {
		return out, nil
	}
	return control.Orders{}, d.refused()
}

func (d oracle) Drain(_ context.Context, req control.DrainRequest) (control.Orders, error) {
	key := req.Server
	if req.Timeout != nil {
		key += " " + req.Timeout.String()
	}
	return d.order(d.answers.Drain, key)
}

func (d oracle) Drains(_ context.Context, req control.ServerRequest) (control.Orders, error) {
	all := d.answers.Drains[req.Server]
	if len(all) == 0 {
		return control.Orders{}, d.refused()
	}
	if len(all) > 1 {
		d.answers.Drains[req.Server] = all[1:]
	}
	return all[0], nil
}

func (d oracle) Undrain(_ context.Context, req control.ServerRequest) (control.Orders, error) {
	return d.order(d.answers.Undrain, req.Server)
}

func (d oracle) Weight(_ context.Context, req control.WeightRequest) (control.Orders, error) {
	key := req.Server + " default"
	if req.Weight.Value != nil {
		key = fmt.Sprintf("%s %d", req.Server, *req.Weight.Value)
	}
	return d.order(d.answers.Weight, key)
}

func (d oracle) Events(since time.Time) iter.Seq[event.Event] {
	var out []event.Event
	for _, e := range d.answers.Events {
		if !e.Time.Before(since) {
			out = append(out, e)
		}
	}
	return slices.Values(out)
}

func (d oracle) Follow(context.Context) <-chan event.Event {
	ch := make(chan event.Event, len(d.Live))
	for _, e := range d.Live {
		ch <- e
	}
	close(ch)
	return ch
}

// serve SOCKET FILE starts a director that answers from FILE.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve SOCKET FILE")
	}
	var a answers
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &a))
	stop, err := listen(ts.MkAbs(args[0]), &a)
	ts.Check(err)
	ts.Defer(func() { ts.Check(stop()) })
}

// listen starts a director that answers on a socket.
func listen(socket string, a *answers) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	srv := control.NewServer(control.ServerOptions{Socket: socket, GID: -1, Backend: oracle{a}})
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("unix", socket)
		if err == nil {
			return stop, c.Close()
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(err, stop())
		}
	}
}

// start is listen for tests in Go: a director whose status names a node.
func start(t *testing.T, socket, node string) (stop func()) {
	t.Helper()
	stopped, err := listen(socket, &answers{Status: control.Status{Node: node}})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := stopped(); err != nil {
			t.Error(err)
		}
	}
}

func TestScripts(t *testing.T) {
	dir, err := filepath.Abs("testdata/script")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"serve": serve, "code": code},
	})
}
