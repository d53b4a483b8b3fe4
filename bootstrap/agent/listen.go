package agent

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// maxWaiting bounds the connections of a listener that wait for the gateway. When so many do it accepts no more: others wait in the
// kernel's queue, which has its own bound.
const maxWaiting = 64

// listener accepts connections and announces them on a stream of the gateway's. Its goroutines: one for each address, until close.
type listener struct {
	asks   *asks
	stream *router.Stream
	bound  *bound
	slots  chan struct{} // taken by connections that wait
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// newListener begins to accept. It takes b over.
func (a *Agent) newListener(s *router.Stream, b *bound) *listener {
	l := &listener{asks: &a.asks, stream: s, bound: b, slots: make(chan struct{}, maxWaiting)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for _, ln := range b.lns {
		l.wg.Go(func() { l.accept(ln) })
	}
	return l
}

func (l *listener) accept(ln net.Listener) {
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		conn, err := session.Accept(l.ctx, ln, nil)
		if err != nil {
			return
		}
		l.announce(conn.(halfConn))
	}
}

// announce lets conn wait for the gateway. Its place is free again when it waits no more.
func (l *listener) announce(conn halfConn) {
	l.asks.announce(&ask{
		on: l.stream, kind: session.ItemAccept, text: conn.RemoteAddr().String(),
		take: func(s *router.Stream) {
			<-l.slots
			relay(s, conn)
		},
		fail: func(error) {
			<-l.slots
			conn.Close()
		},
	})
}

// close stops listening and closes what still waits. What has been taken stays.
func (l *listener) close() {
	l.cancel()
	l.bound.close()
	l.wg.Wait()
	l.asks.abandon(l.stream, session.ItemAccept, errNoAsk)
}

// listen serves FuncListen: network, address → stream, port.
func (a *Agent) listen(_ context.Context, c *router.Call) (any, error) {
	network, err := textArg(c, 0)
	if err != nil {
		return nil, callError(err)
	}
	address, err := textArg(c, 1)
	if err != nil {
		return nil, callError(err)
	}
	b, err := a.listeners.bind(network, address)
	if err != nil {
		return nil, callError(errors.New("listen: " + reason(err)))
	}
	err = a.serveStream(c, func(s *router.Stream) (func(), error) {
		l := a.newListener(s, b)
		gone := a.listeners.add(l)
		return func() {
			l.serve()
			gone()
		}, nil
	})
	if err != nil {
		b.close()
	}
	return int64(b.port), err
}

// serve keeps the listener until the gateway says EOF, or its stream is lost.
func (l *listener) serve() {
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the stream
		for {
			item, err := l.stream.Control(context.Background())
			if err != nil {
				return
			}
			if item.Kind == session.ItemAnswer {
				l.asks.answered(l.stream, item.Data)
			}
		}
	})
	drain(l.stream)
	l.close()
	_ = l.stream.CloseWrite() // after an EOF this makes it over
	l.stream.Close()
	wg.Wait()
}

// listeners are those of FuncListen, each with what is closed when its address is free.
type listeners struct {
	mu   sync.Mutex
	open map[*listener]chan struct{}
}

// add counts l in; gone has to be called.
func (t *listeners) add(l *listener) (gone func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[*listener]chan struct{}{}
	}
	free := make(chan struct{})
	t.open[l] = free
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, l)
		close(free)
	}
}

// endGrace is how long the end of a listener may take to come, when somebody asks for its address.
const endGrace = 500 * time.Millisecond

// holder is closed when the listener of ours that has address frees it; nil when there is none.
func (t *listeners) holder(network, address string) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l, free := range t.open {
		if l.bound.has(network, address) {
			return free
		}
	}
	return nil
}

// bind is bind, after the end of a listener of ours where that is about to come: whoever reconnects asks for the same address, and the end of a
// stream may be overtaken by a call.
func (t *listeners) bind(network, address string) (*bound, error) {
	late := time.NewTimer(endGrace)
	defer late.Stop()
	for {
		holder := t.holder(network, address)
		b, err := bind(network, address)
		if holder == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return b, err
		}
		select {
		case <-holder:
		case <-late.C:
			return nil, err
		}
	}
}

// agentSocket is the listener that stands for the ssh-agent of a session's user (ssh -A). It is nil where there is none.
type agentSocket struct {
	place    *session.Place
	listener *listener
}

// newAgentSocket makes one for the session that is s.
func (a *Agent) newAgentSocket(s *router.Stream) (*agentSocket, error) {
	place, err := session.EmptyPlace()
	if err != nil {
		return nil, errors.New("make a directory for the ssh-agent: " + reason(err))
	}
	b, err := bind("unix", place.AgentSocket())
	if err != nil {
		place.Remove()
		return nil, errors.New("listen for the ssh-agent: " + reason(err))
	}
	return &agentSocket{place: place, listener: a.newListener(s, b)}, nil
}

func (k *agentSocket) environ(e *environment) {
	if k != nil {
		e.set("SSH_AUTH_SOCK", k.place.AgentSocket())
	}
}

func (k *agentSocket) close() {
	if k != nil {
		k.listener.close()
		k.place.Remove()
	}
}
