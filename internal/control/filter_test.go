package control

import (
	"strings"
	"testing"

	"baton/internal/event"
)

func TestFilter(t *testing.T) {
	list := []event.Event{
		event.New("speaker", event.VRRPTransition, event.F(event.Instance, "VI_1")),
		event.New("director", event.VRRPGroupTransition, event.F(event.Group, "VG_1")),
		event.New("director", event.ServerDown, event.F(event.Server, "192.168.16.103:80")),
		event.New("prober", event.ServerUnknown, event.F(event.Check, "tcp 192.168.16.200:80 192.168.16.10:80 http_get")),
		event.New("director", event.ServerUp, event.F(event.Server, "[2001:db8::103]:80")),
		event.New("director", event.ConfigRejected),
	}
	for _, tc := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "vrrp.transition vrrp.group.transition server.down server.unknown server.up config.rejected"},
		{Filter{Level: "warn"}, "server.down server.unknown config.rejected"},
		{Filter{Level: "error"}, "config.rejected"},
		{Filter{Level: "debug", Event: "vrrp.*"}, "vrrp.transition vrrp.group.transition"},
		{Filter{Event: "server.up"}, "server.up"},
		{Filter{Instance: "VI_1"}, "vrrp.transition"},
		{Filter{Instance: "VG_1"}, "vrrp.group.transition"},
		{Filter{Server: "192.168.16.103"}, "server.down"},
		{Filter{Server: "192.168.16.103:80"}, "server.down"},
		{Filter{Server: "192.168.16.103:8"}, ""},
		{Filter{Server: "192.168.16.10"}, "server.unknown"},
		{Filter{Server: "2001:db8::103", Level: "info"}, "server.up"},
		{Filter{Server: "2001:db8::103", Level: "warn"}, ""},
	} {
		if err := tc.f.Check(); err != nil {
			t.Errorf("%+v: %v", tc.f, err)
		}
		var got []string
		for _, e := range list {
			if tc.f.Shows(e) {
				got = append(got, string(e.Name))
			}
		}
		if text := strings.Join(got, " "); text != tc.want {
			t.Errorf("%+v shows %q, want %q", tc.f, text, tc.want)
		}
	}
	for want, f := range map[string]Filter{
		`there is no level "loud"`:        {Level: "loud"},
		`no event is called "server.dow"`: {Event: "server.dow"},
		`no event is called "[a"`:         {Event: "[a"},
	} {
		if err := f.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}
