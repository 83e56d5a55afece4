package lab

import (
	"net"

	"golang.org/x/sys/unix"
)

// retransmitted says whether the kernel sent any segment of the connection
// again, its SYN included (tcp_info.tcpi_total_retrans).
func retransmitted(conn net.Conn) bool {
	tc, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return false
	}
	again := false
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		again = err == nil && info.Total_retrans > 0
	})
	return err == nil && again
}
