package conf

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"baton/healthcheck"
	"baton/ipvs"
)

// The internal tests see the flag that the external ones define.
func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// entry is one key or table of reference.toml as people read it.
type entry struct {
	comment []string
	example string
}

// readReference takes reference.toml apart: "table.key" and "[table]" to what
// stands above and in the line. The first example of a key counts.
func readReference(t *testing.T) (entries map[string]entry, order []string) {
	t.Helper()
	raw, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	entries = map[string]entry{}
	var table string
	var comment []string
	for _, line := range strings.Split(string(raw), "\n") {
		switch {
		case line == "":
			comment = nil
			continue
		case strings.HasPrefix(line, "#"):
			comment = append(comment, strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
			continue
		}
		name := ""
		if strings.HasPrefix(line, "[") {
			table = strings.Trim(line, "[]")
			if rest, ok := strings.CutPrefix(table, "check."); ok {
				_, inside, _ := strings.Cut(rest, ".")
				table = strings.TrimSuffix("check.NAME."+inside, ".")
			}
			name = "[" + table + "]"
		} else {
			key, _, ok := strings.Cut(line, " = ")
			if !ok {
				t.Fatalf("reference.toml: what is %q?", line)
			}
			name = table + "." + key
		}
		if _, seen := entries[name]; !seen && comment != nil {
			entries[name] = entry{comment, line}
			order = append(order, name)
		}
		comment = nil
	}
	return entries, order
}

// factsLine is the last line of a key's comment, from its tags.
func factsLine(k *keySpec) string {
	var parts []string
	switch {
	case k.required != "":
		parts = append(parts, "required")
	case k.def != "":
		parts = append(parts, "default: "+k.def)
	default:
		parts = append(parts, "default: "+k.inherit)
	}
	if r := k.rangeText(); r != "" {
		parts = append(parts, "range: "+r)
	}
	if k.nodes {
		parts = append(parts, "per node")
	}
	return strings.Join(parts, "; ")
}

// explainedAt returns the name that a key is explained at: keys that mean the
// same in several tables are explained in one of them.
func explainedAt(name string) string {
	if at, ok := explainedCheck(name); ok {
		return at
	}
	if rest, ok := strings.CutPrefix(name, "vrrp_sync_group."); ok && (strings.HasPrefix(rest, "track_") || strings.HasPrefix(rest, "notify")) {
		name = "vrrp_instance." + rest
	}
	for _, own := range []string{"virtual_server.quorum_up", "virtual_server.quorum_down", "virtual_server.real_server.notify_up", "virtual_server.real_server.notify_down"} {
		if rest, ok := strings.CutPrefix(name, own+"."); ok {
			return "vrrp_instance.notify_master." + rest
		}
	}
	for of, tables := range map[string][]string{
		"notify_master":     {"notify_backup", "notify_fault", "notify_stop", "notify"},
		"track_script":      {"track_interface", "track_file", "track_process", "track_virtual_server"},
		"virtual_ipaddress": {"virtual_ipaddress_excluded"},
	} {
		for _, table := range tables {
			if rest, ok := strings.CutPrefix(name, "vrrp_instance."+table+"."); ok {
				return "vrrp_instance." + of + "." + rest
			}
		}
	}
	return name
}

// explainedCheck is explainedAt for the keys of checks: those of a template and of
// a [check.NAME] at the real_server's, those that all kinds have at tcp_check, of
// HTTP at http_get and of TLS at https_get.
func explainedCheck(name string) (string, bool) {
	const server = "virtual_server.real_server."
	for _, table := range []string{server, "virtual_server.", "check.NAME."} {
		rest, ok := strings.CutPrefix(name, table)
		if !ok {
			continue
		}
		check, key, inside := strings.Cut(rest, ".")
		if k := specOf(reflect.TypeFor[rawChecks]()).byName[check]; k == nil {
			continue
		}
		last := key[strings.LastIndexByte(key, '.')+1:]
		has := func(t reflect.Type) bool { return specOf(t).byName[last] != nil }
		switch {
		case !inside:
		case has(reflect.TypeFor[rawTCPCheck]()):
			check, key = "tcp_check", last
		case strings.HasPrefix(check, "http") && has(reflect.TypeFor[rawHTTPGet]()) && last != "url":
			check, key = "http_get", last
		case has(reflect.TypeFor[rawTLS]()):
			check, key = "https_get", last
		case last == "url":
			check, key = "https_get", last
		}
		if inside {
			check += "." + key
		}
		return server + check, true
	}
	return "", false
}

// TestReferenceIsComplete holds reference.toml against the raw structs: every
// key with a comment, an example, and exactly its default and range.
func TestReferenceIsComplete(t *testing.T) {
	entries, _ := readReference(t)
	documented := map[string]bool{}
	keys := 0
	walkTables(func(path string, spec *tableSpec) {
		for _, k := range spec.keys {
			name := join(path, k.name)
			at := explainedAt(name)
			if k.kind == kindNamed {
				at += ".NAME"
			}
			if k.kind != kindLeaf && !bareText(k.table) {
				if e := entries["["+at+"]"]; e.comment == nil && name != "global" {
					t.Errorf("table %s has no comment", at)
				}
				continue
			}
			keys++
			if k.def == "" && k.inherit == "" && k.required == "" {
				t.Errorf("%s: the tags do not say what applies without the key", name)
			}
			e, ok := entries[at]
			documented[at] = true
			switch {
			case !ok:
				t.Errorf("%s is missing from reference.toml, or has no comment", at)
			case len(e.comment) < 2:
				t.Errorf("%s: the comment does not say what the key means", at)
			case e.comment[len(e.comment)-1] != factsLine(k):
				t.Errorf("%s: the comment ends with\n\t%s\nbut the key has\n\t%s", at, e.comment[len(e.comment)-1], factsLine(k))
			}
		}
	})
	if keys < 250 {
		t.Fatalf("the walk found %d keys only", keys)
	}
	for name := range entries {
		if !strings.HasPrefix(name, "[") && !documented[name] {
			t.Errorf("reference.toml explains %s, which does not exist", name)
		}
	}
}

// TestReferenceIsValid reads it as each of its nodes.
func TestReferenceIsValid(t *testing.T) {
	raw, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"", "lvs-a", "lvs-b"} {
		cfg, err := Parse("reference.toml", raw, node)
		if err != nil {
			t.Fatal(err)
		}
		// A password is warned of wherever it stands.
		if len(cfg.Warnings) != 1 || !strings.HasSuffix(cfg.Warnings[0].Key, ".authentication") {
			t.Errorf("warnings:\n%s", cfg.Warnings.Error())
		}
	}
}

