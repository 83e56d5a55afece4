package director

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"baton/internal/announce"
	"baton/internal/event"
	"baton/vrrp"
)

// That nobody watches for conflicts is told, unless the interface is only to come.
func TestUnwatchedIsTold(t *testing.T) {
	var told []string
	a := newAddresses(nil, func(n event.Name, fields ...event.Field) { told = append(told, fmt.Sprint(n, fields)) })
	for _, dev := range []string{"eth0", "eth1"} {
		a.held[dev] = vrrp.Config{Interface: dev, Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}}
	}
	a.conflicts.watch = func(dev string, _ func(net.HardwareAddr) bool, _ func(announce.Conflict)) (*announce.Watcher, error) {
		if dev == "eth1" {
			return nil, fmt.Errorf("watch for conflicts on eth1: find interface: %w", announce.ErrNoInterface)
		}
		return nil, errors.New("watch for conflicts on eth0: open packet socket: too many open files")
	}
	a.conflicts.follow()
	a.conflicts.end()
	if want := []string{fmt.Sprint(event.AnnounceFailed, []event.Field{event.F(event.Interface, "eth0"), event.F(event.Err, errors.New("watch for conflicts on eth0: open packet socket: too many open files"))})}; !slices.Equal(told, want) {
		t.Errorf("told is %q, want %q", told, want)
	}
}
