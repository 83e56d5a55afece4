//go:build linux && kernel

package ipvs

import (
	"context"

	"golang.org/x/sys/unix"
)

// SetReceiveBuffer makes the kernel keep no more than so many bytes of answers
// (it doubles the number, and has a least).
func (k *LinuxKernel) SetReceiveBuffer(bytes int) error {
	return k.owner.do(context.Background(), func(s *sockets, _ func()) error {
		return unix.SetsockoptInt(s.conn.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	})
}
