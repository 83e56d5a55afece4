package conf_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/conf"
)

// again holds what is read of a text at the price of its difference from
// another one against what is read of it as a whole. It says whether the
// first could be done.
func again(t *testing.T, old *conf.Config, text []byte) bool {
	t.Helper()
	quick := old.Again("f", text, "lvs-a")
	if quick == nil {
		return false
	}
	whole, err := conf.Parse("f", text, "lvs-a")
	if err != nil {
		t.Fatalf("accepted what is refused: %.500v\n%.2000s", err, text)
	}
	wantSame(t, quick, whole)
	// What was read in part serves the next reload as well.
	if third := quick.Again("f", text, "lvs-a"); third != nil {
		wantSame(t, third, whole)
	}
	return true
}

// pairs are files that a reload may begin with.
func pairs(t testing.TB) (texts [][]byte) {
	t.Helper()
	files, err := filepath.Glob("../examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, f := range append(files, "reference.toml") {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, raw)
	}
	bare := bytes.ReplaceAll(services(6, 3), []byte("tcp_check = {}\n"), nil)
	between := bytes.Replace(services(4, 2), []byte("[[virtual_server]]\naddress = \"10.0.2.1"), []byte("[global]\ndrain_timeout = \"5s\"\n# a comment\n[[virtual_server]]\naddress = \"10.0.2.1"), 1)
	return append(texts, services(5, 3), bare, between, related(7))
}

// edit changes a text at random, as an operator or a template would.
func edit(r *rand.Rand, text []byte) []byte {
	lines := bytes.SplitAfter(bytes.Clone(text), []byte("\n"))
	i, k := r.IntN(len(lines)), r.IntN(len(lines))
	switch r.IntN(8) {
	case 0:
		lines = append(lines[:i], lines[i+1:]...)
	case 1:
		lines[i], lines[k] = lines[k], lines[i]
	case 2:
		lines[i] = append(bytes.Clone(lines[k]), lines[i]...)
	case 3:
		lines[i] = append([]byte("# said "), lines[i]...)
	case 4:
		odd := odd[r.IntN(len(odd))]
		if key, _, ok := strings.Cut(string(lines[i]), " = "); ok {
			lines[i] = []byte(key + " = " + odd + "\n")
		}
	default: // another figure
		for at, c := range lines[i] {
			if c >= '0' && c <= '9' && r.IntN(3) == 0 {
				lines[i] = bytes.Clone(lines[i])
				lines[i][at] = byte('0' + r.IntN(10))
			}
		}
	}
	return bytes.Join(lines, nil)
}

// TestReloadReadsWhatLoadReads over random edits, one after the other.
func TestReloadReadsWhatLoadReads(t *testing.T) {
	const n = 80
	quick := 0
	for p, text := range pairs(t) {
		r := rand.New(rand.NewPCG(1, uint64(p)))
		now, err := conf.Parse("f", text, "lvs-a")
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			next := edit(r, text)
			if again(t, now, next) {
				quick++
			}
			if cfg, err := conf.Parse("f", next, "lvs-a"); err == nil && r.IntN(3) > 0 {
				now, text = cfg, next
			}
		}
	}
	if quick < n {
		t.Errorf("only %d of the edits were read in part", quick)
	}
}

