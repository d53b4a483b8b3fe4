package methods

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"fakessh/bootstrap"
)

// Dial starts the tool, answers its prompts, boots the agent. ctx and connect_timeout bound all of that, not the Conn.
// Closing the Conn ends the tool: EOF, SIGTERM, SIGKILL; Close returns when it is reaped, and so does a Dial that gives an error.
//
// Errors are *Error, wrapping *PasswordError, *HostKeyError, *EOFError, *TimeoutError, *AccountError, *bootstrap.StageError
// (and in it *bootstrap.NeedImageError), or ctx's cause.
func Dial(ctx context.Context, req Request) (*Conn, error) {
	a, err := newAttempt(req)
	if err != nil {
		return nil, err
	}
	timeout := a.v.duration("connect_timeout")
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &TimeoutError{After: timeout})
	defer cancel()
	conn, err := a.connect(ctx)
	if a.m.boots != direct && staleImage(err) {
		a.cfg.Verify = true
		conn, err = a.connect(ctx)
	}
	return conn, err
}

// ConnectTimeout is how long connecting by spec may take: its connect_timeout, or the default.
func ConnectTimeout(spec Spec) time.Duration {
	if m, ok := Lookup(spec.Method); ok {
		if v, err := m.values(spec.Params); err == nil {
			return v.duration("connect_timeout")
		}
	}
	return DefaultTimeout
}

// staleImage says that a cached image was trusted and did not come up.
func staleImage(err error) bool {
	var stage *bootstrap.StageError
	return errors.As(err, &stage) && stage.Cached && stage.Stage == "ready"
}

// attempt is a connection being made: the method, its checked values, and what the agent has to know.
type attempt struct {
	m      *Method
	v      values
	cfg    bootstrap.Config
	images *bootstrap.Images
	log    func(string)
}

func newAttempt(req Request) (*attempt, error) {
	m, err := lookup(req.Spec)
	if err != nil {
		return nil, &Error{Method: req.Spec.Method, Name: req.Spec.Method, Stage: stageCheck, Err: err}
	}
	a := &attempt{m: m, cfg: req.Agent, images: req.Images, log: req.Log}
	if a.log == nil {
		a.log = func(string) {}
	}
	if a.v, err = m.values(req.Spec.Params); err != nil {
		return nil, &Error{Method: m.Name, Name: m.Name, Stage: stageCheck, Err: err}
	}
	if name := unresolved(m, a.v); name != "" {
		return nil, a.error(stageCheck, errors.New(m.Name+": "+name+" has not been resolved"))
	}
	a.cfg.Debug = a.cfg.Debug || a.v.flag("debug")
	a.cfg.NoCache = a.cfg.NoCache || !a.v.flag("cache")
	a.cfg.Offer = m.relayed
	if label := a.v.text("remote_name"); label != "" {
		a.cfg.RemoteName = label
	}
	return a, nil
}

func (a *attempt) error(stage string, err error) *Error {
	return &Error{Method: a.m.Name, Name: a.m.contextName(a.v), Stage: stage, Hint: a.m.Hint, Err: err}
}

// connect goes through the whole sequence once.
func (a *attempt) connect(ctx context.Context) (*Conn, error) {
	c, typed, err := a.command(ctx)
	if err != nil {
		return nil, a.error(stageCheck, err)
	}
	p, err := launch(c)
	if err != nil {
		return nil, a.error(stageStart, startError(err))
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	w := watch(p, a.m.rules, a.v, fail)
	stop := context.AfterFunc(ctx, func() { _ = p.link.Close() })
	ready, err := a.boot(ctx, p, w, typed)
	var socket *net.UnixConn
	if err == nil && ready.Offer != nil {
		socket, err = a.choose(ctx, p, ready.Offer)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx) // too late
	}
	if err != nil {
		if socket != nil {
			socket.Close()
		}
		return nil, a.failed(ctx, p, w, err)
	}
	w.up(a.log)
	return a.conn(p, w, ready, socket), nil
}

