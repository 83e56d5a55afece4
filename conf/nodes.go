package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxNodes bounds how often the file is validated: once for each node.
const maxNodes = 16

// resolve builds the configuration of the node and validates that of every
// other: a file that both directors share must not be found broken on the one
// that is needed when the first has failed.
func (d *decoder) resolve(raw *rawFile, node string) *Config {
	node = d.node(raw, node)
	nodes, known := d.nodes(raw, node)
	var cfg *Config
	if known {
		cfg = (&builder{decoder: d, raw: raw, node: node, nodes: nodes}).config()
	}
	unchecked := d.unchecked
	defer func() { d.unchecked = unchecked }() // what the other nodes lack is mostly the same
	told := map[string]bool{}
	for _, p := range d.problems {
		told[p.Key+" "+p.Message] = true
	}
	for _, other := range nodes {
		if known && other == node {
			continue
		}
		mine := d.problems
		d.problems = nil
		(&builder{decoder: d, raw: raw, node: other, nodes: nodes}).config()
		for _, p := range d.problems {
			if told[p.Key+" "+p.Message] {
				continue
			}
			told[p.Key+" "+p.Message] = true
			if len(nodes) > 1 && !strings.HasSuffix(p.Key, join(".", other)) {
				p.Message = "on node " + other + ": " + p.Message
			}
			mine = append(mine, p)
		}
		d.problems = mine
	}
	return cfg
}

// node returns the name of this node.
func (d *decoder) node(raw *rawFile, node string) string {
	id := &raw.Global.RouterID
	if id.set && !id.bad && id.v == "" {
		d.errorf(id.path(), "is empty").remedy(`name this node, as in router_id = "lvs-a", or remove the key`)
	}
	return cmp.Or(node, id.v, shortHostname())
}

// nodes returns every node that the file serves and whether this one is among
// them, and holds each per-node table against that list.
func (d *decoder) nodes(raw *rawFile, node string) (all []string, known bool) {
	if slices.ContainsFunc(d.tables, func(t nodeTable) bool { return !slices.Equal(t.names, d.tables[0].names) }) {
		slices.SortStableFunc(d.tables, func(a, b nodeTable) int {
			return cmp.Compare(d.index.offset(a.path), d.index.offset(b.path))
		})
	}
	list := &raw.Global.Nodes
	tables, from := d.tables, list.path()
	switch {
	case list.set && !list.bad:
		all = d.listed(list)
	case len(tables) > 0:
		all, from = tables[0].names, tables[0].path
		tables = tables[1:]
	default:
		return []string{node}, true
	}
	if len(all) > maxNodes { // only a list can be that long: tables are refused
		d.errorf(from, "names %d nodes", len(all)).remedy("use %d at most", maxNodes)
		all = all[:maxNodes]
	}
	for _, t := range tables {
		d.nodeTable(t, all, from)
	}
	if known = slices.Contains(all, node); !known {
		p := d.errorf(from, "has nothing for this node, %s", node)
		if n := nearest(node, all); n != "" {
			p.remedy("did you mean %s? Start with --node %s, or set router_id, or add %s here", n, n, node)
		} else {
			p.remedy("start with --node and one of %s, or add %s here", strings.Join(all, ", "), node)
		}
	}
	return all, known
}

// listed reads [global] nodes.
func (d *decoder) listed(l *value[[]string]) []string {
	var all []string
	for i, n := range l.v {
		switch {
		case n == "":
			d.errorf(element(l.path(), i), "is empty").remedy("name a node or remove the element")
		case slices.Contains(all, n):
			d.errorf(element(l.path(), i), "names %s a second time", n).remedy("remove it")
		default:
			all = append(all, n)
		}
	}
	if len(l.v) == 0 {
		d.errorf(l.path(), "is empty").remedy("name every node that uses this file, or remove the key")
	}
	return all
}

// nodeTable compares the names of one per-node table with the known ones.
func (d *decoder) nodeTable(t nodeTable, all []string, from string) {
	for _, n := range t.names {
		if slices.Contains(all, n) {
			continue
		}
		p := d.errorf(join(t.path, n), "unknown node %s", n)
		if near := nearest(n, all); near != "" {
			p.remedy("did you mean %s? The nodes are named in %s", near, d.where(from))
		} else {
			p.remedy("the nodes named in %s are %s", d.where(from), strings.Join(all, ", "))
		}
	}
	var missing []string
	for _, n := range all {
		if !slices.Contains(t.names, n) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		d.errorf(t.path, "has no value for %s", strings.Join(missing, ", ")).
			remedy("add %s, or write one value for all nodes", fmt.Sprintf("%s = …", missing[0]))
	}
}
