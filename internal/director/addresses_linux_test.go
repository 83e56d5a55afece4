package director

import (
	"testing"

	"baton/vrrp"
)

// The addresses of an owner are its own: it accepts what is for them whatever
// no_accept says (RFC 9568 section 6.4.3).
func TestOwnerAccepts(t *testing.T) {
	for _, tt := range []struct {
		c    vrrp.Config
		want bool
	}{
		{vrrp.Config{Priority: 254}, false},
		{vrrp.Config{Priority: 254, NoAccept: true}, true},
		{vrrp.Config{Priority: vrrp.PriorityOwner, NoAccept: true}, false},
	} {
		if got := refuses(tt.c); got != tt.want {
			t.Errorf("priority %d, no_accept %v: refuses %v, want %v", tt.c.Priority, tt.c.NoAccept, got, tt.want)
		}
	}
}
