//go:build !linux

package healthcheck

import (
	"context"
	"fmt"
	"net"
	"time"
)

func newPoller() (poller, error) { return newSleeper(), nil }

// defaultDescriptors is what most systems allow at least.
func defaultDescriptors() int { return 256 - reservedDescriptors }

// dial connects to the dialog's target.
func dial(ctx context.Context, d *dialog) (net.Conn, error) {
	network := map[transport]string{stream: "tcp", datagram: "udp"}[d.transport]
	if network == "" || d.from != nil {
		return nil, failure(Config, "this system's sockets cannot do what the check asks for")
	}
	nd := net.Dialer{KeepAlive: -1}
	c, err := nd.DialContext(ctx, network, d.target.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", d.target, err)
	}
	if tc, ok := c.(*net.TCPConn); ok {
		if err := tc.SetLinger(0); err != nil {
			c.Close()
			return nil, failure(Resources, "set linger: %v", err)
		}
	}
	return c, nil
}

// suspended is not told here.
func suspended() time.Duration { return 0 }
