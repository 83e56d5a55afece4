package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// moduleState looks where modprobe(8) does.
func moduleState(name string) ModuleState {
	if _, err := os.Stat("/sys/module/" + name); err == nil {
		return Loaded
	}
	dir := "/lib/modules/" + release()
	for _, list := range []struct {
		file  string
		state ModuleState
	}{{"modules.builtin", Loaded}, {"modules.dep", Loadable}} {
		found, err := lists(filepath.Join(dir, list.file), name)
		switch {
		case errors.Is(err, os.ErrNotExist) && list.file == "modules.dep":
			return Unlisted
		case found:
			return list.state
		}
	}
	return Missing
}

// lists says whether a list of modules has one of a name.
func lists(file, name string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	s := bufio.NewScanner(io.LimitReader(f, 16<<20))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		path, _, _ := strings.Cut(s.Text(), ":")
		base, _, _ := strings.Cut(filepath.Base(path), ".ko")
		if strings.ReplaceAll(base, "-", "_") == name {
			return true, nil
		}
	}
	return false, s.Err()
}

// readClock asks the kernel, as adjtimex(2) does without a change.
func readClock() ClockFacts {
	const unsynchronised = 0x0040 // STA_UNSYNC of sys/timex.h
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return ClockFacts{Failed: err.Error()}
	}
	const timeError = 5 // TIME_ERROR
	return ClockFacts{Synchronised: state != timeError && t.Status&unsynchronised == 0}
}

// processes reads this process, the running director's, and those beside it.
func (g *gathering) processes() {
	g.f.Self = readProcess(os.Getpid(), "doctor")
	g.f.Processes = map[string]ProcessFacts{}
	if st := g.f.Status; st != nil {
		g.f.Processes["director"] = readProcess(st.PID, "director")
		for _, c := range st.Children {
			if c.PID != 0 {
				g.f.Processes[c.Name] = readProcess(c.PID, c.Name)
			}
		}
	}
	for name, p := range g.f.Processes {
		if p.Failed != "" {
			g.failed(Failure{ID: "limit.read", What: fmt.Sprintf("the %s (pid %d) could not be looked at: %s", name, p.PID, p.Failed), Mend: "sudo baton doctor"})
		}
	}
	g.f.Others = meddling()
	_, err := net.InterfaceByName(kubeDevice)
	g.f.KubeIPVS = err == nil
}

func readProcess(pid int, name string) ProcessFacts {
	p := ProcessFacts{PID: pid, Name: name}
	dir := fmt.Sprintf("/proc/%d/", pid)
	status, err := readSmall(dir + "status")
	if err == nil {
		for line := range strings.Lines(status) {
			switch key, value, _ := strings.Cut(line, ":"); key {
			case "CapEff":
				p.Caps, _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			case "VmLck":
				if f := strings.Fields(value); len(f) > 0 {
					p.Locked, _ = strconv.ParseUint(f[0], 10, 64)
				}
			}
		}
		var limits string
		limits, err = readSmall(dir + "limits")
		for line := range strings.Lines(limits) {
			if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
				if f := strings.Fields(rest); len(f) > 1 {
					if p.NoFile, err = strconv.ParseUint(f[1], 10, 64); f[1] == "unlimited" {
						p.NoFile, err = ^uint64(0), nil
					}
				}
			}
		}
	}
	if err == nil {
		var stat string
		if stat, err = readSmall(dir + "stat"); err == nil {
			const policy = 41 // proc(5); what follows the name begins with field 3
			f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
			if len(f) > policy-3 {
				p.Policy, _ = strconv.Atoi(f[policy-3])
			}
		}
	}
	if err != nil {
		p.Failed = err.Error()
	}
	return p
}

// readSmall reads a file of the kernel's that is small.
func readSmall(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(b), err
}

// meddling finds programs in this network namespace that do what a director does.
func meddling() []ProcessFacts {
	here, _ := os.Readlink("/proc/self/ns/net")
	all, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil
	}
	var out []ProcessFacts
	seen := map[string]bool{}
	for _, file := range all {
		name, err := readSmall(file)
		name = strings.TrimSpace(name)
		if err != nil || meddlers[name] == "" || seen[name] {
			continue
		}
		dir := filepath.Dir(file)
		if ns, err := os.Readlink(dir + "/ns/net"); err == nil && ns != here {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil {
			seen[name] = true
			out = append(out, ProcessFacts{PID: pid, Name: name})
		}
	}
	return out
}

const (
	toolWithin = 10 * time.Second
	maxRules   = 16 << 20 // bytes that a tool may print
)

// readFirewall asks the tools that are here for the rules.
func readFirewall(ctx context.Context, failed func(Failure)) FirewallFacts {
	var f FirewallFacts
	tools := 0
	for _, t := range []struct {
		into *string
		args []string
	}{
		{&f.NFT, []string{"nft", "-j", "list", "ruleset"}},
		{&f.IPTables, []string{"iptables-save"}},
		{&f.IP6Tables, []string{"ip6tables-save"}},
	} {
		path := find(t.args[0])
		if path == "" {
			continue
		}
		tools++
		out, err := ask(ctx, path, t.args[1:]...)
		if err != nil {
			failed(Failure{ID: "firewall.read", What: "the firewall's rules could not be read: " + err.Error(), Mend: "sudo " + strings.Join(t.args, " ")})
		}
		*t.into = out
	}
	if tools > 0 {
		return f
	}
	if chains, err := (&nftables.Conn{}).ListChains(); err == nil {
		for _, c := range chains {
			if c.Table == nil || !strings.HasPrefix(c.Table.Name, ownTables) {
				f.Unread++
			}
		}
	}
	return f
}

// find looks for a program where administrators' programs are, whoever asks.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil && st.Mode().IsRegular() {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// ask runs a program without a shell and returns what it prints.
func ask(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, toolWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.WaitDelay = time.Second
	var out bounded
	var complaint bounded
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case out.over:
		return "", fmt.Errorf("%s printed more than %d bytes", filepath.Base(path), maxRules)
	case err != nil:
		first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(path), err, first)
	}
	return out.String(), nil
}

// bounded keeps so much and drops the rest.
type bounded struct {
	bytes.Buffer
	over bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRules {
		b.over = true
		return len(p), nil
	}
	return b.Buffer.Write(p)
}
