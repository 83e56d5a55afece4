package doctor

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The JSON of `nft -j list ruleset`, as libnftables-json(5) has it, as far as it
// is understood here. What is not is taken for something that perhaps fits.
type (
	nftObject struct {
		Chain *nftChain `json:"chain"`
		Rule  *nftRule  `json:"rule"`
		Set   *nftSet   `json:"set"`
	}
	nftChain struct {
		Family, Table, Name, Type, Hook, Policy string
		Dev                                     json.RawMessage // one interface, or a list
	}
	nftRule struct {
		Family, Table, Chain string
		Expr                 []map[string]json.RawMessage
	}
	nftSet struct {
		Family, Table, Name string
		Flags               any
		Elem                json.RawMessage
	}
	nftMatch struct {
		Op          string
		Left, Right json.RawMessage
	}
)

// parseNFT adds the chains that filter.
func (r ruleset) parseNFT(data []byte) error {
	var doc struct {
		Nftables []nftObject `json:"nftables"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("parse nft's rules: %w", err)
	}
	sets := map[string]json.RawMessage{}
	for _, o := range doc.Nftables {
		if c := o.Chain; c != nil && c.Type != "nat" {
			n := &chain{family: c.Family, table: c.Table, name: c.Name, hook: c.Hook, devices: nftDevices(c.Dev), drops: c.Policy == "drop"}
			r[n.key()] = n
		}
		if s := o.Set; s != nil && !strings.Contains(fmt.Sprint(s.Flags), "dynamic") {
			elem := s.Elem
			if elem == nil {
				elem = json.RawMessage("[]")
			}
			sets[s.Family+" "+s.Table+" @"+s.Name] = elem
		}
	}
	for _, o := range doc.Nftables {
		if o.Rule == nil {
			continue
		}
		c := r[o.Rule.Family+" "+o.Rule.Table+" "+o.Rule.Chain]
		if c == nil {
			continue
		}
		in := nftReader{sets: sets, prefix: o.Rule.Family + " " + o.Rule.Table + " "}
		c.rules = append(c.rules, in.rule(o.Rule.Expr))
	}
	return nil
}

// nftDevices are the interfaces that a chain of the ingress hook is on.
func nftDevices(raw json.RawMessage) []string {
	var one string
	var many []string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	if json.Unmarshal(raw, &many) != nil {
		return nil
	}
	return many
}

type nftReader struct {
	sets   map[string]json.RawMessage
	prefix string
}

func (n nftReader) rule(exprs []map[string]json.RawMessage) rule {
	var out rule
	for _, e := range exprs {
		for key, raw := range e {
			if v, ok := nftVerdict(key, raw); ok {
				out.verdicts = append(out.verdicts, v)
				continue
			}
			switch key {
			case "match":
				var m nftMatch
				if json.Unmarshal(raw, &m) != nil {
					out.matches = append(out.matches, unsure)
					continue
				}
				out.matches = append(out.matches, n.match(m))
			case "vmap":
				out.verdicts = append(out.verdicts, n.vmap(raw)...)
			case "counter", "log", "comment", "mangle", "set", "ct timeout", "ct helper", "notrack":
			default: // a limit, an extension of iptables
				out.matches = append(out.matches, unsure)
			}
		}
	}
	return out
}

func unsure(probe) fit { return perhaps }

func nftVerdict(key string, raw json.RawMessage) (verdictIf, bool) {
	var to struct{ Target string }
	switch key {
	case "accept":
		return verdictIf{what: passed}, true
	case "drop", "reject":
		return verdictIf{what: dropped}, true
	case "return":
		return verdictIf{what: left}, true
	case "queue":
		return verdictIf{what: passed | dropped}, true
	case "jump", "goto":
		if json.Unmarshal(raw, &to) != nil || to.Target == "" {
			return verdictIf{what: passed | dropped}, true
		}
		return verdictIf{jump: to.Target, isGoto: key == "goto"}, true
	}
	return verdictIf{}, false
}

// vmap reads a map from values to verdicts.
func (n nftReader) vmap(raw json.RawMessage) []verdictIf {
	var m struct {
		Key  json.RawMessage
		Data struct {
			Set [][]json.RawMessage
		}
	}
	if json.Unmarshal(raw, &m) != nil || m.Data.Set == nil {
		return []verdictIf{{when: unsure, what: passed | dropped}}
	}
	var out []verdictIf
	for _, pair := range m.Data.Set {
		var what map[string]json.RawMessage
		if len(pair) != 2 || json.Unmarshal(pair[1], &what) != nil {
			continue
		}
		for key, raw := range what {
			if v, ok := nftVerdict(key, raw); ok {
				v.when = n.match(nftMatch{Op: "==", Left: m.Key, Right: pair[0]})
				out = append(out, v)
			}
		}
	}
	return out
}

// match compares a field of the packet with a value.
func (n nftReader) match(m nftMatch) match {
	get := nftField(m.Left)
	if get == nil {
		return unsure
	}
	same := n.value(m.Right, 0)
	switch m.Op {
	case "==", "in":
		return func(p probe) fit { return compare(get, same, p, false) }
	case "!=":
		return func(p probe) fit { return compare(get, same, p, true) }
	}
	return unsure
}

// field is what a rule looks at: a text in nft's words. known is false where the
// packet does not say, has is false where it has no such thing.
type field func(p probe) (text string, has, known bool)

func compare(get field, same func(string) fit, p probe, inverse bool) fit {
	text, has, known := get(p)
	switch {
	case !has:
		return no
	case !known:
		return perhaps
	case inverse:
		return same(text).not()
	}
	return same(text)
}

func nftField(raw json.RawMessage) field {
	var l struct {
		Payload *struct{ Protocol, Field string }
		Meta    *struct{ Key string }
		CT      *struct{ Key string } `json:"ct"`
	}
	if json.Unmarshal(raw, &l) != nil {
		return nil
	}
	switch {
	case l.Payload != nil:
		return payloadField(l.Payload.Protocol, l.Payload.Field)
	case l.Meta != nil:
		return metaField(l.Meta.Key)
	case l.CT != nil && l.CT.Key == "state":
		return func(p probe) (string, bool, bool) { return p.state, true, p.state != "" }
	}
	return nil
}

func metaField(key string) field {
	name := func(of func(probe) string) field {
		return func(p probe) (string, bool, bool) { return of(p), true, true }
	}
	switch key {
	case "l4proto":
		return name(func(p probe) string { return strconv.Itoa(p.proto) })
	case "nfproto":
		return name(func(p probe) string { return map[bool]string{false: "ipv4", true: "ipv6"}[p.six] })
	case "protocol":
		return name(func(p probe) string { return map[bool]string{false: "ip", true: "ip6"}[p.six] })
	case "iifname", "iif":
		return name(func(p probe) string { return p.in })
	case "oifname", "oif":
		return name(func(p probe) string { return p.out })
	}
	return nil
}

func payloadField(protocol, key string) field {
	address := func(six bool, of func(probe) netip.Addr) field {
		return func(p probe) (string, bool, bool) { return of(p).String(), p.six == six, of(p).IsValid() }
	}
	port := func(of func(probe) uint16) field {
		return func(p probe) (string, bool, bool) {
			here := protocol == "th" && portOf(p.proto) || protocols[protocol] == p.proto && portOf(p.proto)
			return strconv.Itoa(int(of(p))), here, of(p) != 0
		}
	}
	six := protocol == "ip6"
	switch {
	case protocol == "ip" && key == "protocol", six && key == "nexthdr":
		return func(p probe) (string, bool, bool) { return strconv.Itoa(p.proto), p.six == six, true }
	case (protocol == "ip" || six) && key == "saddr":
		return address(six, func(p probe) netip.Addr { return p.src })
	case (protocol == "ip" || six) && key == "daddr":
		return address(six, func(p probe) netip.Addr { return p.dst })
	case key == "dport":
		return port(func(p probe) uint16 { return p.dport })
	case key == "sport":
		return port(func(p probe) uint16 { return p.sport })
	case strings.HasPrefix(protocol, "icmp") && key == "type":
		return func(p probe) (string, bool, bool) {
			return strconv.Itoa(p.icmpType), protocols[protocol] == p.proto, true
		}
	case protocols[protocol] != 0:
		return func(p probe) (string, bool, bool) { return "", protocols[protocol] == p.proto, false }
	}
	return nil
}

func portOf(proto int) bool { return proto == 6 || proto == 17 || proto == 132 }

// value reads what a field is compared with.
func (n nftReader) value(raw json.RawMessage, depth int) func(string) fit {
	none := func(string) fit { return perhaps }
	if depth > 4 {
		return none
	}
	var text string
	var number json.Number
	var many []json.RawMessage
	var object struct {
		Set    []json.RawMessage
		Range  []json.RawMessage
		Prefix *struct {
			Addr string
			Len  int
		}
		Elem *struct{ Val json.RawMessage }
	}
	switch {
	case json.Unmarshal(raw, &text) == nil:
		if set, ok := n.sets[n.prefix+text]; ok {
			return n.value(set, depth+1)
		}
		if strings.HasPrefix(text, "@") {
			return none
		}
		return func(s string) fit { return sameWord(text, s) }
	case json.Unmarshal(raw, &number) == nil:
		return func(s string) fit { return fitIf(s == number.String()) }
	case json.Unmarshal(raw, &many) == nil:
		return n.any(many, depth)
	case json.Unmarshal(raw, &object) != nil:
		return none
	case object.Set != nil:
		return n.any(object.Set, depth)
	case object.Elem != nil:
		return n.value(object.Elem.Val, depth+1)
	case object.Prefix != nil:
		a, err := netip.ParseAddr(object.Prefix.Addr)
		net, err2 := a.Prefix(object.Prefix.Len)
		if err != nil || err2 != nil {
			return none
		}
		return func(s string) fit { return inPrefix(net, s) }
	case len(object.Range) == 2:
		low, high := strings.Trim(string(object.Range[0]), `"`), strings.Trim(string(object.Range[1]), `"`)
		return func(s string) fit { return inRange(low, high, s) }
	}
	return none
}

func (n nftReader) any(list []json.RawMessage, depth int) func(string) fit {
	var each []func(string) fit
	for _, raw := range list {
		each = append(each, n.value(raw, depth+1))
	}
	return func(s string) fit {
		best := no
		for _, f := range each {
			best = max(best, f(s))
		}
		return best
	}
}

func inPrefix(net netip.Prefix, s string) fit {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return perhaps
	}
	return fitIf(net.Contains(a))
}

func inRange(low, high, s string) fit {
	if a, err := netip.ParseAddr(s); err == nil {
		l, err := netip.ParseAddr(low)
		h, err2 := netip.ParseAddr(high)
		if err != nil || err2 != nil {
			return perhaps
		}
		return fitIf(l.Compare(a) <= 0 && a.Compare(h) <= 0)
	}
	n, err := strconv.Atoi(s)
	l, err2 := strconv.Atoi(low)
	h, err3 := strconv.Atoi(high)
	if err != nil || err2 != nil || err3 != nil {
		return perhaps
	}
	return fitIf(l <= n && n <= h)
}

// protocols are the numbers of /etc/protocols and nft's own words.
var protocols = map[string]int{"icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 4, "ipv4": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
	"ipv6-icmp": 58, "icmpv6": 58, "ospf": 89, "vrrp": 112, "carp": 112, "l2tp": 115, "sctp": 132, "udplite": 136}

// icmpTypes are nft's words for those that matter here.
var icmpTypes = map[string]int{"destination-unreachable": 3, "packet-too-big": 2}

// sameWord compares a word of a rule with a field: names of interfaces may end
// in a star, protocols and types have names.
func sameWord(word, s string) fit {
	if prefix, ok := strings.CutSuffix(word, "*"); ok {
		return fitIf(strings.HasPrefix(s, prefix))
	}
	if _, err := strconv.Atoi(s); err == nil && word != s {
		if n, ok := protocols[word]; ok {
			return fitIf(strconv.Itoa(n) == s)
		}
		if n, ok := icmpTypes[word]; ok {
			return fitIf(strconv.Itoa(n) == s)
		}
		if word != "" && (word[0] < '0' || word[0] > '9') {
			return perhaps // a name that is not known here
		}
	}
	return fitIf(word == s)
}
