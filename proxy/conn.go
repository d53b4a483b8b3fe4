package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
)

// conn is one SSH connection: of a client, or, with host set, of a client to a virtual host inside a client's connection.
type conn struct {
	srv       *Server
	id        string
	transport *transport
	started   time.Time
	log       *slog.Logger
	ctx       context.Context // ends with the connection
	cancel    context.CancelCauseFunc
	channels  *atomic.Int32 // shared with the virtual hosts inside
	open      atomic.Int32  // channels that are its own
	incoming  atomic.Int32  // connections from inside its target
	globals   globals
	remotes   remotes

	ciphers []string                 // to offer; nil: all
	meta    gossh.ServerPreAuthConn  // whose User changes from try to try
	sshConn func() *gossh.ServerConn // the connection once the handshake is over; nil before
	refused refusals

	admitOnce sync.Once
	ident     atomic.Pointer[identity] // of a finished handshake; nil before establish
	host      *Target                  // a virtual host's target
	noJump    error                    // of a virtual host: that policy does not allow it for the account that was said; before any channel

	announceOnce sync.Once
	sessions     sessionGate
}

func newConn(s *Server, nc net.Conn) *conn {
	id := make([]byte, 6)
	rand.Read(id)
	c := &conn{
		srv:       s,
		id:        hex.EncodeToString(id),
		transport: newTransport(nc, s.cfg.LoginGrace),
		started:   time.Now(),
		channels:  new(atomic.Int32),
	}
	c.log = s.log.With("conn", c.id, "remote", nc.RemoteAddr().String())
	return c
}

// begin ties c's life to parent's.
func (c *conn) begin(parent context.Context) {
	c.ctx, c.cancel = context.WithCancelCause(parent)
	context.AfterFunc(c.ctx, c.end)
}

// until is the context of one session or relay: it ends with the connection, with the server, or by cancel, which has to be called.
func (c *conn) until() (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	stop := context.AfterFunc(c.srv.stop, func() { cancel(context.Cause(c.srv.stop)) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}

// hello exchanges version lines and finds out which ciphers to offer. An early end of the connection is an error.
func (c *conn) hello() error {
	if err := c.transport.sendVersion(c.srv.version); err != nil {
		return err
	}
	if err := c.transport.awaitVersion(); err != nil {
		return err
	}
	if c.srv.cfg.AnyCipher || !fastAES {
		return nil
	}
	ciphers, err := chooseCiphers(c.transport)
	c.ciphers = ciphers
	return err
}

// offered answers whether a signature by key would log the client in. Nothing is proven yet.
func (c *conn) offered(key gossh.PublicKey) (ok bool) {
	defer func() { ok = !c.recovered(recover(), "authenticate") && ok }()
	_, err := identify(c.srv.cfg.Auth, c.meta.User(), key, c.transport.RemoteAddr())
	if err != nil {
		c.refused.add(c.meta.User(), key, err)
	}
	return err == nil
}

// verified is called when the client has signed with key.
func (c *conn) verified(meta gossh.ConnMetadata, key gossh.PublicKey, _ *gossh.Permissions, _ string) (perms *gossh.Permissions, err error) {
	defer func() {
		if c.recovered(recover(), "authenticate") {
			perms, err = nil, errors.New("internal error")
		}
	}()
	id, err := identify(c.srv.cfg.Auth, meta.User(), key, meta.RemoteAddr())
	if err == nil && !c.srv.logins.enter(id.subject.Principal, maxConnections) {
		err = errManyConnections
	}
	if err != nil {
		c.refused.add(meta.User(), key, err)
		return nil, err
	}
	c.srv.running.enter()
	context.AfterFunc(c.ctx, func() {
		c.srv.logins.leave(id.subject.Principal)
		c.srv.running.leave()
	})
	c.admit()
	c.log.Info("login", "user", meta.User(), "principal", id.subject.Principal, "key", id.subject.KeyID)
	c.audit(Event{Kind: EventLogin, Subject: id.subject, User: meta.User()})
	c.srv.running.enter()
	go c.keepAlive()
	return verified(id), nil
}

// admit ends what holds for strangers only.
func (c *conn) admit() {
	c.admitOnce.Do(func() {
		c.transport.admitted()
		c.srv.startups.leave()
	})
}

// establish is called with the finished handshake before anything is served; false ends the connection.
func (c *conn) establish(sc *gossh.ServerConn) bool {
	id, err := proven(sc)
	if err != nil {
		c.log.Error("no identity", "err", err)
		c.close()
		return false
	}
	c.ident.Store(id)
	return true
}

// subject is who has logged in; zero before establish.
func (c *conn) subject() authz.Subject {
	if id := c.ident.Load(); id != nil {
		return id.subject
	}
	return authz.Subject{}
}

// login is what was typed as the user name.
func (c *conn) login() login { return c.ident.Load().login }

// end is called once, when the connection has ended. That is what Close waits for.
func (c *conn) end() {
	defer c.srv.untrack(c)
	c.close()
	failed := false
	c.admitOnce.Do(func() {
		failed = true
		c.srv.startups.leave()
	})
	if !failed {
		if sc := c.sshConn(); sc != nil {
			c.establish(sc) // for its name: no channel may have been opened
		}
		c.log.Info("logout", "dur", time.Since(c.started))
		c.audit(Event{Kind: EventLogout, Elapsed: time.Since(c.started)})
		return
	}
	if ev, ok := c.refused.event(); ok {
		c.log.Warn("login refused", "user", ev.User, "key", ev.Subject.KeyID, "err", ev.Reason)
		c.audit(ev)
	}
}

// close ends the connection without any ceremony. It does not wait.
func (c *conn) close() { c.transport.Conn.Close() }

// audit fills in what is known of the connection.
func (c *conn) audit(ev Event) {
	ev.Time, ev.Conn, ev.Source = time.Now(), c.id, c.transport.RemoteAddr().String()
	if ev.Subject.KeyID == "" {
		ev.Subject = c.subject()
	}
	c.srv.cfg.Auditor.Event(ev)
}

// recovered ends the connection after a panic, r being what recover returned. The rest of the server goes on.
func (c *conn) recovered(r any, where string) bool {
	if r == nil {
		return false
	}
	c.log.Error("panic", "stage", where, "err", r, "stack", string(debug.Stack()))
	c.close()
	return true
}

// guard is deferred by every goroutine that serves the connection.
func (c *conn) guard(where string) { c.recovered(recover(), where) }

// keepAlive asks a silent client for a sign of life, and closes the connection of one that gives none. It ends with the connection.
func (c *conn) keepAlive() {
	defer c.srv.running.leave()
	defer c.guard("keepalive")
	interval := c.srv.cfg.KeepAlive
	if interval < 0 {
		return
	}
	timer := time.NewTimer(interval)
	defer timer.Stop()
	var asking atomic.Bool
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-timer.C:
		}
		idle := c.transport.idle()
		if idle >= interval*time.Duration(c.srv.cfg.KeepAlives) {
			c.log.Warn("client is silent", "dur", idle)
			c.close()
			return
		}
		if sc := c.sshConn(); idle >= interval && sc != nil && asking.CompareAndSwap(false, true) {
			go func() { // ends with the answer or the connection
				defer c.guard("keepalive")
				_, _, _ = sc.SendRequest(reqKeepAlive, true, nil)
				asking.Store(false)
			}()
		}
		timer.Reset(nextCheck(interval, idle))
	}
}

// nextCheck is when the silence will have lasted for the next whole number of intervals.
func nextCheck(interval, idle time.Duration) time.Duration {
	return interval - idle%interval
}
