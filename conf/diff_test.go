package conf_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/healthcheck"
)

// unwatched are the fields that a reload does not tell of.
var unwatched = map[string]string{
	"File":                 "the same file under another name is the same configuration",
	"Hash":                 "a comment changes it",
	"Warnings":             "they are told by themselves",
	"Global.Nodes":         "who else uses the file is no setting of this node",
	"Instances.Name":       "identity: another name is another instance",
	"Services.Name":        "identity",
	"Services.Service.Key": "identity",

	"Services.Keys.Family":            "of a firewall mark alone",
	"Services.Sorry.Server.Stats":     "observed",
	"Services.Sorry.Server.Weight":    "has no key",
	"Services.Sorry.InhibitOnFailure": "has no key",
	"Services.Sorry.Checks":           "has no key",
	"Services.Sorry.SlowStart":        "has no key",
	"Services.Sorry.NotifyUp":         "has no key",
	"Services.Sorry.NotifyDown":       "has no key",

	"SyncGroups.Name": "identity",
	"Scripts.Name":    "identity",
	"Files.Name":      "identity",
	"Processes.Name":  "identity",
}

// full has something of everything that pair does not.
const full = `
[[vrrp_sync_group]]
name = "VG_1"
group = ["VI_0", "VI_1"]
track_script = ["chk"]
notify_master = "/bin/notify master"
notify_backup = "/bin/notify backup"
notify_fault = "/bin/notify fault"
notify_stop = "/bin/notify stop"
notify = "/bin/notify"

[[vrrp_script]]
name = "chk"
script = "/bin/check"
weight = 2

[[vrrp_track_file]]
name = "file"
file = "/run/file"

[[vrrp_track_process]]
name = "process"
process = "haproxy"
args = ["-f"]

[[vrrp_instance]]
name = "VI_0"
interface = "eth1"
virtual_router_id = 52
unicast_src_ip = "10.0.0.1"
unicast_peer = ["10.0.0.2"]
use_vmac = true
vmac_xmit_base = true
virtual_ipaddress = ["10.0.0.200/24"]
virtual_ipaddress_excluded = ["2001:db8::200/64"]
virtual_routes = ["default via 10.0.0.254 table 100"]
virtual_rules = ["from 10.0.0.0/24 priority 100 table 100"]
track_interface = ["eth9"]
track_file = [{ name = "file", weight = 0 }]
track_process = [{ name = "process", weight = 0 }]
notify_master = "/bin/notify master"
notify_backup = "/bin/notify backup"
notify_fault = "/bin/notify fault"
notify_stop = "/bin/notify stop"
notify = { script = "/bin/notify", user = "nobody nogroup" }

[ipvs]
lvs_timeouts = { tcp = 60 }
expire_nodest_conn = true
[ipvs.lvs_sync_daemon]
group = "224.0.0.81"

[[virtual_server_group]]
name = "web"
addresses = ["10.0.0.200-201:8080"]

[[virtual_server]]
virtual_server_group = "web"
lb_kind = "TUN"
quorum = 3
quorum_up = "/bin/quorum up"
quorum_down = "/bin/quorum down"
sorry_server = "10.0.0.250"
tcp_check.connect_port = 80

[[virtual_server.real_server]]
address = "10.0.0.103:8080"
weight = 3
notify_up = "/bin/server up"
notify_down = "/bin/server down"
[virtual_server.real_server.https_get]
url = [{ path = "/1" }, { path = "/2" }]
[virtual_server.real_server.dns_check]
rcode = ["NOERROR"]
type = "A"
answer = ["192.0.2.1"]
[virtual_server.real_server.smtp_check]
security = "tls"
[virtual_server.real_server.udp_check]
payload = "00"
reply = "0?"
[virtual_server.real_server.grpc_check]
tls = true
[virtual_server.real_server.misc_check]
misc_path = "/bin/check"
[virtual_server.real_server.file_check]
file = "/run/weight"
weight = 1
`

