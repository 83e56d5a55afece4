package keepalived

import "strings"

// checkWords are the checks of a real_server. An init, as they lead back here.
var checkWords keywords

func init() {
	http := with(network, keywords{
		"url":           (*importer).url,
		"virtualhost":   word(""),
		"http_protocol": (*importer).httpProtocol,
		"enable_sni":    silent, // the name that is asked for in the handshake is always sent
		"fast_recovery": left("rise = 1 brings a server back with its first pass"),
	})
	checkWords = keywords{
		"HTTP_GET":   check("http_get", http, nil),
		"SSL_GET":    check("https_get", http, func(_ *importer, t *table) { t.set("verify", "false") }), // as keepalived
		"TCP_CHECK":  check("tcp_check", network, nil),
		"SMTP_CHECK": check("smtp_check", with(network, keywords{"helo_name": word(""), "host": (*importer).host}), nil),
		"DNS_CHECK": check("dns_check", with(network, keywords{"type": word(""), "name": word("")}), func(im *importer, t *table) {
			if !t.has("retry") && !im.defaults.retry { // keepalived's
				t.set("retry", "3")
			}
			if d, ok := seconds(or(im.defaults.delayLoop, "60")); ok && !t.has("delay_before_retry") && !im.defaults.pause {
				t.set("delay_before_retry", d)
			}
		}),
		"MISC_CHECK": check("misc_check", with(timing, keywords{
			"misc_path":    command(""),
			"misc_timeout": duration(""),
			"misc_dynamic": truth(""),
			"user":         left("checks run as prober_user"),
		}), func(im *importer, t *table) {
			if !t.has("retry") && !im.defaults.retry { // keepalived's
				t.set("retry", "0")
			}
		}),
		"UDP_CHECK": check("udp_check", with(network, keywords{
			"payload":          hexadecimal("payload"),
			"require_reply":    requireReply,
			"min_reply_length": number("min_reply_len"),
			"max_reply_length": number("max_reply_len"),
		}), nil),
		"PING_CHECK": check("ping_check", network, nil),
		"FILE_CHECK": check("file_check", with(timing, keywords{"track_file": (*importer).checkedFile, "weight": number("")}), nil),
		"BFD_CHECK":  left("Baton has no BFD (tcp_check or ping_check with a short delay_loop)"),
	}
	for name, h := range checkWords {
		serverWords[name] = h
	}
}

// network are the words of checks that go to a port.
var network = with(timing, each(word(""), "connect_ip", "bindto", "bind_if"), each(number(""), "connect_port", "bind_port", "fwmark"), keywords{
	"alpha":      left("it is one for all servers of a virtual_server"),
	"smtp_alert": left("Baton sends no mail"),
})

// needsPort are the checks that go to a port, by Baton's name.
var needsPort = map[string]bool{"http_get": true, "https_get": true, "tcp_check": true, "smtp_check": true, "dns_check": true, "udp_check": true}

// check reads the block of one. after adds what keepalived takes for granted.
func check(name string, known keywords, after func(*importer, *table)) handler {
	return func(im *importer, s *statement, t *table) {
		c := t.add(name, true)
		im.apply(c, s.block, known, im.about+": "+s.name())
		if len(c.subs) == 1 && c.subs[0].name == "url" { // the keys of a single one may stand in the check
			c.keys, c.subs = append(c.keys, c.subs[0].table.keys...), nil
		}
		if host := im.defaults.virtualhost; host != "" && (name == "http_get" || name == "https_get") && !c.has("virtualhost") {
			c.set("virtualhost", quote(host))
		}
		if after != nil {
			after(im, c)
		}
	}
}

var urlWords = keywords{
	"path":             word(""),
	"virtualhost":      word(""),
	"status_code":      statusCode,
	"regex":            text(""),
	"regex_no_match":   truth(""),
	"digest":           left("it is an MD5 sum (sha256 wants that of the body: curl -s URL | sha256sum)"),
	"regex_options":    left("RE2 has them in the expression, as (?i)"),
	"regex_stack":      silent,
	"regex_min_offset": left("the expression is looked for in the first MiB of the body"),
	"regex_max_offset": left("the expression is looked for in the first MiB of the body"),
	"tls_compliant":    silent,
}

func (im *importer) url(s *statement, t *table) {
	im.apply(t.add("url", true), s.block, urlWords, im.about+": url")
}

// statusCode reads numbers and ranges.
func statusCode(_ *importer, s *statement, t *table) { t.set("status_code", list(s.words[1:])) }

func (im *importer) httpProtocol(s *statement, t *table) {
	if v := strings.TrimRight(s.arg(0), "CK"); v != "1.1" {
		im.doubt(s, "is left out: requests are made in HTTP 1.1 or 2")
	}
}

// host is SMTP_CHECK's old block for its address.
func (im *importer) host(s *statement, t *table) {
	im.apply(t, s.block, network, im.about+": host")
}

// hexadecimal is a text of hexadecimal digits.
func hexadecimal(name string) handler {
	return func(_ *importer, s *statement, t *table) { t.set(name, quote(s.text())) }
}

// requireReply reads require_reply [DIGITS].
func requireReply(_ *importer, s *statement, t *table) {
	if s.text() != "" {
		t.set("reply", quote(s.text()))
		return
	}
	t.set("require_reply", "true")
}

// checkedFile looks up the path of a track_file.
func (im *importer) checkedFile(s *statement, t *table) {
	path := im.trackFiles[s.arg(0)]
	if path == "" {
		im.doubt(s, "is left out: there is no track_file "+s.arg(0)+" with a file")
		return
	}
	t.set("file", quote(path))
}
