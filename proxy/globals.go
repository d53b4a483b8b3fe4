package proxy

import (
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/bootstrap/agent/session"
)

// globals are the global requests of a connection that are not answered yet. Replies have no id, so they are answered in their order, and one
// for a listener takes as long as its target takes to be connected. They wait here: x/crypto would stop reading the connection. What comes behind
// them and may depend on a listener, a program or a connection into the target, waits for pending as well: sshd serves everything in its order.
type globals struct {
	pending gauge // not answered
	mu      sync.Mutex
	waiting []*gossh.Request
	serving bool
}

// add lets req wait. begin is true when nobody serves; false, false when too many wait.
func (g *globals) add(req *gossh.Request) (begin, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) >= maxWaiting {
		return false, false
	}
	g.waiting = append(g.waiting, req)
	g.pending.enter()
	begin, g.serving = !g.serving, true
	return begin, true
}

// next takes the first; nil when none waits, and then nobody serves.
func (g *globals) next() *gossh.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.waiting, g.serving = nil, false
		return nil
	}
	req := g.waiting[0]
	g.waiting[0] = nil
	g.waiting = g.waiting[1:]
	return req
}

// globalRequest takes a request that belongs to no channel. It does not wait.
func (c *conn) globalRequest(req *gossh.Request) {
	if req.Type == reqNoMoreSessions { // whatever waits in front of it
		c.sessions.shut(time.Now())
	}
	begin, ok := c.globals.add(req)
	switch {
	case !ok:
		c.log.Warn("connection closed: too many global requests at once")
		c.close()
	case begin:
		c.srv.running.enter()
		go c.serveGlobals() // ends when none waits; each is given up when the connection ends
	}
}

func (c *conn) serveGlobals() {
	defer c.srv.running.leave()
	defer c.guard("global request")
	for req := c.globals.next(); req != nil; req = c.globals.next() {
		c.serveGlobal(req)
		c.globals.pending.leave()
	}
}

func (c *conn) serveGlobal(req *gossh.Request) {
	switch req.Type {
	case reqKeepAlive, reqNoMoreSessions:
		_ = req.Reply(true, nil)
	case reqHostKeysProve:
		proofs, err := c.proveHostKeys(req.Payload)
		if err != nil {
			c.log.Info("host keys not proven", "err", session.OneLine(err.Error()))
		}
		_ = req.Reply(err == nil, proofs)
	case reqForwardTCPIP, reqForwardUnix:
		c.serveForwardRequest(req)
	case reqCancelForwardTCPIP, reqCancelForwardUnix:
		_ = req.Reply(c.cancelForward(req), nil)
	default:
		_ = req.Reply(false, nil)
	}
}
