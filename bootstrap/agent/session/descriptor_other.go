//go:build unix && !linux

package session

import (
	"os"

	"golang.org/x/sys/unix"
)

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	return err == nil
}

// reopen does nothing: /dev/fd gives the same description here.
func (d *Descriptor) reopen() {}

func (d *Descriptor) growLocked() {}

// readNow reads; only sockets can be asked not to wait.
func (d *Descriptor) readNow(p []byte) (int, error) {
	if d.kind == kindSocket {
		n, _, err := unix.Recvfrom(d.fd, p, unix.MSG_DONTWAIT)
		return n, err
	}
	return plain(unix.Read, d.fd, p)
}

func (d *Descriptor) writeNow(p []byte) (int, error) {
	if d.kind == kindSocket {
		return unix.SendmsgN(d.fd, p, nil, nil, unix.MSG_DONTWAIT)
	}
	return plain(unix.Write, d.fd, p)
}

// watchReadiness returns a kqueue descriptor with fd in it.
func watchReadiness(fd, direction int) (*os.File, error) {
	kq, err := unix.Kqueue()
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(kq)
	var event unix.Kevent_t
	unix.SetKevent(&event, fd, [...]int{unix.EVFILT_READ, unix.EVFILT_WRITE}[direction], unix.EV_ADD)
	if _, err := unix.Kevent(kq, []unix.Kevent_t{event}, nil, nil); err != nil {
		unix.Close(kq)
		return nil, err
	}
	if err := unix.SetNonblock(kq, true); err != nil {
		unix.Close(kq)
		return nil, err
	}
	return os.NewFile(uintptr(kq), "kqueue"), nil
}

// writeVectorNow writes the first of a socket's pieces; a pipe might wait.
func (d *Descriptor) writeVectorNow(pieces [][]byte) (int, error) {
	if d.kind != kindSocket {
		return 0, unix.EAGAIN
	}
	return d.writeNow(pieces[0])
}

// readVectorNow fills the first buffer alone.
func (d *Descriptor) readVectorNow(bufs [][]byte) (int, error) { return d.readNow(bufs[0]) }
