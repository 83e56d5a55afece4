package conf_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"baton/conf"
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

	"Instances.Group":                notYet,
	"Instances.Peers":                notYet,
	"Instances.UnicastTTL":           notYet,
	"Instances.UnicastTTLMin":        notYet,
	"Instances.AnySource":            notYet,
	"Instances.Password":             notYet,
	"Instances.VMAC":                 notYet,
	"Instances.NoAccept":             notYet,
	"Instances.Excluded":             notYet,
	"Instances.Routes":               notYet,
	"Instances.Rules":                notYet,
	"Instances.Track":                notYet,
	"Instances.GARP.LowerPrioDelay":  notYet,
	"Instances.GARP.LowerPrioRepeat": notYet,
	"Instances.GARP.Interval":        notYet,
	"Instances.GARP.NAInterval":      notYet,
	"SyncGroups":                     notYet,
	"Scripts":                        notYet,
	"Files":                          notYet,
	"Processes":                      notYet,
	"Notify":                         notYet,
}

const notYet = "no key of the file sets it yet"

// TestDiffSeesEveryField changes every field of a Config, one at a time: a
// field that Diff does not know would be reloaded without a word.
func TestDiffSeesEveryField(t *testing.T) {
	fresh := func() *conf.Config { return parse(t, "lvs-a", pair) }
	old, changed := fresh(), 0
	var walk func(path string, get func(*conf.Config) reflect.Value)
	walk = func(path string, get func(*conf.Config) reflect.Value) {
		if _, skip := unwatched[path]; skip {
			return
		}
		v := get(old)
		switch v.Interface().(type) {
		case netip.Addr, netip.Prefix, netip.AddrPort:
		default:
			switch v.Kind() {
			case reflect.Struct:
				for i := range v.NumField() {
					f := v.Type().Field(i)
					if path == "Services.Servers.Server" && (f.Name == "Key" || f.Name == "Stats") || path == "Services.Servers.Checks" && (f.Name == "ID" || f.Name == "Kind") {
						continue // identity, and what is observed
					}
					name := f.Name
					if path != "" {
						name = path + "." + name
					}
					walk(name, func(c *conf.Config) reflect.Value { return get(c).Field(i) })
				}
				return
			case reflect.Slice:
				if v.Len() == 0 {
					break
				}
				walk(path, func(c *conf.Config) reflect.Value { return get(c).Index(0) })
				return
			case reflect.Pointer:
				walk(path, func(c *conf.Config) reflect.Value { return get(c).Elem() })
				return
			}
		}
		next := fresh()
		mutate(t, path, get(next))
		changed++
		if d := conf.Diff(old, next); len(d.List) != 1 || d.Changed != 1 {
			t.Errorf("%s changed, and Diff says %q", path, d.Lines())
		}
	}
	walk("", func(c *conf.Config) reflect.Value { return reflect.ValueOf(c).Elem() })
	if changed < 60 {
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