const (
	beginReference = "<!-- generated from conf/reference.toml: go test ./conf -run TestDocument -update -->\n"
	endReference   = "<!-- end of the generated part -->\n"
)

// TestDocument holds the tables of docs/config.md against reference.toml.
func TestDocument(t *testing.T) {
	const file = "../docs/config.md"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), beginReference)
	if !ok {
		t.Fatalf("%s has no line %q", file, beginReference)
	}
	_, tail, ok := strings.Cut(rest, endReference)
	if !ok {
		t.Fatalf("%s has no line %q", file, endReference)
	}
	want := head + beginReference + document(t) + endReference + tail
	if updating() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(raw) {
		t.Error("docs/config.md is not what reference.toml says: go test ./conf -run TestDocument -update")
	}
}

func document(t *testing.T) string {
	entries, order := readReference(t)
	var b strings.Builder
	open := ""
	for _, name := range order {
		e := entries[name]
		if strings.HasPrefix(name, "[") {
			continue
		}
		i := strings.LastIndexByte(name, '.')
		table, key := name[:i], name[i+1:]
		if table != open {
			open = table
			header := "[" + table + "]"
			if isList(table) {
				header = "[" + header + "]"
			}
			fmt.Fprintf(&b, "\n### `%s`\n\n", header)
			if c := entries["["+table+"]"].comment; c != nil {
				fmt.Fprintf(&b, "%s\n\n", strings.Join(c, " "))
			}
			b.WriteString("| Key | Meaning | Without it | Allowed | Per node |\n|---|---|---|---|---|\n")
		}
		c := e.comment
		facts := strings.Split(c[len(c)-1], "; ")
		without, allowed, node := strings.TrimPrefix(facts[0], "default: "), "", ""
		for _, f := range facts[1:] {
			if f == "per node" {
				node = "yes"
			} else {
				allowed = strings.TrimPrefix(f, "range: ")
			}
		}
		cell := strings.NewReplacer("|", `\|`, "\n", " ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", key,
			cell.Replace(strings.Join(c[:len(c)-1], " ")), cell.Replace(without), allowed, node)
	}
	b.WriteString("\n")
	return b.String()
}

