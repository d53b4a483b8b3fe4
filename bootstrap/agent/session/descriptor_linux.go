package session

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"fakessh/router"
)

// pipeSize is what a busy pipe is made to hold, bytes.
const pipeSize = 256 << 10

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// reopen gives a pipe a description of its own, whose flags nobody else sees. It is refused for pipes of another user.
func (d *Descriptor) reopen() {
	flags, err := unix.FcntlInt(uintptr(d.fd), unix.F_GETFL, 0)
	if err != nil {
		return
	}
	mode := flags & unix.O_ACCMODE
	if flags&unix.O_PATH != 0 || mode != unix.O_RDONLY && mode != unix.O_WRONLY {
		return // it gives no right to read; or it is a FIFO opened for both: one more description would change who sees EOF
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(d.fd), mode|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	unix.Close(d.fd)
	d.fd = -1
	d.own = os.NewFile(uintptr(fd), "pipe")
}

// growLocked is best effort: all of a user's pipes share one budget.
func (d *Descriptor) growLocked() {
	if d.own == nil {
		_, _ = unix.FcntlInt(uintptr(d.fd), unix.F_SETPIPE_SZ, pipeSize)
		return
	}
	c, err := d.own.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}

// readNow reads, or fails with EAGAIN where it would have to wait.
func (d *Descriptor) readNow(p []byte) (int, error) {
	switch d.kind {
	case kindSocket:
		n, _, err := unix.Recvfrom(d.fd, p, unix.MSG_DONTWAIT)
		return n, err
	case kindPipe:
		n, err := unix.Preadv2(d.fd, [][]byte{p}, -1, unix.RWF_NOWAIT)
		if err != unix.EOPNOTSUPP {
			return n, err
		}
		if !pollNow(d.fd, unix.POLLIN) {
			return 0, unix.EAGAIN
		}
	case kindDevice:
		if !pollNow(d.fd, unix.POLLIN) {
			return 0, unix.EAGAIN
		}
	}
	return plain(unix.Read, d.fd, p)
}

// writeNow writes some of p, or fails with EAGAIN where it would have to wait.
func (d *Descriptor) writeNow(p []byte) (int, error) {
	switch d.kind {
	case kindSocket:
		return unix.SendmsgN(d.fd, p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	case kindPipe:
		n, err := unix.Pwritev2(d.fd, [][]byte{p}, -1, unix.RWF_NOWAIT)
		if err != unix.EOPNOTSUPP {
			return n, err
		}
		if !pollNow(d.fd, unix.POLLOUT) {
			return 0, unix.EAGAIN
		}
		p = p[:min(len(p), atomicWrite)]
	}
	return plain(unix.Write, d.fd, p)
}

// atomicWrite is what a pipe that polls as writable takes without waiting (PIPE_BUF), bytes.
const atomicWrite = 4096

// watchReadiness returns an epoll descriptor with fd in it. Being in non-blocking mode itself it can be
// waited for like any file of ours, and fd stays as it is.
func watchReadiness(fd, direction int) (*os.File, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	event := unix.EpollEvent{Events: [...]uint32{unix.EPOLLIN, unix.EPOLLOUT}[direction], Fd: int32(fd)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		unix.Close(ep)
		return nil, err
	}
	if err := unix.SetNonblock(ep, true); err != nil {
		unix.Close(ep)
		return nil, err
	}
	return os.NewFile(uintptr(ep), "epoll"), nil
}

// pollNow asks for events, without waiting. Hangups and errors count: the system call tells them.
func pollNow(fd int, events int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// writeVectorNow writes some of a socket's or a pipe's pieces where that needs no waiting, whoever else writes there at the same time.
func (d *Descriptor) writeVectorNow(pieces [][]byte) (int, error) {
	switch {
	case d.local:
		return router.SendNow(d.fd, pieces)
	case d.kind == kindSocket:
		return unix.SendmsgBuffers(d.fd, pieces, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
	return unix.Pwritev2(d.fd, pieces, -1, unix.RWF_NOWAIT)
}

// readVectorNow is readNow for several buffers, of which it may fill the first alone.
func (d *Descriptor) readVectorNow(bufs [][]byte) (int, error) {
	if d.kind == kindSocket {
		n, _, _, _, err := unix.RecvmsgBuffers(d.fd, bufs, nil, unix.MSG_DONTWAIT)
		return n, err
	}
	return d.readNow(bufs[0])
}
