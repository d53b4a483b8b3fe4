package proxy

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"fakessh"
	"fakessh/bootstrap/agent/session"
)

// A virtual host is a target that has, for `ssh -J gateway target`, an SSH server of its own: this one, which speaks the inner
// handshake on the channel that would otherwise lead to the target's port 22. The client has proven who it is already, to the
// outer handshake; the inner one only has to prove that this is the gateway, by a certificate for the name asked for.

// virtualHosts counts inner connections, for their ids.
var virtualHosts atomic.Uint64

// serveVirtualHost serves t under the name that the client asked for.
func (c *conn) serveVirtualHost(nc gossh.NewChannel, t *Target, name string) {
	ch, reqs, err := nc.Accept()
	if err != nil {
		return // the connection has ended
	}
	inner := &conn{
		srv:      c.srv,
		id:       c.id + "/" + strconv.FormatUint(virtualHosts.Add(1), 36),
		started:  time.Now(),
		channels: c.channels,
		host:     t,
	}
	inner.log = c.srv.log.With("conn", inner.id, "remote", c.transport.RemoteAddr().String(), "target", t.Name)
	inner.transport = newTransport(&chanConn{Channel: ch, outer: c.transport}, c.srv.cfg.LoginGrace)
	inner.ctx, inner.cancel = context.WithCancelCause(c.ctx)
	defer inner.cancel(nil)
	defer ch.Close()
	go func() { // ends when the client has closed the channel, or with the connection
		for req := range reqs {
			_ = req.Reply(req.Type == reqKeepAlive, nil)
		}
		inner.cancel(errGone)
	}()
	if err := inner.serveInner(c, name); err != nil && c.ctx.Err() == nil {
		inner.log.Info("inner handshake failed", "err", err)
	}
}

// serveInner runs the handshake and then the connection.
func (c *conn) serveInner(outer *conn, name string) error {
	grace := time.AfterFunc(c.srv.cfg.LoginGrace, c.close)
	defer grace.Stop()
	if err := c.hello(); err != nil {
		return err
	}
	cfg, err := c.innerConfig(outer, name)
	if err != nil {
		return err
	}
	sc, chans, reqs, err := gossh.NewServerConn(c.transport, cfg)
	if err != nil {
		return err
	}
	grace.Stop()
	if !c.establish(sc) {
		return errors.New("no identity")
	}
	c.sshConn = func() *gossh.ServerConn { return sc }
	c.audit(Event{Kind: EventVirtualHost, User: session.OneLine(sc.User()), Target: c.host.Name, Mode: string(JumpTerminate)})
	req := virtualHostRequest(name)
	req.Account = cmp.Or(c.account(), c.host.Account)
	c.noJump = c.ask(c.host, req)
	go func() { // ends with the inner connection
		defer c.guard("global requests")
		for req := range reqs {
			c.globalRequest(req)
		}
	}()
	for nc := range chans {
		go c.serveChannel(nc) // ends when the client has closed that channel
	}
	return nil
}

// innerConfig accepts the outer connection's principal, without a further proof or with a key of the same.
func (c *conn) innerConfig(outer *conn, name string) (*gossh.ServerConfig, error) {
	admit := func(user string) (*gossh.Permissions, error) {
		account, err := c.innerAccount(outer, user)
		if err != nil {
			return nil, err
		}
		l := login{Principal: outer.subject().Principal, Account: account, Target: c.host.Name}
		return verified(&identity{subject: outer.subject(), login: l}), nil
	}
	cfg := &gossh.ServerConfig{
		Config:                  algorithms(c.ciphers),
		PublicKeyAuthAlgorithms: secure.PublicKeyAuths,
		ServerVersion:           c.srv.version,
		MaxAuthTries:            maxAuthTries,
		NoClientAuth:            true,
		NoClientAuthCallback: func(meta gossh.ConnMetadata) (*gossh.Permissions, error) {
			return admit(meta.User())
		},
		PublicKeyCallback: func(meta gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
			return nil, c.samePrincipal(outer, key)
		},
		VerifiedPublicKeyCallback: func(meta gossh.ConnMetadata, key gossh.PublicKey, _ *gossh.Permissions, _ string) (*gossh.Permissions, error) {
			if err := c.samePrincipal(outer, key); err != nil {
				return nil, err
			}
			return admit(meta.User())
		},
	}
	if c.srv.certs != nil {
		signer, err := c.srv.certs.signer(name)
		if err != nil {
			return nil, err
		}
		cfg.AddHostKey(signer)
	}
	for _, key := range c.srv.cfg.HostKeys {
		cfg.AddHostKey(key)
	}
	return cfg, nil
}

// samePrincipal refuses a key that does not prove the outer connection's principal.
func (c *conn) samePrincipal(outer *conn, key gossh.PublicKey) error {
	subjects, err := c.srv.cfg.Auth.Subjects(key, c.transport.RemoteAddr())
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if s.Principal == outer.subject().Principal {
			return nil
		}
	}
	return errNotPrincipal
}

// innerAccount reads an inner user name: the account, literally, except that a principal's names for itself mean the target's own.
func (c *conn) innerAccount(outer *conn, user string) (string, error) {
	principal := outer.subject().Principal
	if user == principal || slices.Contains(c.srv.cfg.Auth.LoginNames(principal), user) {
		return "", nil
	}
	return user, fakessh.CheckAccount(user)
}

// chanConn is a channel as a connection. Its addresses are the outer one's: it is the client's connection that policy and
// SSH_CONNECTION speak of. It has no deadlines.
type chanConn struct {
	gossh.Channel
	outer net.Conn
}

func (c *chanConn) LocalAddr() net.Addr              { return c.outer.LocalAddr() }
func (c *chanConn) RemoteAddr() net.Addr             { return c.outer.RemoteAddr() }
func (c *chanConn) SetDeadline(time.Time) error      { return nil }
func (c *chanConn) SetReadDeadline(time.Time) error  { return nil }
func (c *chanConn) SetWriteDeadline(time.Time) error { return nil }
