package shim

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap/agent/session"
)

// run is one ssh at work.
type run struct {
	o      *options
	socket string
	conn   *session.InvokeConn
	tty    *terminal    // the terminal of a session with one; nil without
	pty    *session.PTY // what was asked for
	ends   [3]int       // what is handed over
	close  []int        // our copies of pipe ends that have to be closed then
	typing func()       // copies from the terminal, once the session has started
	shown  sync.WaitGroup
	show   func()          // lets what comes be shown; once the terminal is raw, or it would answer as if it were not
	begun  <-chan struct{} // closed by show
	end    sync.Once       // restores the terminal
}

func newRun(o *options) *run {
	begun := make(chan struct{})
	return &run{o: o, socket: os.Getenv(session.EnvSocket), begun: begun, show: sync.OnceFunc(func() { close(begun) })}
}

// main does what the command line says, and returns the exit status.
func (r *run) main() int {
	if r.socket == "" {
		return r.fail(errors.New(session.EnvSocket + " is not set: this ssh works inside a run only"))
	}
	if err := r.forwardings(); err != nil {
		return r.fail(err)
	}
	var err error
	if r.conn, err = session.DialInvoke(r.socket); err != nil {
		return r.fail(unreachable(err))
	}
	defer r.conn.Close()
	signals := make(chan os.Signal, 8)
	session.Catch(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT) // before the command can have started
	if err := r.ask(); err != nil {
		return r.fail(unreachable(err))
	}
	if r.tty != nil {
		signal.Notify(signals, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT)
	}
	go r.signals(signals) // ends with the process
	return r.wait()
}

// unreachable is err without the path, which says nothing to the user.
func unreachable(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errors.New("connect to the gateway: " + errno.Error())
	}
	return err
}

// ask sends the request, with the descriptors that go with it.
func (r *run) ask() error {
	switch {
	case r.o.stdio != nil:
		if err := r.handOver(); err != nil {
			return err
		}
		i := r.o.invocation(session.OpDial)
		i.Network, i.Address = r.o.stdio.connect.network(), r.o.stdio.connect.address()
		return r.send(i, r.ends[:2])
	case r.o.session == typeNone:
		return r.conn.Ask(r.o.invocation(session.OpHold))
	}
	if r.wantsTerminal() {
		r.pty = request(0)
		r.tty = &terminal{fd: 0}
	}
	if err := r.handOver(); err != nil {
		return err
	}
	i := r.o.invocation(session.OpSession)
	i.Spec = r.o.spec(r.pty)
	return r.send(i, r.ends[:])
}

// send sends the request, and lets go of what was handed over: while this process has a copy of it, nobody
// would see its end.
func (r *run) send(i *session.Invocation, fds []int) error {
	if err := r.conn.Ask(i, fds...); err != nil {
		return err
	}
	for _, fd := range r.close {
		unix.Close(fd)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	for fd := range fds[:2] {
		if fds[fd] != fd { // a pipe stands for it, which its own goroutine serves
			continue
		}
		if err := unix.Dup2(null, fd); err != nil {
			return err
		}
	}
	return nil
}

// wantsTerminal decides as OpenSSH does, and says so where it may surprise.
func (r *run) wantsTerminal() bool {
	wanted := r.o.tty == ttyYes || r.o.tty == ttyForce || r.o.tty == ttyAuto && r.o.command == ""
	if !wanted || r.o.tty == ttyForce {
		return wanted
	}
	if r.o.stdinNull || !isTerminal(0) {
		r.say("Pseudo-terminal will not be allocated because stdin is not a terminal.")
		return false
	}
	return true
}

// handOver decides for each of the three descriptors what is handed over: itself, /dev/null, or a pipe in place of a terminal.
func (r *run) handOver() error {
	r.ends = [3]int{0, 1, 2}
	if r.o.stdinNull {
		null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		r.ends[0], r.close = null, append(r.close, null)
	} else if isTerminal(0) {
		if err := r.typed(); err != nil {
			return err
		}
	}
	for fd := 1; fd <= 2; fd++ {
		if isTerminal(fd) {
			if err := r.shows(fd); err != nil {
				return err
			}
		}
	}
	return nil
}

// pipe makes a pipe whose ends block, as programs expect of their standard descriptors.
func pipe() (p [2]int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return p, os.NewSyscallError("pipe", err)
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return p, nil
}

// typed hands a pipe over in place of the terminal on descriptor 0.
func (r *run) typed() error {
	p, err := pipe()
	if err != nil {
		return err
	}
	r.ends[0], r.close = p[0], append(r.close, p[0])
	to := os.NewFile(uintptr(p[1]), "typed")
	r.typing = func() {
		r.copyTyped(to)
		to.Close()
	}
	return nil
}

// shows hands a pipe over in place of the terminal on fd, which gets what comes through it.
func (r *run) shows(fd int) error {
	p, err := pipe()
	if err != nil {
		return err
	}
	r.ends[fd], r.close = p[1], append(r.close, p[1])
	from := os.NewFile(uintptr(p[0]), "shown")
	r.shown.Go(func() { // ends when the other end has closed its copy
		<-r.begun
		_, _ = io.Copy(plainFile(fd), from)
		from.Close()
	})
	return nil
}

// plainFile reads and writes a descriptor as it is: *os.File might change its flags.
type plainFile int

func (f plainFile) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(f), p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			await(int(f), unix.POLLIN)
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (f plainFile) Write(p []byte) (total int, err error) {
	for total < len(p) {
		n, err := unix.Write(int(f), p[total:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			await(int(f), unix.POLLOUT)
		case err != nil:
			return total, err
		default:
			total += n
		}
	}
	return total, nil
}

func await(fd int, events int16) {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, -1)
}

// copyTyped copies from the terminal until its EOF, and obeys the escapes of a session with a terminal.
func (r *run) copyTyped(to io.Writer) {
	char := noEscape
	if r.tty != nil {
		char = r.o.escape
	}
	e := newEscapes(char)
	buf := make([]byte, 4096)
	for {
		n, err := plainFile(0).Read(buf)
		if err != nil {
			return
		}
		for typed := buf[:n]; len(typed) > 0; {
			through, command, rest := e.filter(typed)
			if _, err := to.Write(through); err != nil {
				return
			}
			r.obey(command)
			typed = rest
		}
	}
}

// obey does what an escape says.
func (r *run) obey(command byte) {
	switch command {
	case '.':
		r.restore()
		r.say("Connection to " + r.o.host + " closed.")
		os.Exit(exitOwn)
	case 'Z' - '@':
		r.suspend()
	case '?':
		_, _ = io.WriteString(plainFile(2), string(rune(r.o.escape))+"?\r\n"+escapeHelp(r.o.escape))
	}
}

// suspend stops this process until somebody continues it, with the terminal as it was found.
func (r *run) suspend() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	r.tty.restore()
	if syscall.Kill(0, syscall.SIGSTOP) == nil {
		<-continued // the stop may come a moment after the call that asked for it
	}
	r.tty.raw()
	_ = r.conn.Send(session.InvokeSize, session.AppendSize(nil, sizeOf(0)))
}

