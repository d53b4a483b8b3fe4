package agent

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// link is the byte stream to the parent: private duplicates of what were stdin and stdout.
type link struct{ in, out *os.File }

func (l *link) Read(p []byte) (int, error)  { return l.in.Read(p) }
func (l *link) Write(p []byte) (int, error) { return l.out.Write(p) }

// SyscallConn is for writing: what is read comes by another descriptor. (syscall.Conn)
func (l *link) SyscallConn() (syscall.RawConn, error) { return l.out.SyscallConn() }

// ReadConn is that one. (router.Direct)
func (l *link) ReadConn() syscall.RawConn {
	c, err := l.in.SyscallConn()
	if err != nil {
		return nil
	}
	return c
}

func (l *link) Close() error { return errors.Join(l.in.Close(), l.out.Close()) }

// duplicate makes a standard stream's private duplicate. A pipe, as sshd's, becomes as large as the sockets that our own methods
// lay: it would hold one frame and a piece of the next.
func duplicate(f *os.File) (*os.File, error) {
	growPipe(f)
	return pollable(f)
}

// protect moves the link away from the standard descriptors, so that no library and no child can disturb it: stdin becomes
// /dev/null, stdout and stderr a pipe whose reading end is captured. What else was inherited is not passed on to sessions.
func protect() (l *link, captured *os.File, err error) {
	closeOnExec()
	keepStderr()
	l = &link{}
	if l.in, err = duplicate(os.Stdin); err != nil {
		return nil, nil, err
	}
	if l.out, err = duplicate(os.Stdout); err != nil {
		return nil, nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	captured, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	for fd, f := range []*os.File{null, w, w} {
		if err := replaceFD(int(f.Fd()), fd); err != nil {
			return nil, nil, err
		}
	}
	return l, captured, nil
}

// capture forwards what arrives on the former stdout and stderr, line by line. It ends with the pipe.
func capture(r io.Reader, forward func(line string)) {
	var line []byte
	buf := make([]byte, 1024)
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			if c != '\n' && len(line) < 4096 {
				line = append(line, c)
				continue
			}
			if len(line) > 0 {
				forward(string(line))
			}
			line = line[:0]
		}
		if err != nil {
			if len(line) > 0 {
				forward(string(line))
			}
			return
		}
	}
}
