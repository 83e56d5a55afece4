package healthcheck

import (
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// TestPingKnowsItsReply: the data of a reply is ours, or it answers somebody else.
func TestPingKnowsItsReply(t *testing.T) {
	p := &ping{protocolICMP, ipv4.ICMPTypeEchoReply, []byte("ours, and nobody else's")}
	for data, want := range map[string]bool{string(p.data): true, "somebody else's": false, "": false} {
		raw, err := (&icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: &icmp.Echo{Seq: 1, Data: []byte(data)}}).Marshal(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.answers(raw); got != want {
			t.Errorf("a reply with %q: %v", data, got)
		}
	}
}
