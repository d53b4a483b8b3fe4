package proxy

import (
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/bootstrap/agent/session"
)

// maxRefusals is how many refusals of channels may wait to be sent. A client that opens more without reading them is not one.
const maxRefusals = 256

// serveChannel answers one channel opening and serves the channel until it is closed. It runs in a goroutine of its own.
func (c *conn) serveChannel(nc gossh.NewChannel) {
	c.srv.running.enter()
	defer c.srv.running.leave()
	defer c.guard("channel")
	n := int(c.channels.Add(1))
	defer c.channels.Add(-1)
	c.open.Add(1)
	defer c.open.Add(-1)
	switch limit := c.srv.cfg.MaxChannels; {
	case n > limit+maxRefusals:
		c.log.Warn("channels opened faster than refusals are read")
		c.close()
	case n > limit:
		c.reject(nc, gossh.ResourceShortage, "too many channels")
	case c.srv.isDraining():
		c.reject(nc, gossh.ConnectionFailed, errShutdown.Error())
	default:
		c.serveCounted(nc)
	}
}

// serveCounted serves a channel that counts among those of its principal, by whatever connection.
func (c *conn) serveCounted(nc gossh.NewChannel) {
	principal := c.subject().Principal
	if !c.srv.open.enter(principal, maxOpen) {
		c.reject(nc, gossh.ResourceShortage, "too many channels")
		return
	}
	defer c.srv.open.leave(principal)
	c.dispatch(nc)
}

func (c *conn) dispatch(nc gossh.NewChannel) {
	switch nc.ChannelType() {
	case chanSession:
		c.serveSession(nc)
	case chanDirectTCPIP:
		c.serveDirectTCPIP(nc)
	case chanDirectUnix:
		c.serveDirectUnix(nc)
	default:
		c.reject(nc, gossh.UnknownChannelType, "unknown channel type")
	}
}

// reject refuses a channel for a reason that is not policy. That a connection failed is told by the reason's number: clients put it into
// words themselves.
func (c *conn) reject(nc gossh.NewChannel, reason gossh.RejectionReason, text string) {
	if reason == gossh.ConnectionFailed {
		text = strings.TrimPrefix(text, "connect failed: ")
	}
	c.audit(Event{Kind: EventRefused, Reason: session.OneLine(nc.ChannelType()) + ": " + text})
	_ = nc.Reject(reason, text) // an error ends the connection anyway
}

// target is where this connection's sessions and forwards go: the virtual host, or what the user name says.
func (c *conn) target() (*Target, error) {
	if c.host != nil {
		return c.host, c.noJump
	}
	return c.srv.cfg.Backend.Target(c.login().Target)
}

// account is the account asked for; "" is the target's own.
func (c *conn) account() string { return c.login().Account }
