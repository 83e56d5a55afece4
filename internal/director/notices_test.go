package director

import (
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"baton/internal/event"
	"baton/vrrp"
)

func instanceOn(prefixes ...string) vrrp.Config {
	c := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Version: vrrp.V3, Priority: 150, AdvertInterval: time.Second, DownTimerAdverts: 3}
	for _, p := range prefixes {
		c.Addresses = append(c.Addresses, vrrp.Address{Prefix: netip.MustParsePrefix(p)})
	}
	return c
}

// TestEveryNoticeHasItsEvent reads the kinds from vrrp's own source, so that a
// new kind cannot be forgotten here, and holds the fields against the catalogue.
func TestEveryNoticeHasItsEvent(t *testing.T) {
	src, err := os.ReadFile("../../vrrp/notice.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`NoticeKind = "([a-z_]+)"`).FindAllStringSubmatch(string(src), -1)
	if len(kinds) < 10 {
		t.Fatalf("found %d kinds, the expression of this test is broken", len(kinds))
	}
	for _, k := range kinds {
		n := vrrp.Notice{Time: time.Unix(7, 0), Kind: vrrp.NoticeKind(k[1]), Instance: "VI_1", VRID: 51, Interface: "eth0",
			From: vrrp.Backup, To: vrrp.Master, Reason: "why", Peer: netip.MustParseAddr("192.168.16.112"), Priority: 100,
			Drop: vrrp.DropTTL, Count: 3, Err: "broken", Detail: "more", Duration: time.Second}
		e, ok := eventOf(n)
		if !ok {
			t.Errorf("%s has no event", k[1])
			continue
		}
		if !e.Time.Equal(n.Time) {
			t.Errorf("%s: event has the time %v, not the notice's", k[1], e.Time)
		}
		i := slices.IndexFunc(event.Catalogue, func(s event.Spec) bool { return s.Name == e.Name })
		var have []event.Key
		for _, f := range e.Fields {
			have = append(have, f.Key)
		}
		var want []event.Key
		for _, key := range event.Catalogue[i].Fields {
			if slices.Contains(have, key) {
				want = append(want, key)
			}
		}
		if !reflect.DeepEqual(have, want) {
			t.Errorf("%s: fields %v of %s are not in the order of the catalogue %v", k[1], have, e.Name, event.Catalogue[i].Fields)
		}
	}
}

func TestTransitionLineSaysWhoAndWhy(t *testing.T) {
	e, _ := eventOf(vrrp.Notice{Kind: vrrp.NoticeTransition, Instance: "VI_1", VRID: 51, Interface: "eth0", From: vrrp.Backup, To: vrrp.Master,
		Reason: "master resigned", Peer: netip.MustParseAddr("192.168.16.102"), Priority: 0})
	want := []event.Field{
		{Key: event.Instance, Value: "VI_1"}, {Key: event.VRID, Value: "51"}, {Key: event.Interface, Value: "eth0"},
		{Key: event.From, Value: "BACKUP"}, {Key: event.To, Value: "MASTER"}, {Key: event.Reason, Value: "master resigned"},
		{Key: event.Peer, Value: "192.168.16.102"}, {Key: event.Priority, Value: "0"},
	}
	if !reflect.DeepEqual(e.Fields, want) {
		t.Errorf("fields are %v", e.Fields)
	}
}

// TestRoleOfAnInstanceThatWasAwayForAMoment: two reloads in a row, of which one
// drops an instance and the other brings it back, reach a busy speaker as one. It
// has nothing to tell then, and the director asks.
func TestRoleOfAnInstanceThatWasAwayForAMoment(t *testing.T) {
	c := testCore(t, tracking())
	c.noticed(vrrp.Notice{Kind: vrrp.NoticeTransition, Instance: "VI_1", From: vrrp.Backup, To: vrrp.Master})
	none := tracking()
	none.Instances = nil
	c.change(none)
	c.change(tracking())
	c.gotStatus(speakerFacts{Instances: []vrrp.Status{{Config: instanceOn("192.168.16.200/24"), Role: vrrp.Master}}})
	if got := c.instances["VI_1"].role; got != vrrp.Master {
		t.Errorf("the role is %q", got)
	}
}

func TestDroppedAdvertLineNamesBothSides(t *testing.T) {
	e, _ := eventOf(vrrp.Notice{Kind: vrrp.NoticeAdvertDropped, Drop: vrrp.DropIntervalMismatch, Detail: "advert_int 2s, ours is 1s", Count: 1})
	if got := e.Get(event.Detail); got != "advert_int 2s, ours is 1s" {
		t.Errorf("detail is %q in %v", got, e.Fields)
	}
}