// TestReloadFindsWhatLoadFinds: what is wrong only beside the rest of the file.
func TestReloadFindsWhatLoadFinds(t *testing.T) {
	text := services(10, 2)
	cfg := parse(t, "lvs-a", string(text))
	for what, next := range map[string][]byte{
		"an address twice":   bytes.Replace(text, []byte("10.0.3.1:80"), []byte("10.0.4.1:80"), 1),
		"a mistake":          bytes.Replace(text, []byte("weight = 10"), []byte("weight = -1"), 1),
		"no TOML":            bytes.Replace(text, []byte("weight = 10"), []byte("weight = = 10"), 1),
		"another way":        bytes.Replace(text, []byte("[[virtual_server]]"), []byte("[[\"virtual_server\"]]"), 1),
		"a text over lines":  append(bytes.Clone(text), "[global]\nrouter_id = '''\n[[virtual_server]]\n'''\n"...),
		"another global":     append(bytes.Clone(text), "[global]\ndrain_timeout = \"7s\"\n"...),
		"values for a node":  bytes.Replace(text, []byte("weight = 10"), []byte("weight = { lvs-a = 1, lvs-b = 2 }"), 1),
		"nothing of it left": []byte("# nothing\n"),
	} {
		if cfg.Again("f", next, "lvs-a") != nil {
			t.Errorf("%s: read in part", what)
		}
	}
	// Two names for one address.
	group := append([]byte("[[virtual_server_group]]\nname = \"web\"\naddresses = [\"192.0.2.1-9:80\"]\n"), text...)
	group = append(group, "[[virtual_server]]\nvirtual_server_group = \"web\"\nlb_kind = \"NAT\"\ntcp_check = {}\n[[virtual_server.real_server]]\naddress = \"172.16.0.1\"\n"...)
	group = append(group, "weight = 1\n"...)
	of := parse(t, "lvs-a", string(group))
	with := func(address string) []byte { return bytes.Replace(group, []byte("10.0.3.1:80"), []byte(address), 1) }
	if !again(t, of, with("192.0.2.17:80")) || of.Again("f", with("192.0.2.7:80"), "lvs-a") != nil {
		t.Error("an address of a group's")
	}
	if of.Again("f", group[:bytes.LastIndex(group, []byte("[[virtual_server]]"))], "lvs-a") != nil {
		t.Error("a group that nothing has any more: read in part")
	}
	if cfg.Again("f", text, "lvs-b") != nil || (*conf.Config)(nil).Again("f", text, "lvs-a") != nil {
		t.Error("read in part for another node, or out of nothing")
	}
	changed := bytes.Replace(text, []byte("weight = 10"), []byte("weight = 11"), 1)
	if next := cfg.Again("f", changed, "lvs-a"); next == nil || next.Again("f", text, "lvs-a") == nil {
		t.Error("what was read in part cannot be reloaded in part")
	}
	file := bytes.Replace(text, []byte("tcp_check = {}"), []byte("misc_check = { misc_path = \"/bin/true\" }"), 1)
	if !again(t, cfg, file) || !again(t, parse(t, "lvs-a", string(file)), changed) {
		t.Error("a check that names a file is read as a whole")
	}
	if !again(t, cfg, text) || !again(t, cfg, changed) {
		t.Error("a change of one server is read as a whole")
	}
}

// TestReloadKnowsWhatItDoesNotRead: an instance tracks a virtual_server, a group
// and a named check are used, by services that have not changed.
func TestReloadKnowsWhatItDoesNotRead(t *testing.T) {
	text := related(6)
	cfg := parse(t, "lvs-a", string(text))
	replace := func(old, by string) []byte {
		t.Helper()
		next := bytes.Replace(text, []byte(old), []byte(by), 1)
		if bytes.Equal(next, text) {
			t.Fatalf("there is no %q", old)
		}
		return next
	}
	if !again(t, cfg, replace("address = \"172.16.5.1\"", "address = \"172.16.5.9\"")) {
		t.Error("another server: read as a whole")
	}
	if !again(t, cfg, replace("address = \"192.0.2.105:80\"", "address = \"192.0.2.106:80\"")) {
		t.Error("another address: read as a whole")
	}
	for what, next := range map[string][]byte{
		"what an instance tracks has another address": replace("address = \"192.0.2.100:80\"", "address = \"192.0.2.99:80\""),
		"what a group tracks has another address":     replace("address = \"192.0.2.101:80\"", "address = \"192.0.2.98:80\""),
		"two have the address that is tracked":        replace("address = \"192.0.2.105:80\"", "protocol = \"UDP\"\naddress = \"192.0.2.100:80\""),
		"nobody has the group":                        replace("virtual_server_group = \"web\"", "address = \"192.0.2.97:80\""),
		"nobody uses the check":                       replace("checks = [\"page\"]", "tcp_check = {}"),
	} {
		if cfg.Again("f", next, "lvs-a") != nil {
			t.Errorf("%s: read in part", what)
		}
	}
	// A table that names a check without using it: each server has its own.
	shadowed := replace("address = \"192.0.2.105:80\"\n", "address = \"192.0.2.105:80\"\nchecks = [\"page\"]\n")
	of := parse(t, "lvs-a", string(shadowed))
	unused := bytes.Replace(shadowed, []byte("checks = [\"page\"]\nlb_kind"), []byte("tcp_check = {}\nlb_kind"), 1)
	if bytes.Equal(unused, shadowed) {
		t.Fatal("nothing was replaced")
	}
	again(t, of, unused)
}

