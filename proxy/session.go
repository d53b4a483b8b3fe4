package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// sessionChannel is one channel of type "session": requests that describe a program, one that starts it, then its bytes.
//
//	serve (request loop) ── env, pty ──► spec
//	      │ exec, shell, subsystem
//	      └──► run: decide ► start ► reply ► output ► exit ► EOF ► close
//	                                 input ◄── channel
type sessionChannel struct {
	c        *conn
	ch       gossh.Channel
	ctx      context.Context // ends when the client closes the channel, or the server stops
	cancel   context.CancelCauseFunc
	spec     session.Spec // the request loop's until run
	started  bool
	agent    bool // asked for, and not impossible
	envBytes int
	replies  replies
	control  control
	wg       sync.WaitGroup // run and input
	in, out  counter
	begun    func() // ends the wait for a program; idempotent
	event    Event  // of run
}

// Bounds on what one session may set in its environment.
const (
	maxEnv      = 128
	maxEnvBytes = 128 << 10
)

// serveSession serves a session channel until the client has closed it.
func (c *conn) serveSession(nc gossh.NewChannel) {
	if !c.sessions.enter(time.Now()) {
		c.log.Warn("connection closed: session after no-more-sessions")
		c.reject(nc, gossh.Prohibited, "no more sessions")
		c.close() // as sshd does: somebody else speaks now
		return
	}
	principal := c.subject().Principal
	if !c.srv.waiting.enter(principal, maxUnbegun) {
		c.reject(nc, gossh.ResourceShortage, "too many sessions wait for their programs")
		return
	}
	s := &sessionChannel{c: c, begun: sync.OnceFunc(func() { c.srv.waiting.leave(principal) })}
	defer s.begun()
	ch, reqs, err := nc.Accept()
	if err != nil {
		return // the connection has ended
	}
	s.ch = ch
	s.spec.Env = make(map[string]string)
	s.spec.ClientAddr, s.spec.ServerAddr = hostPort(c.transport.RemoteAddr()), hostPort(c.transport.LocalAddr())
	s.ctx, s.cancel = c.until()
	defer s.cancel(nil)
	defer s.wg.Wait()
	for req := range reqs {
		if err := s.serve(req); errors.Is(err, errManyRequests) {
			c.log.Warn("session closed", "err", err)
			s.cancel(err)
		}
	}
	s.cancel(errGone)
}

// serve serves one request and answers it; what starts a program is answered by run.
func (s *sessionChannel) serve(req *gossh.Request) error {
	switch req.Type {
	case reqExec, reqShell, reqSubsystem:
		if s.start(req) {
			return nil
		}
		return s.replies.answer(req, false)
	}
	return s.replies.answer(req, s.request(req))
}

// request serves a request and says whether it succeeded. It must not wait for the program, or the whole connection does.
func (s *sessionChannel) request(req *gossh.Request) bool {
	switch req.Type {
	case reqEnv:
		return s.env(req.Payload)
	case reqPTY:
		return s.pty(req.Payload)
	case reqWindowChange:
		size, err := parseWindowChange(req.Payload)
		return err == nil && s.spec.PTY != nil && s.control.resize(size)
	case reqSignal:
		name, err := parseSignal(req.Payload)
		return err == nil && s.started && s.control.signal(name)
	case reqBreak:
		ms, err := parseBreak(req.Payload)
		return err == nil && s.started && s.spec.PTY != nil && s.control.sendBreak(ms)
	case reqEndOfWrite:
		return s.started && s.control.stopOutput()
	case reqAgent:
		return s.wantAgent(req.Payload)
	case reqKeepAlive:
		return true
	}
	return false // among them x11-req: not served
}

func (s *sessionChannel) env(payload []byte) bool {
	name, value, err := parseEnv(payload)
	if err != nil || s.started || !s.c.srv.cfg.Env.Allowed(name, value) {
		return false
	}
	_, again := s.spec.Env[name]
	if !again && len(s.spec.Env) >= maxEnv || s.envBytes+len(name)+len(value) > maxEnvBytes {
		return false
	}
	s.envBytes += len(name) + len(value)
	s.spec.Env[name] = value
	return true
}

func (s *sessionChannel) pty(payload []byte) bool {
	p, err := parsePTY(payload)
	if err != nil || s.started || s.spec.PTY != nil {
		return false
	}
	s.spec.PTY = p
	return true
}

// start begins what exec, shell or subsystem asks for. Its reply is held until the program exists.
func (s *sessionChannel) start(req *gossh.Request) bool {
	if s.started {
		return false
	}
	switch req.Type {
	case reqShell:
		s.spec.Kind = session.Shell
	case reqExec, reqSubsystem:
		text, err := parseText(req.Type, req.Payload)
		if err != nil || req.Type == reqSubsystem && text != subsystemSFTP {
			return false
		}
		s.spec.Kind, s.spec.Command = session.Exec, text
		if req.Type == reqSubsystem {
			s.spec.Kind = session.Subsystem
		}
	}
	s.started = true
	s.replies.hold(req)
	s.c.srv.busy.enter()
	s.wg.Go(func() {
		defer s.c.srv.busy.leave()
		defer s.c.guard("session")
		s.run()
	})
	return true
}