// command is what to start, and the line to type into it, if any.
func (a *attempt) command(ctx context.Context) (c command, typed string, err error) {
	c.stdio = a.m.layout(a.v)
	boot, err := a.bootArgv()
	if err != nil {
		return c, "", err
	}
	if a.m.prepare != nil {
		if err := a.m.prepare(ctx, a.v, a.images, &c); err != nil {
			return c, "", err
		}
	}
	if a.m.boots == byStdin {
		typed = "exec " + QuoteArgs(boot) + "\n"
		boot = nil
	}
	c.argv, err = a.m.argv(a.v, boot)
	return c, typed, err
}

func (a *attempt) bootArgv() ([]string, error) {
	if a.m.boots == direct {
		return bootstrap.AgentArgv(a.cfg), nil
	}
	return bootstrap.Argv(a.images, a.cfg, a.m.local)
}

// launch starts c. A directory that it may not enter is no reason not to.
func launch(c command) (*process, error) {
	p, err := start(c)
	if c.dir != "" && (errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist)) {
		c.dir = "/"
		p, err = start(c)
	}
	if c.image != nil {
		_ = c.image.Close()
	}
	return p, err
}

// boot brings the agent up behind the running tool.
func (a *attempt) boot(ctx context.Context, p *process, w *watcher, typed string) (*bootstrap.Ready, error) {
	rw, pty := p.link, p.words == nil
	if pty {
		rw = tap{p.link, w}
	}
	if typed != "" {
		if _, err := io.WriteString(rw, typed); err != nil && !ended(err) {
			return nil, err
		}
	}
	return bootstrap.Start(ctx, rw, a.images, a.cfg, bootstrap.Options{
		PTY:    pty,
		Local:  a.m.local,
		Direct: a.m.boots == direct,
	})
}

func (a *attempt) conn(p *process, w *watcher, ready *bootstrap.Ready, socket *net.UnixConn) *Conn {
	l := &link{early: ready.Early, stream: p.link, proc: p, watch: w, diagnose: a.diagnose}
	if socket != nil {
		l.early, l.stream = nil, socket
		go func() { // ends with the tool, which Close waits for
			<-p.exited
			_ = socket.CloseRead() // the tool's end is the link's; what has come in is still read
		}()
	}
	name := a.m.contextName(a.v)
	if name == a.m.Name { // nothing else to tell it by
		name += "." + strconv.Itoa(p.proc.Pid)
	}
	return &Conn{ReadWriteCloser: l, Ready: ready, Name: name, Bypass: socket != nil, link: l}
}

func (a *attempt) diagnose(lines []string, status string) error {
	if a.m.diagnose != nil {
		return a.m.diagnose(lines, status)
	}
	return eofError(lines, status)
}

// parting is how long a tool that has closed its output may take to say why and go.
const parting = time.Second

// failed ends the tool and makes the error of whatever is known then. The tool's own words count
// for more than what bootstrap saw.
func (a *attempt) failed(ctx context.Context, p *process, w *watcher, err error) error {
	if ctx.Err() == nil && ended(err) {
		p.wait(parting)
	}
	p.end(0, haste)
	w.close(p)

	var stage *bootstrap.StageError
	cause := context.Cause(ctx)
	errors.As(err, &stage)
	switch timeout := (*TimeoutError)(nil); {
	case errors.As(cause, &timeout):
		err = &TimeoutError{After: timeout.After, Words: cmp.Or(w.last(), lastLine(a.words(w, stage)))}
	case cause != nil:
		err = cause
	case ended(err):
		err = a.diagnose(a.words(w, stage), p.howEnded())
	}
	e := a.error(stageConnect, err)
	e.Tail = a.words(w, stage)
	if stage != nil {
		e.Stage = stage.Stage
	}
	return e
}

// words are what the tool printed, or if that is nothing, what came down the link.
func (a *attempt) words(w *watcher, stage *bootstrap.StageError) []string {
	if lines := w.tail.all(); len(lines) > 0 || stage == nil {
		return lines
	}
	lines := make([]string, 0, len(stage.Tail))
	for _, line := range stage.Tail {
		lines = append(lines, printable(line))
	}
	return lines
}

// startError is the reason why a tool could not be started, without Go's words around it.
func startError(err error) error {
	var look *exec.Error
	var path *os.PathError
	switch {
	case errors.As(err, &look) && errors.Is(look.Err, exec.ErrNotFound):
		return errors.New("executable file not found")
	case errors.As(err, &path):
		return errors.New(path.Path + ": " + path.Err.Error())
	}
	return err
}