// related are virtual_servers of which others know: two are tracked, one has a
// group, one a named check.
func related(n int) []byte {
	var b bytes.Buffer
	b.WriteString("[[vrrp_instance]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvirtual_router_id = 51\npriority = 100\nvirtual_ipaddress = [")
	for i := range 10 {
		fmt.Fprintf(&b, "\"192.0.2.%d/24\", \"192.0.2.%d/24\", \"192.0.2.%d/24\", ", 20+i, 90+i, 100+i)
	}
	b.WriteString("]\n" +
		"[[vrrp_instance.track_virtual_server]]\nname = \"192.0.2.100:80\"\n" +
		"[[vrrp_instance]]\nname = \"VI_2\"\ninterface = \"eth0\"\nvirtual_router_id = 52\npriority = 100\nvirtual_ipaddress = [\"192.0.2.2/24\"]\n" +
		"[[vrrp_sync_group]]\nname = \"both\"\ngroup = [\"VI_1\", \"VI_2\"]\n" +
		"[[vrrp_sync_group.track_virtual_server]]\nname = \"192.0.2.101:80\"\n" +
		"[[virtual_server_group]]\nname = \"web\"\naddresses = [\"192.0.2.20-29:80\"]\n" +
		"[check.page.http_get]\npath = \"/\"\n")
	for i := range n {
		b.WriteString("[[virtual_server]]\n")
		switch i {
		case 2:
			b.WriteString("virtual_server_group = \"web\"\ntcp_check = {}\n")
		case 3:
			fmt.Fprintf(&b, "address = \"192.0.2.%d:80\"\nchecks = [\"page\"]\n", 100+i)
		default:
			fmt.Fprintf(&b, "address = \"192.0.2.%d:80\"\n", 100+i)
			if i < 5 {
				b.WriteString("tcp_check = {}\n")
			}
		}
		fmt.Fprintf(&b, "lb_kind = \"NAT\"\n[[virtual_server.real_server]]\naddress = \"172.16.%d.1\"\n", i)
		if i == 5 {
			b.WriteString("tcp_check = {}\n")
		}
	}
	return b.Bytes()
}

// FuzzReload edits a file by seed, and reloads it.
func FuzzReload(f *testing.F) {
	texts := pairs(f)
	f.Add(uint8(0), uint64(1))
	f.Fuzz(func(t *testing.T, which uint8, seed uint64) {
		text := texts[int(which)%len(texts)]
		old, err := conf.Parse("f", text, "lvs-a")
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 2))
		for range 4 {
			text = edit(r, text)
			again(t, old, text)
			inParts(t, text)
		}
	})
}

// BenchmarkReload changes one of 10,000 servers, by an edit of the file.
func BenchmarkReload(b *testing.B) {
	text := services(2500, 4)
	cfg, err := conf.Parse("f", text, "lvs-a")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		next := bytes.Replace(text, []byte("weight = 10"), fmt.Appendf(nil, "weight = %d", 11+i%2), 1)
		if cfg = cfg.Again("f", next, "lvs-a"); cfg == nil {
			b.Fatal("read as a whole")
		}
	}
}
