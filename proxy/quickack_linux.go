package proxy

import (
	"net"

	"golang.org/x/sys/unix"
)

// quickAck has the kernel acknowledge at once what has come (TCP_QUICKACK, tcp(7)). It lasts until the kernel thinks otherwise, so
// it is asked for again after each read. Clients keep Nagle's algorithm on while they log in: without this, each login waits
// 40 ms for a delayed acknowledgement.
func quickAck(nc net.Conn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// Best effort: a connection without it works, later.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}
