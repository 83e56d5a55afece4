package keepalived

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"baton/conf"
)

var update = flag.Bool("update", false, "write testdata/*.toml and *.doubts")

// TestImport: files of keepalived's that it takes itself (TestKernelImport has it judge what
// is made of them) become files that Baton takes.
func TestImport(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		r, err := Import(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if len(r.Problems) > 0 {
			t.Errorf("%s: Baton refuses what became of it:\n%v", file, r.Problems)
		}
		var doubts strings.Builder
		for _, d := range r.Doubts {
			fmt.Fprintln(&doubts, d)
		}
		for suffix, got := range map[string]string{".toml": string(r.TOML), ".doubts": doubts.String()} {
			golden := strings.TrimSuffix(file, ".conf") + suffix
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got; -update writes it):\n%s", golden, diff)
			}
		}
	}
}

// imported reads a text.
func imported(t testing.TB, text string) (*Result, error) {
	t.Helper()
	im, r := begin("k.conf")
	all, err := r.text("k.conf", text, 0)
	if err != nil {
		return nil, err
	}
	return im.result(all), nil
}

// TestValues: what a line becomes.
func TestValues(t *testing.T) {
	in := func(line string) string {
		return "vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1\n}\n" + line + "\n}\n"
	}
	vs := func(line string) string {
		return "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlb_kind DR\nreal_server 192.0.2.2 80 {\n" + line + "\n}\n}\n"
	}
	for name, c := range map[string]struct{ text, want, doubt string }{
		"comment":             {in("priority 7 # 8"), "priority = 7\n", ""},
		"comment of old":      {in("priority 7 ! 8"), "priority = 7\n", ""},
		"brace on its line":   {in("track_interface\n{\neth1\n}"), `track_interface = ["eth1"]`, ""},
		"block on one line":   {in("track_interface { eth1 }"), `track_interface = ["eth1"]`, ""},
		"continued":           {in("priority \\\n 7"), "priority = 7\n", ""},
		"variable":            {"$P=7\n" + in("priority $P"), "priority = 7\n", ""},
		"variable in a word":  {"$N=192.0.2\n" + in("mcast_src_ip ${N}.9"), `mcast_src_ip = "192.0.2.9"`, ""},
		"unknown variable":    {in("mcast_src_ip $X"), "", "k.conf:7: $X: no such variable"},
		"quotes":              {in(`notify_master "/bin/x 'a b' \c"`), `notify_master = "/bin/x 'a b' \\c"`, ""},
		"words of a script":   {in("notify_master /bin/x a"), `notify_master = "/bin/x a"`, ""},
		"fraction of seconds": {in("advert_int 0.25"), `advert_int = "250ms"`, ""},
		"no number":           {in("priority high"), "", `k.conf:7: vrrp_instance V: priority: is left out: "high" is no whole number`},
		"no duration":         {in("advert_int -1"), "", `advert_int: is left out: "-1" is no number of seconds`},
		"false":               {in("accept false"), "accept = false\n", ""},
		"neither":             {in("accept perhaps"), "", `accept: is left out: "perhaps" is neither true nor false`},
		"unknown word":        {in("linkbeat 1"), "", "k.conf:7: vrrp_instance V: linkbeat: has no counterpart"},
		"a group of one":      {"vrrp_sync_group G {\ngroup {\nV\n}\n}\n", "", "vrrp_sync_group: is left out: a group of one"},
		"AH":                  {in("authentication {\nauth_type AH\nauth_pass x\n}"), "", "authentication: is left out"},
		"old version":         {in(""), "vrrp_version = 2\n", ""},
		"conditional":         {in("@node1 priority 9"), "", "k.conf:7: @node1: conditional lines are left out"},
		"script without user": {in("notify_master /bin/x"), "", "script_user: scripts run as prober_user"},
		"IPv6":                {"virtual_server 2001:db8::1 80 {\nprotocol TCP\nlb_kind DR\n}\n", `address = "[2001:db8::1]:80"`, ""},
		"UDP by default":      {"virtual_server 192.0.2.1 80 {\nlb_kind DR\n}\n", `protocol = "UDP"`, "virtual_server 192.0.2.1 80: protocol: is not given"},
		"NAT by default":      {"virtual_server 192.0.2.1 80 {\nprotocol TCP\n}\n", `lb_kind = "NAT"`, ""},
		"in the pool at once": {vs(""), "alpha = false\n", ""},
		"one url":             {vs("HTTP_GET {\nurl {\npath /x\n}\n}"), "[virtual_server.real_server.http_get]\npath = \"/x\"\n", ""},
		"two of a kind":       {vs("TCP_CHECK {\n}\nTCP_CHECK {\nconnect_port 1\n}"), "[[virtual_server.real_server.tcp_check]]\nconnect_port = 1\n", ""},
		"no certificate":      {vs("SSL_GET {\n}"), "verify = false\n", ""},
		"DNS is patient":      {vs("delay_loop 7\nDNS_CHECK {\n}"), "retry = 3\ndelay_before_retry = \"7s\"\n", ""},
		"DNS as it is told":   {vs("retry 1\ndelay_before_retry 1\nDNS_CHECK {\n}"), "delay_before_retry = \"1s\"\n[virtual_server.real_server.dns_check]\n", ""},
		"MISC is not":         {vs("MISC_CHECK {\nmisc_path /bin/x\n}"), "misc_path = \"/bin/x\"\nretry = 0\n", ""},
		"no mark":             {"virtual_server fwmark x {\nlb_kind NAT\n}\n", "", `virtual_server: is taken over without fwmark: "x" is no whole number`},
		"no mark in a group":  {"virtual_server_group g {\nfwmark x\n}\n", "", `fwmark: is left out: "x" is no mark`},
		"no tunnel's port":    {"virtual_server fwmark 1 {\nlb_kind TUN type gue port x\n}\n", "", `lb_kind: is taken over without tun_port: "x"`},
		"no weight":           {"virtual_server fwmark 1 {\nlb_kind NAT\nweight x\nreal_server 192.0.2.2 0 {\n}\n}\n", "", `real_server: is taken over without weight: "x"`},
		"MD5":                 {vs("HTTP_GET {\nurl {\ndigest 00\n}\n}"), "", "url: digest: is left out: it is an MD5 sum"},
		"no file":             {vs("FILE_CHECK {\ntrack_file f\n}"), "", "track_file: is left out: there is no track_file f"},
	} {
		r, err := imported(t, c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var any map[string]any
		if _, err := toml.Decode(string(r.TOML), &any); err != nil {
			t.Errorf("%s: it is no TOML: %v\n%s", name, err, r.TOML)
		}
		if !strings.Contains(string(r.TOML), c.want) {
			t.Errorf("%s: it is\n%s\nwant %s", name, r.TOML, c.want)
		}
		all := fmt.Sprint(r.Doubts)
		if !strings.Contains(all, c.doubt) || c.doubt == "" && len(r.Doubts) > 0 && !strings.HasPrefix(r.Doubts[0].About, "script_user") {
			t.Errorf("%s: doubts are %s, want %q", name, all, c.doubt)
		}
	}
}

// TestToldBefore: what stands around a check counts for it, and not what keepalived has
// without it.
func TestToldBefore(t *testing.T) {
	r, err := imported(t, "virtual_server 192.0.2.1 80 {\nretry 1\ndelay_before_retry 1\nreal_server 192.0.2.2 80 {\nDNS_CHECK {\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"retry", "delay_before_retry"} {
		if n := strings.Count(string(r.TOML), "\n"+word+" ="); n != 1 {
			t.Errorf("%s stands there %d times:\n%s", word, n, r.TOML)
		}
	}
}

// TestUnreadable: what cannot be read has no result, and says where.
func TestUnreadable(t *testing.T) {
	for text, want := range map[string]string{
		"a {\nb {\n}\n":                    "k.conf:1: the block of a has no closing brace",
		"a {\n}\n}\n":                      "k.conf:3: a closing brace without an opening one",
		"{\n}\n":                           "k.conf:1: an opening brace without a word",
		"a \"b\n":                          "k.conf:1: a quotation mark that nothing closes",
		strings.Repeat("a {\n", 20):        "k.conf:17: blocks are more than 16 deep",
		"include testdata/none.d/*.conf\n": "",
	} {
		_, err := imported(t, text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20q: error %v, want %s", text, err, want)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"loop": "include loop\n", "dir": "include .\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"loop": "more than 16 deep", "dir": "no regular file", "none": "no such file"} {
		if _, err := Import(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
	}
}

// FuzzImport: whatever is read, the result is TOML, and says what Baton refuses in it.
func FuzzImport(f *testing.F) {
	for _, name := range []string{"testdata/whole.conf", "testdata/web.inc", "testdata/simple.conf"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("$A=$A\n$A {\n\"\n}")
	f.Add("virtual_server fwmark {\nreal_server\n}\nvirtual_server_group\n{\n\"\x00\"\n}")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := imported(t, strings.ReplaceAll(text, "include", "exclude")) // it is no matter of this machine's files
		if err != nil {
			return
		}
		var any map[string]any
		if _, err := toml.Decode(string(r.TOML), &any); err != nil {
			t.Errorf("it is no TOML: %v\n%s", err, r.TOML)
		}
		if _, err := conf.Parse("baton.toml", r.TOML, ""); (err != nil) != (len(r.Problems) > 0) {
			t.Errorf("problems are %v, and Parse says %v", r.Problems, err)
		}
	})
}
