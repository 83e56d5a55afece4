package vm

import (
	"errors"
	"strings"
	"testing"
)

// machine is a set of probes with fixed answers. Loading the module makes the
// family appear where loads is set.
type machine struct {
	root, netns, family, loads bool
	loaded                     int
}

func (m *machine) probes() Probes {
	no := func(ok bool, msg string) error {
		if ok {
			return nil
		}
		return errors.New(msg)
	}
	return Probes{
		Root:       func() bool { return m.root },
		Namespaces: func() error { return no(m.netns, "operation not permitted") },
		Family:     func() error { return no(m.family || m.loads && m.loaded > 0, "no such family") },
		Load: func() error {
			m.loaded++
			return no(m.loads, "module not found")
		},
	}
}

func TestChooseTakesTheRunningKernelOnlyIfItCanDoIt(t *testing.T) {
	for name, c := range map[string]struct {
		asked  Where
		m      machine
		want   Where
		reason string
	}{
		"root with ip_vs":           {Auto, machine{root: true, netns: true, family: true}, Running, "it has IPVS"},
		"root that can load it":     {Auto, machine{root: true, netns: true, loads: true}, Running, "it has IPVS"},
		"root without the module":   {Auto, machine{root: true, netns: true}, Guest, "it has no IPVS: module not found"},
		"root in a container":       {Auto, machine{root: true, family: true}, Guest, "network namespace: operation not permitted"},
		"user, although ip_vs is":   {Auto, machine{netns: true, family: true}, Guest, "we are not root"},
		"vm asked for, although it": {Guest, machine{root: true, netns: true, family: true}, Guest, "asked for"},
		"running asked for":         {Running, machine{root: true, netns: true, family: true}, Running, "it has IPVS"},
	} {
		where, reason, err := Choose(c.asked, c.m.probes())
		if err != nil || where != c.want || !strings.Contains(reason, c.reason) {
			t.Errorf("%s: %s (%s), %v; want %s (%s)", name, where, reason, err, c.want, c.reason)
		}
	}
}

func TestChooseLoadsNothingWithoutNeed(t *testing.T) {
	for name, m := range map[string]*machine{
		"has it": {root: true, netns: true, family: true, loads: true},
		"a user": {netns: true, loads: true},
	} {
		if _, _, err := Choose(Auto, m.probes()); err != nil || m.loaded > 0 {
			t.Errorf("%s: module loaded %d times, %v", name, m.loaded, err)
		}
	}
}

func TestChooseRefuses(t *testing.T) {
	m := machine{netns: true}
	if _, _, err := Choose(Running, m.probes()); err == nil || !strings.Contains(err.Error(), "we are not root") {
		t.Errorf("running kernel as a user: error is %v", err)
	}
	if _, _, err := Choose("docker", m.probes()); err == nil || !strings.Contains(err.Error(), `"docker" is none of auto, running, vm`) {
		t.Errorf("unknown kernel: error is %v", err)
	}
}

func TestWishNamesAKernelsPackage(t *testing.T) {
	const pkg = "linux-image-6.12-cloud-amd64"
	for name, c := range map[string]struct {
		asked            Where
		which, inPackage string // the environment's
		want             Where
		pkg              string
	}{
		"nothing":                            {Auto, "", "", Auto, ""},
		"a package":                          {pkg, "", "", Guest, pkg},
		"a package in the environment":       {Auto, "running", pkg, Guest, pkg},
		"the flag goes before":               {pkg, "running", "linux-image-cloud-amd64", Guest, pkg},
		"a kernel in the environment":        {Auto, "running", "", Running, ""},
		"the running kernel is asked for":    {Running, "vm", pkg, Running, ""},
		"vm, with a package in environment":  {Guest, "", pkg, Guest, pkg},
		"vm, and running in the environment": {Guest, "running", "", Guest, ""},
	} {
		environment := map[string]string{KernelVariable: c.which, PackageVariable: c.inPackage}
		where, pkg, err := wish(c.asked, func(v string) string { return environment[v] })
		if where != c.want || pkg != c.pkg || err != nil {
			t.Errorf("%s: %s, package %q, %v; want %s, %q", name, where, pkg, err, c.want, c.pkg)
		}
	}
	none := func(string) string { return "" }
	if _, _, err := wish("linux-image-6.12 --yes", none); err == nil || !strings.Contains(err.Error(), `-kernel "linux-image-6.12 --yes" is not the name`) {
		t.Errorf("an option in the name: error is %v", err)
	}
	if _, _, err := wish(Auto, func(string) string { return "6.12" }); err == nil || !strings.Contains(err.Error(), `BATON_VM_PACKAGE "6.12" is not the name`) {
		t.Errorf("a version in the environment: error is %v", err)
	}
}
