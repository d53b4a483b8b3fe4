package proxy

import (
	"context"
	"errors"
	"fmt"
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
	c       *conn
	ch      gossh.Channel
	ctx     context.Context // ends when the client closes the channel, or the server stops
	cancel  context.CancelCauseFunc
	spec    session.Spec // the request loop's until run
	started bool
	replies replies
	control control
	wg      sync.WaitGroup // run and input
	in, out counter
}

// serveSession serves a session channel until the client has closed it.
func (c *conn) serveSession(nc gossh.NewChannel) {
	if n := c.sessions.Add(1); n > 1 && c.noMoreSessions.Load() {
		c.reject(nc, gossh.Prohibited, "no more sessions")
		return
	}
	ch, reqs, err := nc.Accept()
	if err != nil {
		return // the connection has ended
	}
	s := &sessionChannel{c: c, ch: ch}
	s.spec.Env = make(map[string]string)
	s.spec.ClientAddr, s.spec.ServerAddr = hostPort(c.transport.RemoteAddr()), hostPort(c.transport.LocalAddr())
	s.ctx, s.cancel = c.until()
	defer s.cancel(nil)
	defer s.wg.Wait()
	for req := range reqs {
		if err := s.replies.answer(req, s.request(req)); errors.Is(err, errManyRequests) {
			c.log.Warn("session closed", "err", err)
			s.cancel(err)
		}
	}
	s.cancel(errGone)
}

// request serves one request and says whether it succeeded. It must not wait for the program, or the whole connection does.
func (s *sessionChannel) request(req *gossh.Request) bool {
	switch req.Type {
	case reqExec, reqShell, reqSubsystem:
		return s.start(req)
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
	case reqKeepAlive:
		return true
	}
	return false // among them x11-req, auth-agent-req, eow: not served
}

func (s *sessionChannel) env(payload []byte) bool {
	name, value, err := parseEnv(payload)
	if err != nil || s.started || !envAllowed(name, value, s.c.srv.cfg.AcceptEnv) {
		return false
	}
	if _, again := s.spec.Env[name]; !again && len(s.spec.Env) >= maxEnv {
		return false
	}
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
	exit, err := s.execute()
	s.replies.release(true)
	ev := Event{Kind: EventSessionEnd, Status: exit.Status, Signal: exit.Signal}
	if err != nil {
		s.say(publicLine(err, s.c.subject().Principal))
		ev.Status, ev.Reason = exitNever, oneLine(err.Error())
		exit = session.Exit{Status: exitNever}
	}
	s.finish(exit)
	ev.Account, ev.Command, ev.Action = s.c.account(), s.spec.Command, s.action()
	ev.In, ev.Out, ev.Elapsed = s.in.Load(), s.out.Load(), time.Since(begun)
	ev.Target = s.c.login().Target
	if s.c.host != nil {
		ev.Target = s.c.host.Name
	}
	s.c.audit(ev)
}

// execute runs the program to its end. An error says why it never ran, or that it was lost.
func (s *sessionChannel) execute() (session.Exit, error) {
	target, err := s.c.target()
	if err != nil {
		return session.Exit{}, err
	}
	if d := s.decide(target); !d.Allow {
		return session.Exit{}, errors.New(denied(d))
	}
	program, err := s.c.srv.cfg.Backend.Start(s.ctx, target, s.c.account(), &s.spec)
	if err != nil {
		return session.Exit{}, s.cause(err)
	}
	defer program.Close()
	s.c.audit(Event{Kind: EventSessionStart, Target: target.Name, Account: s.c.account(), Command: s.spec.Command, Action: s.action()})
	s.control.attach(program)
	s.replies.release(true)
	defer context.AfterFunc(s.ctx, func() { program.Reset(context.Cause(s.ctx)) })()
	s.wg.Go(func() {
		defer s.c.guard("input")
		s.input(program)
	})
	err = program.Output(&countWriter{s.ch, &s.out}, &countWriter{s.ch.Stderr(), &s.out})
	if err != nil {
		return session.Exit{}, s.lost(target, err)
	}
	exit, err := program.Wait(s.ctx)
	if err != nil {
		return session.Exit{}, s.lost(target, err)
	}
	return exit, nil
}

// input carries what the client says to the program. It ends when the client has closed the channel, which it has to when
// we have closed it.
func (s *sessionChannel) input(program Session) {
	if _, err := program.ReadFrom(&countReader{s.ch, &s.in}); err == nil {
		_ = program.CloseWrite() // a program that is gone does not need it
	}
	_, _ = io.Copy(io.Discard, s.ch) // the program takes no more; the client may still send
}

// decide asks policy.
func (s *sessionChannel) decide(t *Target) authz.Decision {
	req := authz.Request{Action: s.action(), Account: s.c.account(), PTY: s.spec.PTY != nil}
	if req.Action != authz.SFTPRead {
		req.Command = s.spec.Command
		return s.c.decide(t, req)
	}
	// The agent's sftp server does both, so both have to be allowed.
	if d := s.c.decide(t, req); !d.Allow {
		return d
	}
	req.Action = authz.SFTPWrite
	return s.c.decide(t, req)
}

func (s *sessionChannel) action() authz.Action {
	switch s.spec.Kind {
	case session.Shell:
		return authz.Shell
	case session.Subsystem:
		return authz.SFTPRead
	}
	return authz.Exec
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
	name := oneLine(exit.Signal)
	switch name {
	case "ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2":
	default:
		name += "@fakesshd"
	}
	return exitSignalMsg{Name: name, Core: exit.Core, Message: oneLine(exit.Message), Language: "en"}
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
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	return err
}

// lost says what became of a program whose exit nobody knows.
func (s *sessionChannel) lost(t *Target, err error) error {
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("lost %s: %w", t.Name, err)
}

// hostPort is an address as SSH_CONNECTION has it.
func hostPort(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "UNKNOWN 65535"
	}
	return host + " " + port
}
