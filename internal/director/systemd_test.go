package director

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"baton/vrrp"
)

// manager is a service manager that hears what we say.
func manager(t *testing.T) (heard func() string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return func() string {
		t.Helper()
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestWhatSystemdHears(t *testing.T) {
	heard := manager(t)
	c := &core{instances: map[string]*instance{}}
	c.tellRoles()
	if got := heard(); got != "STATUS=no vrrp_instance" {
		t.Errorf("without an instance: %q", got)
	}
	c.instances["VI_2"], c.instances["VI_1"] = &instance{role: vrrp.Backup}, &instance{role: vrrp.Master}
	c.tellRoles()
	if got := heard(); got != "STATUS=VI_1 MASTER; VI_2 BACKUP" {
		t.Errorf("of two instances: %q", got)
	}
	for i := range 1000 {
		c.instances[fmt.Sprintf("VI_%d", i)] = &instance{role: vrrp.Master}
	}
	c.tellRoles()
	if got := heard(); len(got) > 200 || !strings.Contains(got, "; and 99") || strings.Contains(got, "\n") {
		t.Errorf("of a thousand: %q", got)
	}
	notifyReloading()
	if got := heard(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*$`).MatchString(got) {
		t.Errorf("a reload begins with %q", got)
	}
	c.inbox = make(chan func(), 1)
	c.stopping(nil)
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("a stop begins with %q", got)
	}
}
