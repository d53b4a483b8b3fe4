package agent

import (
	"crypto/rand"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap"
)

// newOffer makes the sockets and leaves the token. nil: the system does not have what it takes.
func newOffer() *offer {
	var ns unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &ns) != nil {
		return nil
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	o := &offer{Offer: bootstrap.Offer{PIDNS: ns.Ino, PID: os.Getpid(), FD: fds[0]}, taken: make(chan *net.UnixConn, 1)}
	rand.Read(o.Token[:])
	second := os.NewFile(uintptr(fds[1]), "offer")
	defer second.Close() // FileConn has a duplicate
	conn, err := net.FileConn(second)
	if err == nil {
		o.second = conn.(*net.UnixConn)
		_, err = conn.Write(o.Token[:])
	}
	if err != nil {
		o.close()
		return nil
	}
	return o
}

// close ends the offer. Nobody can come to it any more.
func (o *offer) close() {
	unix.Close(o.FD)
	if o.second != nil {
		o.second.Close()
	}
}

// receive waits for a message with one descriptor of a socket. nil: something else came, or nothing before close.
func (o *offer) receive() *net.UnixConn {
	var data [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := o.second.ReadMsgUnix(data[:], oob)
	if err != nil {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil
	}
	file := os.NewFile(uintptr(fds[0]), "link")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
	}
	return unixConn
}
