package session

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"fakessh/router"
)

// The handshake of mitogen.unix (docs/protocol.md section 1.8): the client says its pid, the listener which context the client is, which it
// is itself, and its own pid. All are four bytes, big endian. No pid is so large that the first byte is anything but 0, which no message begins with.
const mitogenFirst = 0

// ErrMitogenUnix is what Request fails with when the peer speaks mitogen.unix.
var ErrMitogenUnix = errors.New("control socket: mitogen.unix is not served here")

// MitogenPID reads what is left of the client's pid after Request has failed with ErrMitogenUnix. It is the client's word.
func (c *InvokeConn) MitogenPID() (int, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(requestTime))
	defer func() { _ = c.conn.SetReadDeadline(time.Time{}) }()
	pid := [4]byte{mitogenFirst}
	if _, err := io.ReadFull(c.conn, pid[1:]); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint32(pid[:])), nil
}

// MitogenWelcome tells the client which context it is, and that it is talking to own. What follows are the frames of a link.
func (c *InvokeConn) MitogenWelcome(client, own router.ContextID) error {
	var answer []byte
	for _, v := range []uint32{uint32(client), uint32(own), uint32(os.Getpid())} {
		answer = binary.BigEndian.AppendUint32(answer, v)
	}
	_, err := c.conn.Write(answer)
	return err
}

// SpeaksMitogen reports whether the peer says within a moment that it speaks mitogen.unix. Nothing else can be read afterwards.
func (c *InvokeConn) SpeaksMitogen() bool {
	_ = c.conn.SetReadDeadline(time.Now().Add(lastWords))
	first := make([]byte, 1)
	n, _ := c.conn.Read(first)
	return n == 1 && first[0] == mitogenFirst
}
