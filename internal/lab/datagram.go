package lab

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/net/ipv4"
)

// answerDatagrams answers each UDP datagram that comes to the address with the
// server's name, from the address that the datagram came to, as a real server
// of DR must, until ctx ends. In any mode but Answer it is silent.
func (s *realServer) answerDatagrams(ctx context.Context) error {
	conn, err := net.ListenPacket("udp4", s.listen)
	if err != nil {
		return fmt.Errorf("listen for datagrams on %s: %w", s.listen, err)
	}
	packets := ipv4.NewPacketConn(conn)
	if err := packets.SetControlMessage(ipv4.FlagDst, true); err != nil {
		conn.Close()
		return fmt.Errorf("ask for the destinations of datagrams: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	s.serving.Go(func() {
		defer stop()
		defer conn.Close()
		buf := make([]byte, 64)
		for ctx.Err() == nil {
			_, to, from, err := packets.ReadFrom(buf)
			// An error is of an earlier answer that nobody took, or the end.
			if err != nil || to == nil || s.modeNow() != Answer {
				continue
			}
			_, _ = packets.WriteTo([]byte(s.name+"\n"), &ipv4.ControlMessage{Src: to.Dst}, from)
		}
	})
	return nil
}

func (s *realServer) modeNow() Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}