// run is the life of the program, from decision to close.
func (s *sessionChannel) run() {
	begun := time.Now()
	s.event = Event{Account: s.c.account(), Command: s.spec.Command, Action: s.actions()[0]}
	exit, err := s.execute()
	s.replies.release(true)
	if err != nil {
		s.say(publicLine(err, s.c.subject().Principal))
		exit = session.Exit{Status: exitNever}
		s.event.Reason = session.ErrorLine(err)
		s.event.Refused = errors.As(err, new(*refusal))
	}
	if s.spec.ReadOnly && err == nil {
		s.event.Reason = session.OneLine(exit.Message)
	}
	s.event.Status, s.event.Signal = exit.Status, exit.Signal
	s.event.In, s.event.Out, s.event.Elapsed = s.in.Load(), s.out.Load(), time.Since(begun)
	s.event.Kind = EventSessionEnd
	s.c.audit(s.event) // before the client knows, which may leave at once: a session's end is on record before its logout
	s.finish(exit)
}

// execute runs the program to its end. An error says why it never ran, or that it was lost.
func (s *sessionChannel) execute() (session.Exit, error) {
	target, err := s.c.target()
	if err != nil {
		return session.Exit{}, err
	}
	s.event.Target = target.Name
	place, err := s.c.arrive(s.ctx, target, s.c.account(), s.questions()...)
	if err != nil {
		return session.Exit{}, s.cause(err)
	}
	defer place.Release()
	may := func(action authz.Action) bool {
		return s.c.ask(target, authz.Request{Action: action, Account: place.Account()}) == nil
	}
	subsystem := s.spec.Kind == session.Subsystem
	s.spec.ReadOnly = subsystem && !may(authz.SFTPWrite)
	s.spec.Agent = s.agent && !subsystem && may(authz.AgentForward)
	if err := s.c.globals.pending.wait(s.ctx); err != nil {
		return session.Exit{}, s.cause(err)
	}
	program, err := place.Start(s.ctx, &s.spec)
	if err != nil {
		return session.Exit{}, s.cause(err)
	}
	defer program.Close()
	s.event.Account, s.event.Kind = place.Account(), EventSessionStart
	s.c.audit(s.event)
	s.begun()
	s.control.attach(program)
	defer s.control.detach()
	s.replies.release(true)
	exit, err := s.attend(program)
	return exit, s.cause(err)
}

// attend carries bytes between the channel and the program until the program has ended.
func (s *sessionChannel) attend(program Session) (session.Exit, error) {
	defer context.AfterFunc(s.ctx, func() { program.Reset(context.Cause(s.ctx)) })()
	if s.spec.Agent {
		defer s.serveAgent(program)()
	}
	s.wg.Go(func() {
		defer s.c.guard("input")
		s.input(program)
	})
	if err := program.Output(&countWriter{s.ch, &s.out}, &countWriter{s.ch.Stderr(), &s.out}); err != nil {
		return session.Exit{}, err
	}
	return program.Wait(s.ctx)
}

// input carries what the client says to the program. It ends when the client has closed the channel, which it has to when
// we have closed it.
func (s *sessionChannel) input(program Session) {
	if _, err := program.ReadFrom(&countReader{s.ch, &s.in}); err == nil {
		_ = program.CloseWrite() // a program that is gone does not need it
	}
	_, _ = io.Copy(io.Discard, s.ch) // the program takes no more; the client may still send
}

// actions are what policy has to allow. An sftp session that may read and not write is one that only reads.
func (s *sessionChannel) actions() []authz.Action {
	switch s.spec.Kind {
	case session.Shell:
		return []authz.Action{authz.Shell}
	case session.Subsystem:
		return []authz.Action{authz.SFTPRead}
	}
	return []authz.Action{authz.Exec}
}

func (s *sessionChannel) questions() []authz.Request {
	var reqs []authz.Request
	for _, action := range s.actions() {
		req := authz.Request{Action: action, PTY: s.spec.PTY != nil}
		if action == authz.Exec {
			req.Command = s.spec.Command
		}
		reqs = append(reqs, req)
	}
	return reqs
}

// finish ends the channel: all output has been written; then the exit, EOF, close. A client that is gone is spared.
func (s *sessionChannel) finish(exit session.Exit) {
	if exit.Signal != "" {
		_, _ = s.ch.SendRequest(reqExitSignal, false, gossh.Marshal(exitSignal(exit)))
	} else {
		_, _ = s.ch.SendRequest(reqExitStatus, false, gossh.Marshal(struct{ Status uint32 }{exit.Status}))
	}
	_ = s.ch.CloseWrite()
	_ = s.ch.Close()
}

// exitSignalMsg is the payload of exit-signal (RFC 4254 section 6.10).
type exitSignalMsg struct {
	Name     string
	Core     bool
	Message  string
	Language string
}

// exitSignal names signals that the RFC does not know as section 6.10 wants local names: with a domain.
func exitSignal(exit session.Exit) exitSignalMsg {
	name := session.OneLine(exit.Signal)
	switch name {
	case "ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2":
	default:
		name += "@fakesshd"
	}
	return exitSignalMsg{Name: name, Core: exit.Core, Message: session.OneLine(exit.Message), Language: "en"}
}

// say tells the user one line.
func (s *sessionChannel) say(line string) {
	if errors.Is(context.Cause(s.ctx), errGone) {
		return
	}
	end := "\n"
	if s.spec.PTY != nil {
		end = "\r\n"
	}
	_, _ = io.WriteString(s.ch.Stderr(), "fakesshd: "+line+end)
}

// cause prefers the reason for which the session was ended to its consequences.
func (s *sessionChannel) cause(err error) error {
	if cause := context.Cause(s.ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// hostPort is an address as SSH_CONNECTION has it.
func hostPort(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "UNKNOWN 65535"
	}
	return host + " " + port
}
