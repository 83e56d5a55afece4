package healthcheck

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Numbers of the protocols for icmp.ParseMessage.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// pingBytes is how much data an echo request has, as ping(8) sends it.
const pingBytes = 56

// ping is an echo request and what its reply must be.
type ping struct {
	protocol int
	reply    icmp.Type
	data     []byte
}

// newPing returns the checker of kind ping. Its socket needs no privilege, only
// a group within net.ipv4.ping_group_range; the kernel chooses the identifier
// and hands over replies that carry it, from the target alone.
func newPing(b *builder) Checker {
	p := &ping{protocolICMPv6, ipv6.ICMPTypeEchoReply, make([]byte, pingBytes)}
	var request icmp.Type = ipv6.ICMPTypeEchoRequest
	if b.spec.Target.Addr().Is4() {
		p.protocol, p.reply, request = protocolICMP, ipv4.ICMPTypeEchoReply, ipv4.ICMPTypeEcho
	}
	rand.Read(p.data[:16]) // what no other check sends
	raw, err := (&icmp.Message{Type: request, Body: &icmp.Echo{Seq: 1, Data: p.data}}).Marshal(nil)
	if err != nil {
		b.problem("Kind", "use another one", "%v", err)
	}
	d := b.dialog(echo)
	d.opening, d.await = raw, true
	d.talk = func(c net.Conn) error { return p.read(c) }
	return d
}

// read reads until the reply to our request.
func (p *ping) read(c io.Reader) error {
	var buf [1500]byte
	for range maxStray {
		n, err := c.Read(buf[:])
		if err != nil && err != io.EOF {
			return fmt.Errorf("wait for a reply: %w", err)
		}
		if p.answers(buf[:n]) {
			return nil
		}
	}
	return failure(Protocol, "more than %d replies to other requests", maxStray)
}

// answers reports whether a message is the reply to our request.
func (p *ping) answers(raw []byte) bool {
	m, err := icmp.ParseMessage(p.protocol, raw)
	if err != nil || m.Type != p.reply {
		return false
	}
	e, ok := m.Body.(*icmp.Echo)
	return ok && bytes.Equal(e.Data, p.data)
}