// signals passes signals on. One that ends us ends the session first, and is told of as OpenSSH does.
func (r *run) signals(signals <-chan os.Signal) {
	for sig := range signals {
		switch sig {
		case syscall.SIGWINCH, syscall.SIGCONT:
			_ = r.conn.Send(session.InvokeSize, session.AppendSize(nil, sizeOf(0)))
		case syscall.SIGTSTP:
			r.suspend()
		default:
			_ = r.conn.Send(session.InvokeSignal, []byte(strings.TrimPrefix(unix.SignalName(sig.(syscall.Signal)), "SIG")))
			r.restore()
			status := r.o.killedBy(sig)
			if status != 0 {
				r.verbose("Killed by signal " + number(sig) + ".")
			}
			os.Exit(status)
		}
	}
}

// killedBy is the exit status when sig ends us: of what runs no command SIGTERM is the orderly end.
func (o *options) killedBy(sig os.Signal) int {
	if o.session == typeNone && sig == syscall.SIGTERM {
		return 0
	}
	return exitOwn
}

// wait obeys what the other end says until the session has ended.
func (r *run) wait() int {
	for {
		m, err := r.conn.Next()
		if err != nil {
			r.allShown()
			return r.fail(errors.New("the connection to the gateway is lost"))
		}
		switch m.Kind {
		case session.InvokeStarted:
			r.started()
		case session.InvokeError:
			r.allShown()
			return r.fail(m.Err())
		case session.InvokeExit:
			exit, err := session.ParseExit(m.Data)
			if err != nil {
				return r.fail(err)
			}
			return r.ended(exit)
		}
	}
}

func (r *run) started() {
	if r.tty != nil && isTerminal(0) {
		r.tty.raw()
		if size := sizeOf(0); size != r.pty.Size {
			_ = r.conn.Send(session.InvokeSize, session.AppendSize(nil, size))
		}
	}
	r.show()
	if r.typing != nil {
		go r.typing() // ends with the process: nobody can wake it from the terminal
	}
	tellStarted()
}

// ended is the exit status for how the session ended. A program that was killed by a signal gives 255, as OpenSSH has it.
func (r *run) ended(exit session.Exit) int {
	r.allShown()
	r.restore()
	if r.tty != nil {
		r.say("Connection to " + r.o.host + " closed.")
	}
	if exit.Signal != "" {
		return exitOwn
	}
	return int(exit.Status & 0xff)
}

// allShown waits for what the other end has written before it closed its ends.
func (r *run) allShown() {
	r.show()
	r.shown.Wait()
}

// restore gives the terminal back as it was found.
func (r *run) restore() {
	if r.tty != nil {
		r.end.Do(r.tty.restore)
	}
}

// fail tells an error of ours.
func (r *run) fail(err error) int {
	r.restore()
	if r.o.logLevel != "quiet" {
		_, _ = io.WriteString(plainFile(2), "ssh: "+err.Error()+"\n")
	}
	return exitOwn
}

// say prints what OpenSSH says unless it is told to be quiet.
func (r *run) say(text string) {
	switch r.o.logLevel {
	case "quiet", "fatal", "error":
		return
	}
	_, _ = io.WriteString(plainFile(2), text+"\r\n")
}

// verbose prints what OpenSSH says when asked to be verbose.
func (r *run) verbose(text string) {
	if r.o.logLevel == "verbose" || strings.HasPrefix(r.o.logLevel, "debug") {
		r.say(text)
	}
}
