package healthcheck

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// maxLength is the longest datagram's length in bytes.
const maxLength = 65535

// buffers take one datagram each.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, maxLength)
	return &b
}}

// newUDP returns the checker of kind udp.
func newUDP(b *builder) Checker {
	u := UDPSpec{}
	if b.spec.UDP != nil {
		u = *b.spec.UDP
	}
	for _, x := range []struct {
		field string
		bytes []byte
	}{{"UDP.Payload", u.Payload}, {"UDP.Reply", u.Reply}} {
		if n := len(x.bytes); n > MaxDatagram {
			b.problem(x.field, fmt.Sprintf("use up to %d", MaxDatagram), "%d bytes are too many", n)
		}
	}
	if n := len(u.ReplyMask); n > 0 && n != len(u.Reply) {
		b.problem("UDP.ReplyMask", "make it as long as Reply", "%d bytes for a reply of %d", n, len(u.Reply))
	}
	if u.MinReply < 0 || u.MinReply > maxLength {
		b.problem("UDP.MinReply", "use 0 to 65535", "%d is out of range", u.MinReply)
	}
	if u.MaxReply < 0 || u.MaxReply > maxLength || u.MaxReply > 0 && u.MaxReply < max(u.MinReply, len(u.Reply)) {
		b.problem("UDP.MaxReply", "use 1 to 65535, and no less than MinReply and Reply need", "%d is out of range", u.MaxReply)
	}
	d := b.dialog(datagram)
	d.opening, d.await, d.silence = u.Payload, true, !u.wants()
	d.talk = func(c net.Conn) error { return u.read(c) }
	return d
}

// wants reports whether a reply must come.
func (u *UDPSpec) wants() bool {
	return u.RequireReply || len(u.Reply) > 0 || u.MinReply > 0 || u.MaxReply > 0
}

// read reads one datagram, the first that comes.
func (u *UDPSpec) read(c io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	n, err := c.Read(*buf)
	if err != nil && err != io.EOF { // an empty datagram looks like an end
		return fmt.Errorf("wait for a reply: %w", err)
	}
	return u.judge((*buf)[:n])
}

// judge decides about a reply.
func (u *UDPSpec) judge(reply []byte) error {
	n := len(reply)
	switch {
	case n < u.MinReply:
		return failure(Body, "a reply of %d bytes, wanted at least %d", n, u.MinReply)
	case u.MaxReply > 0 && n > u.MaxReply:
		return failure(Body, "a reply of %d bytes, wanted at most %d", n, u.MaxReply)
	case n < len(u.Reply):
		return failure(Body, "a reply of %d bytes, wanted one that begins with %d given ones", n, len(u.Reply))
	}
	for i, want := range u.Reply {
		mask := byte(0xff)
		if len(u.ReplyMask) > 0 {
			mask = u.ReplyMask[i]
		}
		if (reply[i]^want)&mask != 0 {
			return failure(Body, "byte %d of the reply is %02x, wanted %02x", i+1, reply[i], want)
		}
	}
	return nil
}
