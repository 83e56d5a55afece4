//go:build linux && kernel

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// up builds a lab without directors and removes it with the test.
func up(t *testing.T, o Options) *Lab {
	t.Helper()
	if o.Name == "" {
		o.Name = "bt"
	}
	if o.Directors == nil {
		o.Directors = []string{}
	}
	l, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return l
}

func run(t *testing.T, l *Lab, node, command string) string {
	t.Helper()
	words := strings.Fields(command)
	out, err := l.Run(t.Context(), node, words[0], words[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// direct makes a node a director by hand.
func direct(t *testing.T, l *Lab, node string) {
	t.Helper()
	service := fmt.Sprintf("%s:%d", VIP, ServicePort)
	run(t, l, node, "ipvsadm -A -t "+service+" -s rr")
	for _, rs := range []string{RS1, RS2} {
		run(t, l, node, fmt.Sprintf("ipvsadm -a -t %s -r %s:%d -g", service, Address(rs), ServicePort))
	}
	run(t, l, node, "ip addr add "+VIP.String()+"/24 dev eth0")
}

func TestClientIsBalancedOverBothServers(t *testing.T) {
	l := up(t, Options{})
	direct(t, l, LVSA)
	if holds, err := l.HoldsVIP(LVSA); err != nil || !holds {
		t.Errorf("lvs-a holds the VIP: %v, %v", holds, err)
	}
	load, err := l.StartLoad(t.Context(), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Await(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if err := load.Mark(t.Context(), "second half"); err != nil {
		t.Fatal(err)
	}
	if err := load.Await(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	r, err := load.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.Failed() > 0 || r.Requests < 200 {
		t.Errorf("%d requests, failures %v", r.Requests, r.Failures)
	}
	if d := r.Answers[RS1] - r.Answers[RS2]; d < -2 || d > 2 {
		t.Errorf("answers are not balanced: %v", r.Answers)
	}
	// What was on its way at the mark belongs to the first half: hence the wait for more.
	half, ok := r.Phase("second half")
	if !ok || half.Answered() < 100 || half.Answered() >= r.Answered() {
		t.Errorf("second half is %+v of %d", half, r.Answered())
	}
	if table := run(t, l, LVSA, "ipvsadm -Ln"); strings.Count(table, "Route") != 2 {
		t.Errorf("table of lvs-a:\n%s", table)
	}
}

func TestCutTakesTheCarrierOfOneNode(t *testing.T) {
	l := up(t, Options{})
	for _, node := range Nodes()[1:] {
		if err := l.Cut(node); err != nil {
			t.Fatal(err)
		}
		carriers(t, l, node)
		if err := l.Plug(node); err != nil {
			t.Fatal(err)
		}
		carriers(t, l, "")
	}
	if err := l.Cut(SwitchNode); err == nil {
		t.Error("the switch itself was cut")
	}
	if err := l.Cut("lvs-c"); err == nil || !strings.Contains(err.Error(), "lvs-a") {
		t.Errorf("error for an unknown node is %v", err)
	}
}

// carriers waits until the given node alone has no carrier.
func carriers(t *testing.T, l *Lab, cut string) {
	t.Helper()
	err := await(t.Context(), time.Minute, func() (string, error) {
		for _, node := range Nodes()[1:] {
			if node == RouterNode && cut == ClientNode {
				continue // its LANInterface is another one than the cut one
			}
			up, err := l.Carrier(node)
			if err != nil || up != (node != cut) {
				return fmt.Sprintf("carrier of %s is %v, %v", node, up, err), err
			}
		}
		return "", nil
	})
	if err != nil {
		t.Errorf("cut %q: %v", cut, err)
	}
}

func TestSecondUpIsRefused(t *testing.T) {
	l := up(t, Options{})
	_, err := Up(t.Context(), Options{Name: l.Name(), Directors: []string{}})
	if !errors.Is(err, ErrUp) || !strings.Contains(err.Error(), "baton lab down") {
		t.Errorf("second up: %v", err)
	}
	if !l.Running(RS1) || len(presentNamespaces(l.Name())) != len(Nodes()) {
		t.Error("the refused up damaged the lab")
	}
	if _, err := Up(t.Context(), Options{Name: "bt2", Dir: "/etc", Directors: []string{}}); err == nil {
		t.Error("/etc was taken for a lab directory")
	}
}

func TestAnotherCommandFindsTheLab(t *testing.T) {
	l := up(t, Options{})
	found, err := Open(l.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if err := found.SetServer(t.Context(), RS1, Slow); err != nil {
		t.Fatal(err)
	}
	s := found.Status(t.Context())
	i := slices.IndexFunc(s.Nodes, func(n NodeStatus) bool { return n.Name == RS1 })
	if n := s.Nodes[i]; !n.Present || !n.Carrier || n.PID != l.PID(RS1) || n.PID == 0 || n.State != string(Slow) {
		t.Errorf("rs1 is %+v", n)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrDown) {
		t.Errorf("open of a lab that is not there: %v", err)
	}
}

func TestDownRemovesWhatACrashLeft(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *Lab){
		"state kept": func(*testing.T, *Lab) {},
		"state lost": func(t *testing.T, l *Lab) {
			if err := os.RemoveAll(l.Dir()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Up(t.Context(), Options{Name: "bt", Directors: []string{}})
			if err != nil {
				t.Fatal(err)
			}
			stranger := l.Command(t.Context(), "sleep", "1000") // recorded nowhere
			if err := l.Start(LVSB, stranger); err != nil {
				t.Fatal(err)
			}
			server := l.PID(RS1)
			lose(t, l)
			found, err := Down(t.Context(), "bt", "")
			if err != nil || !found {
				t.Fatalf("down: %v, %v", found, err)
			}
			if err := stranger.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Errorf("the stranger ended with %v", err)
			}
			l.reapers.Wait()
			if err := syscall.Kill(server, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("real server lives on: %v", err)
			}
			if left := presentNamespaces("bt"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if _, err := os.Stat(l.Dir()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("directory: %v", err)
			}
			if found, err := Down(t.Context(), "bt", ""); err != nil || found {
				t.Errorf("second down: %v, %v", found, err)
			}
		})
	}
}

func TestTemporaryLabReplacesAnAbandonedOne(t *testing.T) {
	l, err := Up(t.Context(), Options{Name: "bt", Directors: []string{}, temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := Down(context.WithoutCancel(t.Context()), "bt", ""); err != nil {
			t.Error(err)
		}
	})
	again := func() error {
		return Temporarily(t.Context(), Options{Name: "bt", Directors: []string{}}, func(*Lab) error { return nil })
	}
	if err := again(); !errors.Is(err, ErrUp) {
		t.Errorf("its builder is alive, yet: %v", err)
	}
	l.mu.Lock()
	l.state.BuilderStart++ // as if we had been killed and the pid taken by another
	l.mu.Unlock()
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	// Without a director there is nothing to settle: that far it must come.
	if err := again(); err == nil || errors.Is(err, ErrUp) || !strings.Contains(err.Error(), "no director runs") {
		t.Errorf("abandoned lab: %v", err)
	}
	if left := presentNamespaces("bt"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestUpThatFailsLeavesNothing(t *testing.T) {
	// /bin/false is no baton: the first real server does not come up.
	_, err := Up(t.Context(), Options{Name: "bt", Binary: "/bin/false"})
	if err == nil || !strings.Contains(err.Error(), "start real server rs1") {
		t.Fatalf("up: %v", err)
	}
	if left := presentNamespaces("bt"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(DefaultDir("bt")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory: %v", err)
	}
}

func TestKillFamilyKillsChildrenAsWell(t *testing.T) {
	l := up(t, Options{})
	// A shell whose child would tell of its parent's death.
	cmd := exec.Command("sh", "-c", "sleep 1000 & sleep 1000 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := l.Start(LVSA, cmd); err != nil {
		t.Fatal(err)
	}
	st, err := readStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p := process{PID: cmd.Process.Pid, Start: st.start, Node: LVSA}
	err = await(t.Context(), time.Minute, func() (string, error) {
		members, err := p.family()
		if len(members) != 3 {
			return fmt.Sprintf("family has %d members", len(members)), err
		}
		return "", err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.killFamily(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the shell ended well")
	}
	err = await(t.Context(), time.Minute, func() (string, error) {
		pids, err := processesIn(l.Namespace(LVSA))
		if len(pids) > 0 {
			return fmt.Sprintf("%v live on", pids), err
		}
		return "", err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestServerModesAsTheClientSeesThem(t *testing.T) {
	l := up(t, Options{})
	target := fmt.Sprintf("http://%s/", Address(RS1))
	for mode, want := range map[Mode]Failure{Refuse: Refused, Hang: TimedOut, Broken: BadStatus, Slow: "", Answer: ""} {
		if err := l.SetServer(t.Context(), RS1, mode); err != nil {
			t.Fatal(err)
		}
		timeout := 20 * time.Second
		if mode == Hang {
			timeout = 300 * time.Millisecond
		}
		load, err := l.StartLoad(t.Context(), LoadOptions{Target: target, Interval: 20 * time.Millisecond, Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		err = await(t.Context(), time.Minute, func() (string, error) {
			if n := load.Progress().Requests; n < 5 {
				return fmt.Sprintf("%d requests", n), nil
			}
			return "", nil
		})
		if err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		r, err := load.Stop(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests == 0 || r.Failures[want] != r.Failed() || (want == "") != (r.Failed() == 0) {
			t.Errorf("%s: %d requests, failures %v", mode, r.Requests, r.Failures)
		}
		if mode == Slow && r.Slowest < slowAnswer {
			t.Errorf("slow: slowest answer took %s", r.Slowest)
		}
	}
	if err := l.SetServer(t.Context(), RS1, "nonsense"); err == nil || !strings.Contains(err.Error(), "refuse") {
		t.Errorf("nonsense mode: %v", err)
	}
}
