package doctor

import (
	"net/netip"
	"strconv"
	"strings"
)

// parseIPTables adds what iptables-save or ip6tables-save has printed. Options
// that are not understood perhaps fit.
func (r ruleset) parseIPTables(text, family string) {
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case table == "" || table == "nat" || line == "":
		case line[0] == ':':
			word := strings.Fields(line[1:])
			if len(word) < 2 {
				continue
			}
			c := &chain{family: family, table: table, name: word[0], drops: word[1] == "DROP", iptables: true}
			if word[1] != "-" {
				c.hook = strings.ToLower(word[0])
			}
			r[c.key()] = c
		case strings.HasPrefix(line, "-A "):
			word := split(line)
			if len(word) < 2 {
				continue
			}
			if c := r["iptables "+family+" "+table+" "+word[1]]; c != nil {
				c.rules = append(c.rules, iptablesRule(word[2:]))
			}
		}
	}
}

// split takes a line apart at spaces outside of double quotes.
func split(line string) []string {
	var out []string
	var b strings.Builder
	quoted, begun := false, false
	for _, c := range line {
		switch {
		case c == '"':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				out = append(out, b.String())
			}
			b.Reset()
			begun = false
		default:
			b.WriteRune(c)
			begun = true
		}
	}
	if begun {
		out = append(out, b.String())
	}
	return out
}

func iptablesRule(word []string) rule {
	var out rule
	inverse := false
	next := func(i *int) string {
		if *i++; *i < len(word) {
			return word[*i]
		}
		return ""
	}
	add := func(get field, same func(string) fit) {
		not := inverse
		out.matches = append(out.matches, func(p probe) fit { return compare(get, same, p, not) })
	}
	for i := 0; i < len(word); i++ {
		o := word[i]
		if o == "!" {
			inverse = true
			continue
		}
		switch o {
		case "-p":
			v := next(&i)
			add(metaField("l4proto"), func(s string) fit { return sameWord(v, s) })
		case "-i", "-o":
			v := strings.Replace(next(&i), "+", "*", 1)
			add(metaField(map[string]string{"-i": "iifname", "-o": "oifname"}[o]), func(s string) fit { return sameWord(v, s) })
		case "-s", "-d":
			add(ipField(o == "-s"), inNetwork(next(&i)))
		case "--dport", "--sport", "--dports", "--sports":
			key := map[byte]string{'d': "dport", 's': "sport"}[o[2]]
			add(payloadField("th", key), inPorts(next(&i)))
		case "--ctstate", "--state":
			states := strings.Split(strings.ToLower(next(&i)), ",")
			add(func(p probe) (string, bool, bool) { return p.state, true, p.state != "" },
				func(s string) fit {
					for _, w := range states {
						if w == s {
							return yes
						}
					}
					return no
				})
		case "-m":
			next(&i)
			continue // the options that follow say it
		case "--comment", "--log-prefix", "--log-level", "--reject-with":
			next(&i)
		case "-j", "-g":
			out.verdicts = append(out.verdicts, iptablesTarget(next(&i), o == "-g"))
		default:
			out.matches = append(out.matches, unsure)
			if i+1 < len(word) && !strings.HasPrefix(word[i+1], "-") && word[i+1] != "!" {
				i++
			}
		}
		inverse = false
	}
	return out
}

func ipField(source bool) field {
	return func(p probe) (string, bool, bool) {
		a := p.dst
		if source {
			a = p.src
		}
		return a.String(), true, a.IsValid()
	}
}

func inNetwork(v string) func(string) fit {
	net, err := netip.ParsePrefix(v)
	if err != nil {
		if a, err := netip.ParseAddr(v); err == nil {
			net = netip.PrefixFrom(a, a.BitLen())
		} else {
			return func(string) fit { return perhaps }
		}
	}
	return func(s string) fit { return inPrefix(net, s) }
}

func inPorts(v string) func(string) fit {
	return func(s string) fit {
		best := no
		for part := range strings.SplitSeq(v, ",") {
			low, high, ranged := strings.Cut(part, ":")
			if !ranged {
				high = low
			}
			best = max(best, inRange(low, high, s))
		}
		return best
	}
}

func iptablesTarget(name string, isGoto bool) verdictIf {
	switch name {
	case "ACCEPT":
		return verdictIf{what: passed}
	case "DROP", "REJECT":
		return verdictIf{what: dropped}
	case "RETURN":
		return verdictIf{what: left}
	case "NFQUEUE", "QUEUE":
		return verdictIf{what: passed | dropped}
	case "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "TOS", "DSCP", "TTL", "TCPMSS", "CT", "NOTRACK", "SET", "TRACE", "CLASSIFY", "AUDIT", "CHECKSUM", "RATEEST", "TEE":
		return verdictIf{what: fallen}
	}
	if strconv.Quote(name) != `"`+name+`"` || name == "" {
		return verdictIf{what: passed | dropped}
	}
	return verdictIf{jump: name, isGoto: isGoto}
}
