package vm

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"baton/integration/vm/wire"
)

// transportModules make the virtio-serial port appear.
var transportModules = []string{"virtio_pci", "virtio_console"}

// needModules must be there: without them no test means anything.
var needModules = []string{
	"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_sh", "ip_vs_sed", "ip_vs_nq", "ip_vs_dh",
	"veth", "bridge", "dummy", "macvlan", "ipip", "nf_tables",
}

// likeModules are loaded where the kernel has them.
var likeModules = []string{
	"ip_vs_lblc", "ip_vs_lblcr", "ip_vs_mh", "ip_vs_fo", "ip_vs_ovf", "ip_vs_twos", "ip_vs_pe_sip", "ip_vs_ftp",
	"8021q", "bonding", "vrf", "tun", "ifb",
	"ip_gre", "ip6_tunnel", "ip6_gre", "fou", "fou6",
	"sch_netem", "sch_tbf", "sch_prio", "sch_ingress", "cls_u32", "act_mirred",
	"nft_compat", "nft_dup_ipv4", "nft_dup_ipv6", "nft_dup_netdev", "nft_fwd_netdev", "nft_ct", "nft_nat", "nft_masq",
	"nft_chain_nat", "nft_limit", "nft_log", "nft_reject", "nft_reject_inet", "nft_queue", "nft_fib_inet",
	"xt_TEE", "xt_mark", "xt_tcpudp", "nf_conntrack", "ip_set", "sctp",
}

// moduleParams keeps drivers from making devices that nobody asked for.
var moduleParams = map[string]string{"bonding": "max_bonds=0", "dummy": "numdummies=0", "ifb": "numifbs=0"}

// ModuleTree is a kernel's directory of modules with its modules.dep.
type ModuleTree struct {
	dir     string
	files   map[string]string   // name → path below dir
	needs   map[string][]string // path → paths of its dependencies
	builtin map[string]bool
}

// OpenModules reads modules.dep and modules.builtin in dir.
func OpenModules(dir string) (*ModuleTree, error) {
	t := &ModuleTree{dir: dir, files: map[string]string{}, needs: map[string][]string{}, builtin: map[string]bool{}}
	dep, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("read module dependencies: %w", err)
	}
	defer dep.Close()
	if err := t.parseDep(dep); err != nil {
		return nil, fmt.Errorf("read %s: %w", dep.Name(), err)
	}
	built, err := os.Open(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("read built-in modules: %w", err)
	}
	defer built.Close()
	s := bufio.NewScanner(built)
	for s.Scan() {
		t.builtin[moduleName(s.Text())] = true
	}
	return t, s.Err()
}

func (t *ModuleTree) parseDep(r io.Reader) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		file, deps, ok := strings.Cut(s.Text(), ":")
		if !ok {
			return fmt.Errorf("line %d: no colon", n)
		}
		t.files[moduleName(file)] = file
		t.needs[file] = strings.Fields(deps)
	}
	return s.Err()
}

// moduleName is the kernel's name for a module's file: kernel/net/a-b.ko.xz is
// a_b.
func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Order returns the files, below the tree's directory, of the named modules
// and of all that they need, each once and after all that it needs itself.
// Built-in modules need no file. Missing names those that are nowhere.
func (t *ModuleTree) Order(names []string) (files, missing []string) {
	done := map[string]bool{}
	var add func(file string)
	add = func(file string) {
		if done[file] {
			return
		}
		done[file] = true
		for _, d := range t.needs[file] {
			add(d)
		}
		files = append(files, file)
	}
	for _, n := range names {
		n = strings.ReplaceAll(n, "-", "_")
		switch file, ok := t.files[n]; {
		case ok:
			add(file)
		case !t.builtin[n]:
			missing = append(missing, n)
		}
	}
	sort.Strings(missing)
	return files, missing
}

// indexes are what modprobe reads when the kernel asks for a module by itself.
var indexes = []string{"modules.dep", "modules.dep.bin", "modules.alias.bin", "modules.symbols.bin", "modules.softdep",
	"modules.builtin", "modules.builtin.bin", "modules.builtin.alias.bin", "modules.builtin.modinfo"}

// network are the modules that the guest has beside those that it loads: what
// the kernel asks for when somebody uses a rule or a queue.
const network = "kernel/net/"

// plan lists what the guest loads, and the files that it needs for it. The
// modules lie in dir, as modprobe expects them.
func (t *ModuleTree) plan(dir string) (transport, rest []wire.Module, files []File, err error) {
	first, missing := t.Order(transportModules)
	if _, more := t.Order(needModules); len(missing)+len(more) > 0 {
		return nil, nil, nil, fmt.Errorf("find modules %s: not in %s", strings.Join(append(missing, more...), " "), t.dir)
	}
	load, _ := t.Order(slices.Concat(transportModules, needModules, likeModules))
	for i, f := range load {
		m := wire.Module{Path: filepath.Join(dir, f), Params: moduleParams[moduleName(f)]}
		if i < len(first) {
			transport = append(transport, m)
		} else {
			rest = append(rest, m)
		}
	}
	var others []string
	for name, f := range t.files {
		if strings.HasPrefix(f, network) {
			others = append(others, name)
		}
	}
	more, _ := t.Order(others)
	for _, f := range slices.Concat(load, more) {
		files = append(files, File{Host: filepath.Join(t.dir, f), Guest: filepath.Join(dir, f)})
	}
	for _, f := range indexes {
		if _, err := os.Stat(filepath.Join(t.dir, f)); err == nil {
			files = append(files, File{Host: filepath.Join(t.dir, f), Guest: filepath.Join(dir, f)})
		}
	}
	return transport, rest, files, nil
}