// isList says whether the table at this path is one of several.
func isList(path string) bool {
	list := false
	walkTables(func(p string, spec *tableSpec) {
		for _, k := range spec.keys {
			if join(p, k.name) == path {
				list = k.kind == kindTables && !k.single
			}
		}
	})
	return list
}

// TestDocumentNamesEveryKey holds the whole document against the raw structs,
// without the way through reference.toml.
func TestDocumentNamesEveryKey(t *testing.T) {
	raw, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range allKeys() {
		if !strings.Contains(string(raw), "| `"+k+"` |") {
			t.Errorf("docs/config.md does not explain %s", k)
		}
	}
}

// TestWordsAreThoseOfTheKernelSide holds the words and limits in the tags
// against the packages that know them.
func TestWordsAreThoseOfTheKernelSide(t *testing.T) {
	service := specOf(reflect.TypeFor[rawVirtualServer]())
	if got, want := slices.Sorted(slices.Values(service.byName["lb_algo"].enum)), slices.Sorted(slices.Values(ipvs.Schedulers())); !slices.Equal(got, want) {
		t.Errorf("lb_algo allows %v, ipvs has %v", got, want)
	}
	if got, want := slices.Sorted(slices.Values(service.byName["lb_kind"].enum)), []string{string(ipvs.DR), string(ipvs.NAT), string(ipvs.TUN)}; !slices.Equal(got, want) {
		t.Errorf("lb_kind allows %v, ipvs has %v", got, want)
	}
	for _, table := range []reflect.Type{reflect.TypeFor[rawVirtualServer](), reflect.TypeFor[rawTimings]()} {
		s := specOf(table)
		for key, want := range map[string][2]any{
			"delay_loop":         {healthcheck.MinInterval, healthcheck.MaxInterval},
			"delay_before_retry": {"0s", healthcheck.MaxInterval},
			"connect_timeout":    {"1ms", healthcheck.MaxTimeout},
		} {
			for i, w := range want {
				got := [2]string{s.byName[key].min, s.byName[key].max}[i]
				if mustDuration(got) != mustDuration(fmt.Sprint(w)) {
					t.Errorf("%s.%s: limit %s, healthcheck has %v", table, key, got, w)
				}
			}
		}
		for _, key := range []string{"retry", "rise"} {
			if mustInt(s.byName[key].max) != healthcheck.MaxCount {
				t.Errorf("%s.%s: limit %s, healthcheck has %d", table, key, s.byName[key].max, healthcheck.MaxCount)
			}
		}
	}
}

// TestKeepalivedWordsAreNoKeys: advice about a word that is a key here would
// never be given.
func TestKeepalivedWordsAreNoKeys(t *testing.T) {
	keys := allKeys()
	for w := range keepalivedWords {
		if slices.Contains(keys, w) {
			t.Errorf("%s is a key", w)
		}
	}
}

// TestReferenceTellsWhatWaitsForAStart holds what [global] says of reloads
// against what a reload says itself.
func TestReferenceTellsWhatWaitsForAStart(t *testing.T) {
	var late []string
	for _, f := range (Global{}).facts() {
		if f.restart {
			late = append(late, f.key)
		}
	}
	entries, _ := readReference(t)
	text := strings.Join(entries["[global]"].comment, " ")
	_, said, _ := strings.Cut(text, "says: ")
	said, _, _ = strings.Cut(said, ".")
	if said != strings.Join(late, ", ") {
		t.Errorf("[global] says that these wait for a start:\n\t%s\nand they are\n\t%s", said, strings.Join(late, ", "))
	}
}

// TestRouterIDTakesEffectAtAReload: per-node values are chosen anew, so a reload
// must not say that the name waits for a start.
func TestRouterIDTakesEffectAtAReload(t *testing.T) {
	text := func(id string) []byte {
		return []byte("[global]\nrouter_id = \"" + id + "\"\nlog_level = { lvs-a = \"info\", lvs-b = \"debug\" }\n")
	}
	was, err := Parse("f", text("lvs-a"), "")
	if err != nil {
		t.Fatal(err)
	}
	is, err := Parse("f", text("lvs-b"), "")
	if err != nil {
		t.Fatal(err)
	}
	const want = "global: router_id lvs-a -> lvs-b, log_level info -> debug"
	if got := Diff(was, is).String(); got != want {
		t.Errorf("reload says\n\t%s\nwant\n\t%s", got, want)
	}
}
