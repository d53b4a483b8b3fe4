package proxy

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// sshPort is the port of a target that its virtual host has.
const sshPort = 22

// forward is a connection that a client wants made.
type forward struct {
	target        *Target
	account       string
	action        authz.Action
	network, addr string // network "" is the target's real sshd
	host          string // for policy
	port          int
	mode          string // of a jump
}

// serveDirectTCPIP serves -L, -D and -W into a target; and -J, on a connection that has none.
func (c *conn) serveDirectTCPIP(nc gossh.NewChannel) {
	d, err := parseDirectTCPIP(nc.ExtraData())
	if err != nil {
		c.reject(nc, gossh.ConnectionFailed, session.OneLine(err.Error()))
		return
	}
	t, err := c.target()
	if err != nil {
		c.jump(nc, d)
		return
	}
	c.serveForward(nc, tcpForward(t, c.account(), d.Host, d.Port))
}

// tcpForward is a dial inside t.
func tcpForward(t *Target, account, host string, port uint32) forward {
	return forward{
		target: t, account: account, action: authz.ForwardLocal, network: "tcp",
		addr: net.JoinHostPort(host, strconv.Itoa(int(port))), host: host, port: int(port),
	}
}

// serveDirectUnix serves a forward to a unix socket inside the target.
func (c *conn) serveDirectUnix(nc gossh.NewChannel) {
	path, err := parseDirectUnix(nc.ExtraData())
	if err != nil {
		c.reject(nc, gossh.ConnectionFailed, session.OneLine(err.Error()))
		return
	}
	t, err := c.target()
	if err != nil {
		c.reject(nc, gossh.ConnectionFailed, publicLine(err, c.subject().Principal))
		return
	}
	c.serveForward(nc, forward{
		target: t, account: c.account(), action: authz.ForwardLocal, network: "unix", addr: path, host: path,
	})
}

// jump serves a direct-tcpip on a connection without a target: to a target's name, or out of an exit.
func (c *conn) jump(nc gossh.NewChannel, d directTCPIP) {
	t, err := c.srv.cfg.Backend.Target(d.Host)
	switch {
	case err == nil && d.Port != sshPort:
		c.serveForward(nc, tcpForward(t, "", "127.0.0.1", d.Port))
	case err == nil:
		c.jumpTo(nc, t, d)
	case strings.Contains(d.Host, "+"): // meant to be a target
		c.reject(nc, gossh.ConnectionFailed, publicLine(err, c.subject().Principal))
	default:
		c.jumpOut(nc, d)
	}
}

// jumpTo serves `ssh -J gateway target`.
func (c *conn) jumpTo(nc gossh.NewChannel, t *Target, d directTCPIP) {
	switch t.Jump {
	case JumpPassthrough:
		c.serveForward(nc, forward{target: t, action: authz.Jump, host: d.Host, port: sshPort, mode: string(JumpPassthrough)})
	case JumpDeny:
		c.reject(nc, gossh.Prohibited, session.OneLine("no jump to "+t.Name))
	default:
		if err := c.ask(t, authz.Request{Action: authz.Jump, DestHost: d.Host, DestPort: sshPort}); err != nil {
			_ = nc.Reject(gossh.Prohibited, err.Error())
			return
		}
		c.serveVirtualHost(nc, t, d.Host)
	}
}

// jumpOut relays to a host that is no target. SSH to it stays end to end.
func (c *conn) jumpOut(nc gossh.NewChannel, d directTCPIP) {
	t := c.srv.cfg.Backend.Exit(d.Host)
	if t == nil {
		c.reject(nc, gossh.Prohibited, session.OneLine("no target or exit for "+strconv.Quote(d.Host)))
		return
	}
	f := tcpForward(t, "", d.Host, d.Port)
	f.action, f.mode = authz.Jump, "exit"
	c.serveForward(nc, f)
}

// serveForward decides, dials and relays. The channel is accepted when the connection has been made.
func (c *conn) serveForward(nc gossh.NewChannel, f forward) {
	c.srv.busy.enter()
	defer c.srv.busy.leave()
	ctx, cancel := c.until()
	defer cancel(nil)
	stream, release, err := c.dial(ctx, f)
	var no *refusal
	switch {
	case errors.As(err, &no):
		_ = nc.Reject(gossh.Prohibited, no.Error()) // an error ends the connection anyway
		return
	case err != nil:
		c.reject(nc, gossh.ConnectionFailed, publicLine(err, c.subject().Principal))
		return
	}
	defer release()
	ch, reqs, err := nc.Accept()
	if err != nil {
		stream.Reset(errGone)
		_ = stream.Close()
		return // the connection has ended
	}
	ev := Event{Kind: EventForwardStart, Target: f.target.Name, Account: f.account, Action: f.action, Dest: f.addr, Mode: f.mode}
	c.audit(ev)
	begun := time.Now()
	r := &relay{ch: ch, reqs: reqs, stream: stream}
	r.run(ctx)
	ev.Kind, ev.In, ev.Out, ev.Elapsed = EventForwardEnd, r.in.Load(), r.out.Load(), time.Since(begun)
	c.audit(ev)
}

// dial makes the connection, if policy allows it. release is called when the stream is closed.
func (c *conn) dial(ctx context.Context, f forward) (stream Stream, release func(), err error) {
	req := authz.Request{Action: f.action, DestHost: f.host, DestPort: f.port}
	if f.network == "" {
		if err := c.ask(f.target, req); err != nil {
			return nil, nil, err
		}
		stream, err = c.srv.cfg.Backend.DialHost(ctx, f.target)
		return stream, func() {}, err
	}
	place, err := c.arrive(ctx, f.target, f.account, req)
	if err != nil {
		return nil, nil, err
	}
	stream, err = place.Dial(ctx, f.network, f.addr)
	if err != nil {
		place.Release()
		return nil, nil, err
	}
	return stream, place.Release, nil
}
