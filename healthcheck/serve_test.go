package healthcheck

import (
	"fmt"
	"net"
	"os"
)

// listenEnv makes the test binary a server that accepts and closes, for
// measurements that must not count the server's own work.
const listenEnv = "HEALTHCHECK_TEST_LISTEN"

func acceptForever(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		c.Close()
	}
}
