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

// serveDirectTCPIP serves -L, -D, -W and -J. Where it leads is the first of these that applies:
//
//	on the connection of a virtual host        the address, dialled inside it
//	the host is a target's name, the port 22   that target's virtual host (whatever the user name is: -J sends the local login name)
//	the user name says a target                the address, dialled inside it
//	the host is a target's name                127.0.0.1 and the port, dialled inside it
//	the user name is a mistyped target         nowhere
//	an exit leads to the host                  the address, dialled inside the exit
func (c *conn) serveDirectTCPIP(nc gossh.NewChannel) {
	d, err := parseDirectTCPIP(nc.ExtraData())
	if err != nil {
		c.reject(nc, gossh.ConnectionFailed, session.OneLine(err.Error()))
		return
	}
	own, noOwn := c.target()
	named, noNamed := c.srv.cfg.Backend.Target(d.Host)
	switch {
	case c.host != nil && noOwn != nil:
		c.reject(nc, gossh.Prohibited, publicLine(noOwn, c.subject().Principal))
	case c.host != nil:
		c.serveForward(nc, tcpForward(c.host, c.account(), d.Host, d.Port))
	case noNamed == nil && d.Port == sshPort:
		c.jumpTo(nc, named, d)
	case noOwn == nil:
		c.serveForward(nc, tcpForward(own, c.account(), d.Host, d.Port))
	case noNamed == nil:
		c.serveForward(nc, tcpForward(named, "", "127.0.0.1", d.Port))
	case strings.Contains(d.Host, "+"): // meant to be a target
		c.reject(nc, gossh.ConnectionFailed, publicLine(noNamed, c.subject().Principal))
	case c.meantTarget(d):
		c.reject(nc, gossh.ConnectionFailed, publicLine(noOwn, c.subject().Principal))
	default:
		c.jumpOut(nc, d)
	}
}

// meantTarget reports whether the user name, which is no target's, was meant to be one. A name of the principal's own was not; one with an
// account or a hop was. Any other may be the login name that `ssh -J` sends of itself: its channels come from no socket, and OpenSSH says
// so with port 65535 (others with 0). What comes from a socket is a -L or -D, which wants to be inside a target.
func (c *conn) meantTarget(d directTCPIP) bool {
	l := c.login()
	principal := c.subject().Principal
	for _, own := range append([]string{"", principal}, c.srv.cfg.Auth.LoginNames(principal)...) {
		if l.Target == own && l.Account == "" || l.String() == own {
			return false
		}
	}
	const noSocket = 65535
	return l.Account != "" || strings.Contains(l.Target, "+") || d.OriginPort > 0 && d.OriginPort < noSocket
}

// tcpForward is a dial inside t.
func tcpForward(t *Target, account, host string, port uint32) forward {
	return forward{
		target: t, account: account, action: authz.ForwardLocal, network: "tcp",
		addr: destination(host, int(port)), host: host, port: int(port),
	}
}

func destination(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

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

// jumpTo serves `ssh -J gateway target`.
func (c *conn) jumpTo(nc gossh.NewChannel, t *Target, d directTCPIP) {
	switch t.Jump {
	case JumpPassthrough:
		c.serveForward(nc, forward{
			target: t, action: authz.Jump, addr: destination(d.Host, sshPort), host: d.Host, port: sshPort, mode: string(JumpPassthrough),
		})
	case JumpDeny:
		text := session.OneLine("no jump to " + t.Name)
		c.audit(Event{Kind: EventRefused, Target: t.Name, Action: authz.Jump, Mode: string(JumpDeny), Dest: destination(d.Host, sshPort), Reason: text})
		_ = nc.Reject(gossh.Prohibited, text) // an error ends the connection anyway
	default:
		if err := c.question(c.srv.cfg.Decider.Possible, t, virtualHostRequest(d.Host)); err != nil { // who one is there is not said yet
			_ = nc.Reject(gossh.Prohibited, err.Error())
			return
		}
		c.serveVirtualHost(nc, t, d.Host)
	}
}

// virtualHostRequest asks about a jump to a target that is terminated here.
func virtualHostRequest(host string) authz.Request {
	return authz.Request{Action: authz.Jump, DestHost: host, DestPort: sshPort, Mode: string(JumpTerminate)}
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
	r := &relay{ch: ch, reqs: reqs, stream: stream, in: new(counter), out: new(counter)}
	r.run(ctx)
	ev.Kind, ev.In, ev.Out, ev.Elapsed = EventForwardEnd, r.in.Load(), r.out.Load(), time.Since(begun)
	c.audit(ev)
}

// dial makes the connection, if policy allows it. release is called when the stream is closed.
func (c *conn) dial(ctx context.Context, f forward) (stream Stream, release func(), err error) {
	req := authz.Request{Action: f.action, DestHost: f.host, DestPort: f.port, Mode: f.mode}
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
	if err = c.globals.pending.wait(ctx); err == nil {
		stream, err = place.Dial(ctx, f.network, f.addr)
	}
	if err != nil {
		place.Release()
		return nil, nil, err
	}
	return stream, place.Release, nil
}
