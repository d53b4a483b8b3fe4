package agent

import (
	"errors"
	"io"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"fakessh/bootstrap/agent/session"
)

// terminal is a pseudo-terminal: the master's end, and the name of the other.
type terminal struct {
	master *os.File
	slave  *os.File // until the program has it
	name   string
}

// openTerminal opens a pseudo-terminal as p asks for it: modes, size, owner.
func openTerminal(p *session.PTY) (*terminal, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, errors.New("open pty: " + reason(err))
	}
	defer master.Close()
	t := &terminal{slave: slave, name: slave.Name()}
	if t.master, err = pollable(master); err != nil {
		slave.Close()
		return nil, errors.New("open pty: " + reason(err))
	}
	t.setOwner()
	if err := t.setModes(parseModes(p.Modes)); err != nil {
		t.close()
		return nil, errors.New("set terminal modes: " + reason(err))
	}
	if err := t.resize(p.Size); err != nil {
		t.close()
		return nil, errors.New("set terminal size: " + reason(err))
	}
	return t, nil
}

// pollable duplicates f so that reads and writes wait in the runtime's poller, where Close
// wakes them. (Opening a pty goes through os.File.Fd, which ends that for the original.)
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// close closes both ends; what runs on the terminal is hung up.
func (t *terminal) close() {
	t.master.Close()
	t.closeSlave()
}

func (t *terminal) closeSlave() {
	if t.slave != nil {
		t.slave.Close()
		t.slave = nil
	}
}

// setOwner gives the terminal to the account and the group tty, so that write(1) and wall(1) work and
// nobody else reads it. Where devpts does that already, or the account may not, nothing changes.
func (t *terminal) setOwner() {
	mode := os.FileMode(0o600)
	gid := -1
	if g, err := user.LookupGroup("tty"); err == nil {
		if n, err := strconv.Atoi(g.Gid); err == nil {
			gid, mode = n, 0o620
		}
	}
	if st, err := t.slave.Stat(); err == nil {
		sys, ok := st.Sys().(*syscall.Stat_t)
		if ok && st.Mode().Perm() == mode && int(sys.Uid) == os.Geteuid() && (gid < 0 || int(sys.Gid) == gid) {
			return
		}
	}
	if t.slave.Chown(os.Geteuid(), gid) == nil {
		_ = t.slave.Chmod(mode)
	}
}

func (t *terminal) setModes(modes []terminalMode) error {
	return control(t.slave, func(fd int) error {
		tio, err := unix.IoctlGetTermios(fd, getTermios)
		if err != nil {
			return err
		}
		applyModes(tio, modes)
		return unix.IoctlSetTermios(fd, setTermios, tio)
	})
}

// resize sets the size; the kernel tells the foreground process group (SIGWINCH) when it has changed.
func (t *terminal) resize(s session.Size) error {
	ws := &unix.Winsize{Col: clip(s.Columns), Row: clip(s.Rows), Xpixel: clip(s.Width), Ypixel: clip(s.Height)}
	return control(t.master, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, ws) })
}

func clip(n uint32) uint16 { return uint16(min(n, 1<<16-1)) }

// foreground is the process group that the terminal's keys would signal.
func (t *terminal) foreground() (int, error) {
	pgrp := 0
	err := control(t.master, func(fd int) (err error) {
		pgrp, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	if err == nil && pgrp <= 1 {
		err = errEnded
	}
	return pgrp, err
}

// sendBreak sends a break of the system's own length, as sshd does.
func (t *terminal) sendBreak() error {
	return control(t.master, sendBreak)
}

// leftover reads what a terminal holds at the moment and then gives EOF, as sshd drains a terminal whose leader has ended.
type leftover struct {
	conn syscall.RawConn
	more int // bytes that may still be read: a job that goes on writing must not keep the session
}

// maxLeftover is more than the kernel keeps for a terminal.
const maxLeftover = 1 << 20

func newLeftover(master *os.File) *leftover {
	_ = master.SetReadDeadline(time.Time{})
	conn, err := master.SyscallConn()
	if err != nil {
		return &leftover{}
	}
	return &leftover{conn, maxLeftover}
}

func (l *leftover) Read(p []byte) (n int, err error) {
	if l.more <= 0 {
		return 0, io.EOF
	}
	once := func(fd uintptr) bool { n, err = unix.Read(int(fd), p); return true }
	if closed := l.conn.Read(once); closed != nil || err != nil || n <= 0 {
		return 0, io.EOF
	}
	l.more -= n
	return n, nil
}

// control runs fn with f's descriptor, leaving f's mode as it is.
func control(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}
