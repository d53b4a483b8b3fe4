package session

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"fakessh/router"
)

// Descriptor is a descriptor that came from another program over a unix socket. Both use the same open file
// description, so its flags are never changed here: O_NONBLOCK would break a program that does not expect it. What
// can be read or written without blocking is, by other means; so closing it wakes whoever waits in it.
//
//	pipe    opened anew by way of /proc: a description of our own, non-blocking
//	        else, where that is refused: preadv2 with RWF_NOWAIT, or small steps after poll(2)
//	socket  recv and send with MSG_DONTWAIT; an epoll descriptor says when to try again
//	device  poll(2) before each read
//	file    plain read and write: files do not keep one waiting for long
//	strange what can neither be waited for nor be trusted not to wait: an event counter, a timer
//
// One goroutine may read, one write, and any close.
type Descriptor struct {
	fd    int
	kind  descriptorKind
	local bool     // a unix socket
	own   *os.File // a pipe's own description, in place of fd

	mu     sync.Mutex
	busy   int // system calls on fd
	closed bool
	ready  [2]*os.File // for reading and writing: epoll descriptors
	moved  int
	grown  bool
}

type descriptorKind int

const (
	kindStrange descriptorKind = iota
	kindFile
	kindPipe
	kindSocket
	kindDevice
)

// NewDescriptor takes fd over.
func NewDescriptor(fd int) *Descriptor {
	d := &Descriptor{fd: fd}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return d
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK, unix.S_IFDIR:
		d.kind = kindFile
	case unix.S_IFSOCK:
		d.kind = kindSocket
		name, _ := unix.Getsockname(fd)
		_, d.local = name.(*unix.SockaddrUnix)
	case unix.S_IFCHR:
		d.kind = kindDevice
	case unix.S_IFIFO:
		d.kind = kindPipe
		d.reopen()
	}
	return d
}

// Terminal reports whether it is a terminal. Terminals belong to the program that has them: nobody else can read them
// without being stopped, or write them in the right modes.
func (d *Descriptor) Terminal() bool { return d.own == nil && isTerminal(d.fd) }

// FD is the descriptor's number, to be handed on. It is valid until Close.
func (d *Descriptor) FD() int {
	if d.own == nil {
		return d.fd
	}
	fd := -1
	if c, err := d.own.SyscallConn(); err == nil {
		_ = c.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

// Close closes the descriptor and wakes whoever waits in it. Idempotent.
func (d *Descriptor) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if d.own != nil {
		return d.own.Close()
	}
	for _, f := range d.ready {
		if f != nil {
			f.Close()
		}
	}
	d.closeIdleLocked()
	return nil
}

// closeIdleLocked closes fd unless a system call is in it: then that one closes it on its way out.
func (d *Descriptor) closeIdleLocked() {
	if d.busy == 0 && d.own == nil {
		unix.Close(d.fd)
	}
}

func (d *Descriptor) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	d.busy++
	return nil
}

func (d *Descriptor) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy--; d.closed {
		d.closeIdleLocked()
	}
}

// Read reads what is there, or waits for it. (io.Reader)
func (d *Descriptor) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := d.read(p)
	d.count(n)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (d *Descriptor) read(p []byte) (int, error) {
	if d.own != nil {
		n, err := d.own.Read(p)
		if err == io.EOF {
			err = nil
		}
		return n, err
	}
	return d.try(0, func() (int, error) { return d.readNow(p) })
}

// Write writes all of p. (io.Writer) When nobody can read it any more the error matches syscall.EPIPE.
func (d *Descriptor) Write(p []byte) (total int, err error) {
	defer func() { d.count(total) }()
	if d.own != nil {
		return d.own.Write(p)
	}
	for total < len(p) {
		n, err := d.try(1, func() (int, error) { return d.writeNow(p[total:]) })
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// TryWrite writes what can be written without waiting; of a file or a device nobody can say. (router.TryWriter)
func (d *Descriptor) TryWrite(pieces [][]byte) (n int) {
	if d.kind != kindPipe && d.kind != kindSocket || d.begin() != nil {
		return 0
	}
	defer d.end()
	if d.own != nil {
		if c, err := d.own.SyscallConn(); err == nil {
			n = router.TryWrite(c, pieces)
		}
	} else {
		n, _ = restart(func() (int, error) { return d.writeVectorNow(pieces) })
	}
	d.count(n)
	return n
}

// ReadVector is Read into several buffers. (router.VectorReader)
func (d *Descriptor) ReadVector(bufs [][]byte) (n int, err error) {
	if d.own == nil {
		n, err = d.try(0, func() (int, error) { return d.readVectorNow(bufs) })
	} else if c, connErr := d.own.SyscallConn(); connErr == nil {
		n, err = router.ReadVector(c, bufs)
	} else {
		return 0, connErr
	}
	d.count(n)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// CloseWrite lets the other end of a socket see EOF, also while other programs have it open.
func (d *Descriptor) CloseWrite() {
	if d.kind == kindSocket && d.begin() == nil {
		_ = unix.Shutdown(d.fd, unix.SHUT_WR)
		d.end()
	}
}

// try repeats op until it does not want to wait any more.
func (d *Descriptor) try(direction int, op func() (int, error)) (n int, err error) {
	if err := d.begin(); err != nil {
		return 0, err
	}
	defer d.end()
	if n, err = restart(op); !errors.Is(err, unix.EAGAIN) {
		return n, err
	}
	ready, err := d.readiness(direction)
	if err != nil {
		return 0, err
	}
	waitErr := ready.Read(func(uintptr) bool {
		n, err = restart(op)
		return !errors.Is(err, unix.EAGAIN)
	})
	if waitErr != nil { // only Close ends the waiting
		return 0, os.ErrClosed
	}
	return n, err
}

// restart repeats op while signals interrupt it.
func restart(op func() (int, error)) (int, error) {
	for {
		n, err := op()
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// plainCalls bounds the system calls that may wait: each takes a thread meanwhile, also when its invocation has long ended, and whoever
// has a file system of their own decides how long that is. Too many threads end the process.
var plainCalls = make(chan struct{}, 1024)

var errPlainCalls = errors.New("too many files that do not answer")

// plain makes a system call that may wait.
func plain(call func(fd int, p []byte) (int, error), fd int, p []byte) (int, error) {
	select {
	case plainCalls <- struct{}{}:
	default:
		return 0, errPlainCalls
	}
	defer func() { <-plainCalls }()
	return call(fd, p)
}

// readiness returns what becomes readable when d is ready in a direction.
func (d *Descriptor) readiness(direction int) (syscall.RawConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, os.ErrClosed
	}
	if d.ready[direction] == nil {
		f, err := watchReadiness(d.fd, direction)
		if err != nil {
			return nil, err
		}
		d.ready[direction] = f
	}
	return d.ready[direction].SyscallConn()
}

// growAfter is how much a pipe has to carry before it is worth more of its user's share of pipe memory.
const growAfter = 64 << 10

// count makes a busy pipe larger. Reading and writing goroutines may both come here; at worst it is done twice.
func (d *Descriptor) count(n int) {
	if d.kind != kindPipe {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.moved += n; d.moved <= growAfter || d.grown || d.closed {
		return
	}
	d.grown = true
	d.growLocked()
}