// TestDiffSeesEveryField changes every field of a Config, one at a time: a
// field that Diff does not know would be reloaded without a word.
func TestDiffSeesEveryField(t *testing.T) {
	// The instance with everything stands first: the walk follows first elements.
	fresh := func() *conf.Config {
		c, err := conf.Parse("f", []byte(full+strings.Replace(pair, "{ lvs-a = 150, lvs-b = 100 }", "100", 1)), "")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old, changed := fresh(), 0
	// at hands a value of a Config to do, which may change it.
	type at func(c *conf.Config, do func(reflect.Value))
	try := func(path string, at at, change func(reflect.Value)) {
		t.Helper()
		next := fresh()
		at(next, change)
		changed++
		if d := conf.Diff(old, next); len(d.List) != 1 || d.Changed != 1 {
			t.Errorf("%s changed, and Diff says %q", path, d.Lines())
		}
	}
	var walk func(path string, at at)
	walk = func(path string, at at) {
		if _, skip := unwatched[path]; skip {
			return
		}
		var v reflect.Value
		at(old, func(found reflect.Value) { v = found })
		inner := func(name string, step func(reflect.Value) reflect.Value) {
			walk(name, func(c *conf.Config, do func(reflect.Value)) { at(c, func(v reflect.Value) { do(step(v)) }) })
		}
		switch v.Interface().(type) {
		case netip.Addr, netip.Prefix, netip.AddrPort:
		default:
			switch v.Kind() {
			case reflect.Struct:
				for i := range v.NumField() {
					f := v.Type().Field(i)
					if !f.IsExported() {
						continue // of the reader's own
					}
					if path == "Services.Servers.Server" && (f.Name == "Key" || f.Name == "Stats") || path == "Services.Servers.Checks" && (f.Name == "ID" || f.Name == "Kind") {
						continue // identity, and what is observed
					}
					inner(strings.TrimPrefix(path+"."+f.Name, "."), func(v reflect.Value) reflect.Value { return v.Field(i) })
				}
				return
			case reflect.Slice:
				if v.Len() == 0 {
					break
				}
				n := 1
				if v.Type().Elem() == reflect.TypeFor[healthcheck.Spec]() {
					n = v.Len() // each of another kind
				}
				for i := range n {
					inner(path, func(v reflect.Value) reflect.Value { return v.Index(i) })
				}
				return
			case reflect.Pointer:
				if v.IsNil() && strings.HasPrefix(path, "Services.Servers.Checks.") {
					return // another kind's
				}
				if v.IsNil() {
					t.Fatalf("%s is nil: the walk would not see what is behind it", path)
				}
				inner(path, func(v reflect.Value) reflect.Value { return v.Elem() })
				try(path+", now nil,", at, func(v reflect.Value) { v.SetZero() })
				return
			case reflect.Map:
				if v.Len() == 0 {
					t.Fatalf("%s is empty: the walk would not see what is in it", path)
				}
				for _, key := range v.MapKeys() {
					walk(path+"."+key.String()[:5], func(c *conf.Config, do func(reflect.Value)) {
						at(c, func(m reflect.Value) {
							e := reflect.New(m.Type().Elem()).Elem()
							e.Set(m.MapIndex(key))
							do(e)
							m.SetMapIndex(key, e)
						})
					})
				}
				return
			}
		}
		try(path, at, func(v reflect.Value) { mutate(t, path, v) })
	}
	walk("", func(c *conf.Config, do func(reflect.Value)) { do(reflect.ValueOf(c).Elem()) })
	if changed < 150 {
		t.Errorf("%d fields were changed only: the walk is broken", changed)
	}
}

func mutate(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch x := v.Addr().Interface().(type) {
	case *netip.Addr:
		*x = netip.MustParseAddr("192.0.2.77")
		return
	case *netip.Prefix:
		*x = netip.MustParsePrefix("192.168.16.200/25")
		return
	case *netip.AddrPort:
		*x = netip.MustParseAddrPort("192.0.2.77:7")
		return
	case *time.Duration:
		*x += time.Second
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	case reflect.Slice:
		e := reflect.New(v.Type().Elem()).Elem()
		for i := range e.NumField() {
			if f := e.Field(i); f.Kind() == reflect.Struct || f.Kind() == reflect.Slice {
				continue
			}
			mutate(t, fmt.Sprint(path, i), e.Field(i))
		}
		v.Set(reflect.Append(v, e))
	default:
		t.Fatalf("%s: no way to change a %s", path, v.Type())
	}
}

// TestFirst counts what Diff from nothing lists.
func TestFirst(t *testing.T) {
	files, err := filepath.Glob("../examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, file := range files {
		cfg, err := conf.Load(file, "lvs-a")
		if err != nil {
			t.Fatal(err)
		}
		all := conf.Diff(nil, cfg)
		for listed := range len(all.List) + 2 {
			first := conf.First(cfg, listed)
			n := len(first.List)
			if first.Added != all.Added || n < min(listed, all.Added) || !slices.Equal(first.List, all.List[:n]) {
				t.Errorf("%s: %d listed of %d: %v", file, n, first.Added, first)
			}
		}
	}
}
