package proxy

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// maxRemotes bounds the listeners that one connection has.
const maxRemotes = 128

// remoteAddr is an address that a client wants listened on, as it names it: that is how it knows it again.
type remoteAddr struct {
	network string // "tcp" or "unix"
	name    string // host or path
	port    uint32
}

// bound is the host that is really listened on: loopback, whatever the client asks for. (sshd's GatewayPorts no)
func (a remoteAddr) bound() string {
	switch {
	case a.network == "unix", a.name == "127.0.0.1", a.name == "::1":
		return a.name
	}
	return "localhost"
}

// address is bound with the port.
func (a remoteAddr) address() string {
	if a.network == "unix" {
		return a.name
	}
	return destination(a.bound(), int(a.port))
}

// payload is what the client is told of a connection.
func (a remoteAddr) payload(in Incoming) []byte {
	if a.network == "unix" {
		return gossh.Marshal(struct{ Path, Reserved string }{a.name, ""})
	}
	m := directTCPIP{Host: a.name, Port: a.port, OriginHost: "UNKNOWN", OriginPort: 65535}
	if from := in.Origin(); from.IsValid() {
		m.OriginHost, m.OriginPort = from.Addr().String(), uint32(from.Port())
	}
	return gossh.Marshal(m)
}

// channel is the type of channels that a has.
func (a remoteAddr) channel() string {
	if a.network == "unix" {
		return chanForwardedUnix
	}
	return chanForwardedTCPIP
}

// remoteForward is a listener inside the target (-R).
type remoteForward struct {
	c        *conn
	addr     remoteAddr
	chosen   bool // the target has chosen the port
	place    Place
	listener Listener
	cancel   context.CancelCauseFunc
	carried  incoming
	begun    time.Time
	event    Event
}

// remotes are the listeners of a connection.
type remotes struct {
	mu   sync.Mutex
	open map[remoteAddr]*remoteForward
}

// add is false when there is one for that address already, or as many as may be.
func (r *remotes) add(f *remoteForward) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[f.addr] != nil || len(r.open) >= maxRemotes {
		return false
	}
	if r.open == nil {
		r.open = map[remoteAddr]*remoteForward{}
	}
	r.open[f.addr] = f
	return true
}

// take removes and returns the one for a.
func (r *remotes) take(a remoteAddr) *remoteForward {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.open[a]
	delete(r.open, a)
	return f
}

// remove removes f, if it is there still, and says whether it was the last.
func (r *remotes) remove(f *remoteForward) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[f.addr] != f {
		return false
	}
	delete(r.open, f.addr)
	return len(r.open) == 0
}

// serveForwardRequest serves tcpip-forward and streamlocal-forward. Connections are taken when the client has its answer, without which it
// would not know them.
func (c *conn) serveForwardRequest(req *gossh.Request) {
	f, err := c.listenRemote(req)
	if err != nil {
		if !errors.As(err, new(*refusal)) { // which is on record
			text := publicLine(err, c.subject().Principal)
			c.audit(Event{Kind: EventRefused, Action: authz.ForwardRemote, Reason: req.Type + ": " + text})
			c.log.Info("remote forwarding failed", "err", text)
		}
		_ = req.Reply(false, nil)
		return
	}
	var reply []byte
	if f.chosen {
		reply = gossh.Marshal(struct{ Port uint32 }{f.addr.port})
	}
	_ = req.Reply(true, reply)
	c.srv.running.enter()
	go f.run() // ends with the listener
}

var errManyRemotes = errors.New("too many forwards, or one for that address already")

// listenRemote makes a listener, if policy allows it. run has to be called.
func (c *conn) listenRemote(req *gossh.Request) (*remoteForward, error) {
	addr, err := parseForward(req.Type, req.Payload)
	if err != nil {
		return nil, err
	}
	if c.srv.isDraining() {
		return nil, errShutdown
	}
	target, err := c.target()
	if err != nil {
		return nil, err
	}
	f := &remoteForward{c: c, addr: addr, begun: time.Now()}
	ctx, cancel := c.until()
	f.cancel = cancel
	f.carried = incoming{c: c, ctx: ctx, kind: addr.channel(), payload: f.payload}
	if err := f.listen(target); err != nil {
		cancel(err)
		return nil, err
	}
	return f, nil
}

// payload is about the port that there is in the end.
func (f *remoteForward) payload(in Incoming) []byte { return f.addr.payload(in) }

func (f *remoteForward) listen(target *Target) (err error) {
	ctx := f.carried.ctx
	f.place, err = f.c.arrive(ctx, target, f.c.account(), authz.Request{
		Action: authz.ForwardRemote, DestHost: f.addr.bound(), DestPort: int(f.addr.port),
	})
	if err != nil {
		return err
	}
	f.listener, err = f.place.Listen(ctx, f.addr.network, f.addr.address())
	if err != nil {
		f.place.Release()
		return err
	}
	if f.chosen = f.addr.network == "tcp" && f.addr.port == 0; f.chosen {
		f.addr.port = uint32(f.listener.Port())
	}
	if !f.c.remotes.add(f) {
		f.listener.Reset(errManyRemotes)
		f.place.Release()
		return errManyRemotes
	}
	f.event = Event{
		Kind: EventForwardStart, Target: target.Name, Account: f.place.Account(), Action: authz.ForwardRemote, Dest: f.addr.address(),
	}
	f.c.audit(f.event)
	return nil
}

// run serves the listener to its end, and then the connections that are left.
func (f *remoteForward) run() {
	defer f.c.srv.running.leave()
	defer f.c.guard("remote forward")
	ctx := f.carried.ctx
	defer context.AfterFunc(ctx, func() { f.listener.Reset(context.Cause(ctx)) })() // whatever accept waits for
	if err := f.accept(); !errors.Is(err, io.EOF) {
		f.event.Reason = session.ErrorLine(err)
		f.lost(err)
	}
	f.carried.relays.Wait()
	f.event.Kind, f.event.Elapsed = EventForwardEnd, time.Since(f.begun)
	f.carried.tally(&f.event)
	f.c.audit(f.event)
	f.listener.Reset(errGone)
	f.place.Release()
	f.cancel(nil)
}

// lost ends a listener that the client has not cancelled. A client that has nothing else would never know, and is disconnected.
func (f *remoteForward) lost(err error) {
	f.listener.Reset(err)
	last := f.c.remotes.remove(f)
	if f.carried.ctx.Err() != nil {
		return // it is the connection that ends, or the server
	}
	f.c.log.Warn("remote forward lost", "err", session.ErrorLine(err))
	if last && f.c.open.Load() == 0 {
		f.c.close()
	}
}

// accept returns why there are no more connections; io.EOF: the client has cancelled the forward.
func (f *remoteForward) accept() error {
	for {
		in, err := f.listener.Accept(f.carried.ctx)
		if err != nil {
			return err
		}
		f.carried.serve(in)
	}
}

// cancelForward serves the end of a forward. It returns when the address is free again.
func (c *conn) cancelForward(req *gossh.Request) bool {
	addr, err := parseForward(req.Type, req.Payload)
	if err != nil {
		return false
	}
	f := c.remotes.take(addr)
	if f == nil {
		return false
	}
	if err := f.listener.Close(f.carried.ctx); err != nil {
		c.log.Info("remote forward ended", "err", session.ErrorLine(err))
	}
	return true
}
