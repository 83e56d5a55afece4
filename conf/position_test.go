package conf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestPositions holds where each path is found in a file that nests in every
// way that TOML has.
func TestPositions(t *testing.T) {
	const file = `top = 1
[global]
a.b.c = 1
"dotted.key" = { in = 1, 'q"' = 2 }

[[vs]]
  name = "first"
  [vs.check]
  path = "/"
  [[vs.rs]]
  w = 1
  [[vs.rs]]
  w = 2
  [vs.rs.check]
  port = 1
[[vs]]
list = [
  "x", # comment
  # another
  { k = 1, l = [1, [2]] },
  {},
]
[[vs.rs]]
w = 3
`
	ix := newIndex([]byte(file))
	if err := ix.read(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                           "1:1",
		"top":                        "1:1",
		"global":                     "2:1",
		"global.a":                   "3:1",
		"global.a.b.c":               "3:5",
		`global."dotted.key"`:        "4:1",
		`global."dotted.key".in`:     "4:18",
		`global."dotted.key"."q\""`:  "4:26",
		`global."dotted.key".absent`: "4:1",
		"vs":                         "6:1",
		"vs[0]":                      "6:1",
		"vs[0].name":                 "7:3",
		"vs[0].check.path":           "9:3",
		"vs[0].rs[0]":                "10:3",
		"vs[0].rs[0].w":              "11:3",
		"vs[0].rs[1].w":              "13:3",
		"vs[0].rs[1].check.port":     "15:3",
		"vs[0].rs[1].check.absent":   "14:3",
		"vs[0].rs[1].absent":         "12:3",
		"vs[1]":                      "16:1",
		"vs[1].list":                 "17:1",
		"vs[1].list[0]":              "18:3",
		"vs[1].list[1]":              "20:3",
		"vs[1].list[1].k":            "20:5",
		"vs[1].list[1].l[1][0]":      "20:21",
		"vs[1].list[2]":              "17:1", // the parser gives no place to an empty table
		"vs[1].rs[0].w":              "24:1",
		"absent":                     "1:1",
		"vs[7].absent[3]":            "6:1",
	} {
		line, column := ix.find(path)
		if got := fmt.Sprintf("%d:%d", line, column); got != want {
			t.Errorf("%s is at %s, want %s", path, got, want)
		}
	}
}

func TestParent(t *testing.T) {
	for path, want := range map[string]string{
		"a": "", "a.b": "a", "a[0]": "a", "a[0].b[12]": "a[0].b", `a."b.c"`: "a", `"b.c"`: "", `a."x\".y".z`: `a."x\".y"`, `a."x\".y"`: "a", "": "",
	} {
		if got := parent(path); got != want {
			t.Errorf("parent of %s is %q, want %q", path, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"priority", "interface", "weight", "connect_timeout", "status_code", "rise", "retry"}
	for word, want := range map[string]string{
		"prioritiy": "priority", "PRIORITY": "priority", "wieght": "weight", "timeout": "connect_timeout", "status": "status_code",
		"colour": "", "x": "", "rsie": "rise", strings.Repeat("long", 1000): "",
	} {
		if got := nearest(word, keys); got != want {
			t.Errorf("nearest to %.20s is %q, want %q", word, got, want)
		}
	}
}

// TestNodesSeenByAll: a value is not per node unless its tags say so, and the
// tags of those that a node needs do.
func TestNodesSeenByAll(t *testing.T) {
	var per []string
	walkTables(func(path string, spec *tableSpec) {
		for _, k := range spec.keys {
			if k.nodes {
				per = append(per, join(path, k.name))
			}
		}
	})
	for _, want := range []string{"vrrp_instance.priority", "vrrp_instance.interface", "vrrp_instance.mcast_src_ip", "vrrp_instance.nopreempt", "virtual_server.real_server.weight"} {
		if !slices.Contains(per, want) {
			t.Errorf("%s is not per node", want)
		}
	}
	for _, not := range []string{"vrrp_instance.name", "vrrp_instance.virtual_router_id", "vrrp_instance.version", "global.router_id", "virtual_server.address"} {
		if slices.Contains(per, not) {
			t.Errorf("%s is per node", not)
		}
	}
}
