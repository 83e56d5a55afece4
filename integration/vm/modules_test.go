package vm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// modulesIn writes a kernel's module directory.
func modulesIn(t *testing.T, dep, builtin string) *ModuleTree {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"modules.dep": dep, "modules.builtin": builtin} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := OpenModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

const dep = `kernel/net/ip_vs.ko: kernel/net/nf_conntrack.ko kernel/net/nf_defrag_ipv6.ko kernel/lib/libcrc32c.ko
kernel/net/nf_conntrack.ko: kernel/net/nf_defrag_ipv6.ko kernel/lib/libcrc32c.ko
kernel/net/nf_defrag_ipv6.ko:
kernel/lib/libcrc32c.ko.xz:
kernel/lib/libcrc32c.ko:
kernel/net/ip_vs_rr.ko: kernel/net/ip_vs.ko
kernel/drivers/virtio-pci.ko: kernel/drivers/virtio.ko
kernel/drivers/virtio.ko:
`

func TestOrderPutsEachModuleOnceBehindItsDependencies(t *testing.T) {
	tree := modulesIn(t, dep, "kernel/drivers/tty/serial.ko\n")
	files, missing := tree.Order([]string{"ip_vs_rr", "ip_vs", "virtio_pci"})
	want := []string{
		"kernel/net/nf_defrag_ipv6.ko", "kernel/lib/libcrc32c.ko", "kernel/net/nf_conntrack.ko",
		"kernel/net/ip_vs.ko", "kernel/net/ip_vs_rr.ko", "kernel/drivers/virtio.ko", "kernel/drivers/virtio-pci.ko",
	}
	if len(missing) > 0 {
		t.Errorf("missing %v", missing)
	}
	if !slices.Equal(sorted(files), sorted(want)) {
		t.Fatalf("files are %v, want %v", files, want)
	}
	at := func(f string) int { return slices.Index(files, f) }
	for _, line := range strings.Split(dep, "\n") {
		file, needs, _ := strings.Cut(line, ":")
		for _, n := range strings.Fields(needs) {
			if at(file) >= 0 && at(n) > at(file) {
				t.Errorf("%s stands behind %s, which needs it", n, file)
			}
		}
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func TestOrderTellsBuiltInFromMissing(t *testing.T) {
	tree := modulesIn(t, dep, "kernel/drivers/net/veth.ko\nkernel/net/af-packet.ko\n")
	files, missing := tree.Order([]string{"veth", "af_packet", "ip_vs_twos", "bonding"})
	if len(files) != 0 || !slices.Equal(missing, []string{"bonding", "ip_vs_twos"}) {
		t.Errorf("Order = %v, missing %v", files, missing)
	}
}

func TestOrderEndsOnACycle(t *testing.T) {
	tree := modulesIn(t, "a.ko: b.ko\nb.ko: a.ko\n", "")
	if files, _ := tree.Order([]string{"a"}); len(files) != 2 {
		t.Errorf("files are %v, want both once", files)
	}
}

func TestModuleName(t *testing.T) {
	for file, want := range map[string]string{
		"kernel/drivers/virtio/virtio-pci.ko": "virtio_pci",
		"kernel/net/ip_vs.ko.xz":              "ip_vs",
		"ip_vs.ko.zst":                        "ip_vs",
		"kernel/net/8021q/8021q.ko":           "8021q",
	} {
		if got := moduleName(file); got != want {
			t.Errorf("moduleName(%s) = %s, want %s", file, got, want)
		}
	}
}

func TestPlanNamesWhatAKernelLacks(t *testing.T) {
	tree := modulesIn(t, dep, "virtio_console.ko\n")
	if _, _, _, err := tree.plan("/lib/modules/6.1"); err == nil || !strings.Contains(err.Error(), "find modules bridge dummy ip_vs_dh") {
		t.Errorf("error is %v, want the missing modules by name", err)
	}
}

func TestPlanLoadsTheTransportFirstAndBringsAllOfTheNetwork(t *testing.T) {
	var dep strings.Builder
	for _, m := range append([]string{"virtio_pci", "virtio_console"}, needModules...) {
		dep.WriteString("kernel/drivers/" + m + ".ko: kernel/lib/base.ko\n")
	}
	dep.WriteString("kernel/lib/base.ko:\nkernel/net/xt_ipvs.ko: kernel/lib/x_tables.ko\nkernel/lib/x_tables.ko:\nkernel/drivers/gpu.ko:\n")
	transport, rest, files, err := modulesIn(t, dep.String(), "").plan("/lib/modules/6.1")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, m := range transport {
		paths = append(paths, m.Path)
	}
	want := []string{"/lib/modules/6.1/kernel/lib/base.ko", "/lib/modules/6.1/kernel/drivers/virtio_pci.ko",
		"/lib/modules/6.1/kernel/drivers/virtio_console.ko"}
	if !slices.Equal(paths, want) || len(rest) != len(needModules) {
		t.Errorf("transport is %v, want %v; %d others, want %d", paths, want, len(rest), len(needModules))
	}
	var guests []string
	for _, f := range files {
		guests = append(guests, strings.TrimPrefix(f.Guest, "/lib/modules/6.1/"))
	}
	for _, f := range []string{"kernel/net/xt_ipvs.ko", "kernel/lib/x_tables.ko", "modules.dep"} {
		if !slices.Contains(guests, f) {
			t.Errorf("%s is missing", f)
		}
	}
	if slices.Contains(guests, "kernel/drivers/gpu.ko") {
		t.Error("a driver that nobody needs is there")
	}
}

func TestOpenModulesRefusesGarbage(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenModules(dir); err == nil || !strings.Contains(err.Error(), "modules.dep") {
		t.Errorf("no modules.dep: error is %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "modules.dep"), []byte("a.ko:\nnonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenModules(dir); err == nil || !strings.Contains(err.Error(), "line 2: no colon") {
		t.Errorf("garbage: error is %v", err)
	}
}
