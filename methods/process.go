package methods

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// command is what start runs.
type command struct {
	argv  []string
	image *os.File // the executable, if argv[0] is only a label
	env   []string // nil: the own environment
	dir   string   // working directory; "" is the own one
	cred  *syscall.Credential
	stdio stdio
}

// process is a running tool. One goroutine reaps it and ends when it has.
type process struct {
	link   io.ReadWriteCloser // stdin and stdout: a *net.UnixConn, or the pty
	words  *os.File           // its stderr: a pipe or the pty; nil if that is the link
	typed  io.Writer          // where prompts are answered; nil if nowhere
	proc   *os.Process
	exited chan struct{} // closed when the process is reaped
	status string        // how it ended; set before exited is closed
}

// How long a tool has to end, after its stdin was closed, before SIGTERM, and before SIGKILL after that; how long one that was
// killed may take to be gone (a tool of root's that cannot be signalled takes its own time).
const (
	graceEOF  = 2 * time.Second
	graceTerm = 2 * time.Second
	graceKill = 5 * time.Second
	// haste stands in for graceTerm when the connection has failed or was cancelled; the SIGTERM comes at once then.
	haste = 50 * time.Millisecond
)

// linkBuffer is the socket buffer of a link, bytes: more only delays what comes after.
const linkBuffer = 256 << 10

// start runs c in a session of its own, its streams laid as c.stdio says.
func start(c command) (*process, error) {
	p := &process{exited: make(chan struct{})}
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	if c.image != nil {
		cmd.Path, cmd.Err = openPath(c.image), nil
	}
	cmd.Env, cmd.Dir = c.env, c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.cred}
	theirs, err := p.lay(c.stdio, cmd)
	defer closeAll(theirs)
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.closeStreams()
		return nil, err
	}
	p.proc = cmd.Process
	go p.reap(cmd)
	return p, nil
}

// lay makes the streams and gives their far ends to cmd. It returns those, which the caller closes.
func (p *process) lay(kind stdio, cmd *exec.Cmd) (theirs []*os.File, err error) {
	if kind != terminal {
		sock, err := p.laySocket()
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, sock)
		cmd.Stdin, cmd.Stdout = sock, sock
	}
	var words *os.File
	if kind == separate {
		p.words, words, err = os.Pipe()
		if err != nil {
			return theirs, err
		}
	} else {
		words, err = p.layTerminal(kind)
		if err != nil {
			return theirs, err
		}
		cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, 2
	}
	cmd.Stderr = words
	if kind == terminal {
		cmd.Stdin, cmd.Stdout = words, words
	}
	return append(theirs, words), nil
}

// laySocket makes the socketpair that is the link.
func (p *process) laySocket() (theirs *os.File, err error) {
	ours, theirs, err := newLink()
	if err != nil {
		return nil, err
	}
	p.link = ours
	return theirs, nil
}

// newLink makes a socketpair: a net.Conn here, so that batches of frames are one writev.
func newLink() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds { // best effort: the system has its own bounds
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, linkBuffer)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, linkBuffer)
	}
	refuseRights(fds[0])
	file, theirs := os.NewFile(uintptr(fds[0]), "link"), os.NewFile(uintptr(fds[1]), "stdio")
	defer file.Close() // FileConn has a duplicate
	conn, err := net.FileConn(file)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// socketpair makes a pair that no child inherits by accident. (Not every system has SOCK_CLOEXEC.)
func socketpair() ([2]int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	return fds, err
}

// layTerminal makes a raw pty without echo. Our end stays open as long as the tool lives: closing it hangs the tool up.
func (p *process) layTerminal(kind stdio) (theirs *os.File, err error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, errors.New("no pty: " + err.Error())
	}
	defer master.Close()
	if _, err = term.MakeRaw(int(slave.Fd())); err != nil {
		slave.Close()
		return nil, errors.New("no raw pty: " + err.Error())
	}
	ours, err := pollable(master)
	if err != nil {
		slave.Close()
		return nil, err
	}
	p.typed = ours
	if kind == terminal {
		p.link = ours
	} else {
		p.words = ours
	}
	return slave, nil
}

// pollable returns a duplicate of f whose Read is woken by Close. (Asking a File for its descriptor, as the pty package
// does, makes it one that blocks a thread instead.)
func pollable(f *os.File) (*os.File, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Dup(int(f.Fd()))
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (p *process) reap(cmd *exec.Cmd) {
	err := cmd.Wait()
	if cmd.ProcessState != nil {
		p.status = cmd.ProcessState.String()
	} else {
		p.status = err.Error()
	}
	close(p.exited)
}

// end closes the link and waits until the tool is gone, helping after the given times. It reports whether it is gone.
func (p *process) end(eof, afterTerm time.Duration) bool {
	_ = p.link.Close()
	if p.wait(eof) {
		return true
	}
	p.signal(syscall.SIGTERM)
	if p.wait(afterTerm) {
		return true
	}
	p.signal(syscall.SIGKILL)
	if p.words != nil && p.typed != nil {
		_ = p.words.Close() // the kernel hangs up what we may not signal
	}
	return p.wait(graceKill)
}

// signal reaches the tool and what it has started in its own process group. A tool that runs as somebody else cannot be signalled: it
// sees the end of its stdin and the hang-up of its terminal.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.exited: // the number may be another's by now
	default:
		_ = syscall.Kill(-p.proc.Pid, s)
		_ = p.proc.Signal(s)
	}
}

// howEnded is the status of a tool that is gone, "" of one that is not.
func (p *process) howEnded() string {
	select {
	case <-p.exited:
		return p.status
	default:
		return ""
	}
}

func (p *process) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

func (p *process) closeStreams() {
	if p.link != nil {
		_ = p.link.Close()
	}
	if p.words != nil {
		_ = p.words.Close()
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
