package agent

import (
	"context"
	"errors"
	"sync"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// ask is something here that waits for a stream, which only the gateway can open: an ssh of a run for its session (invoke.go), a connection
// that was accepted for its channel (listen.go). It is announced by an item on a stream that the gateway has opened. The gateway calls
// FuncAttach, or sends an ItemAnswer on that stream; what comes first answers the ask, and nothing else does.
type ask struct {
	on   *router.Stream
	kind byte                 // of the item
	text string               // in the item
	wire []byte               // what FuncInvocation gives; nil: nothing
	take func(*router.Stream) // owns the stream, and returns when it is over
	fail func(error)          // there will be none
}

// asks are the unanswered asks of an agent.
type asks struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]*ask
}

// announce begins the wait. When the item cannot be sent, the ask fails at once.
func (t *asks) announce(a *ask) (id uint64) {
	t.mu.Lock()
	t.last++
	id = t.last
	if t.waiting == nil {
		t.waiting = map[uint64]*ask{}
	}
	t.waiting[id] = a
	t.mu.Unlock()
	if err := a.on.SendControl(router.Control{Kind: a.kind, Data: session.AppendAsk(nil, id, a.text)}); err != nil && t.claim(id) != nil {
		a.fail(err)
	}
	return id
}

// claim takes an ask out, for whoever answers it; nil when it was answered.
func (t *asks) claim(id uint64) *ask {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.waiting[id]
	delete(t.waiting, id)
	return a
}

// answered takes an ItemAnswer that came on s. Asks of other streams are none of its business: at its other end there may be another target.
func (t *asks) answered(s *router.Stream, data []byte) {
	id, text, err := session.ParseAsk(data)
	if err != nil {
		return
	}
	t.mu.Lock()
	a := t.waiting[id]
	if a == nil || a.on != s {
		t.mu.Unlock()
		return
	}
	delete(t.waiting, id)
	t.mu.Unlock()
	a.fail(errors.New(session.OneLine(text)))
}

// abandon fails what was announced on s with one kind of item.
func (t *asks) abandon(s *router.Stream, kind byte, cause error) {
	var gone []*ask
	t.mu.Lock()
	for id, a := range t.waiting {
		if a.on == s && a.kind == kind {
			delete(t.waiting, id)
			gone = append(gone, a)
		}
	}
	t.mu.Unlock()
	for _, a := range gone {
		a.fail(cause)
	}
}

var errNoAsk = errors.New("nobody waits for that any more")

func idArg(c *router.Call) (uint64, error) {
	id, ok := arg(c, 0).(int64)
	if !ok {
		return 0, errors.New(c.Name + ": argument is no id")
	}
	return uint64(id), nil
}

// invocation serves FuncInvocation.
func (a *Agent) invocation(_ context.Context, c *router.Call) (any, error) {
	id, err := idArg(c)
	if err != nil {
		return nil, callError(err)
	}
	a.asks.mu.Lock()
	defer a.asks.mu.Unlock()
	if ask := a.asks.waiting[id]; ask != nil && ask.wire != nil {
		return ask.wire, nil
	}
	return nil, callError(errNoAsk)
}

// attach serves FuncAttach: the stream is what the ask waits for.
func (a *Agent) attach(_ context.Context, c *router.Call) (any, error) {
	id, err := idArg(c)
	if err != nil {
		return nil, callError(err)
	}
	ask := a.asks.claim(id)
	if ask == nil {
		return nil, callError(errNoAsk)
	}
	err = a.serveStream(c, func(s *router.Stream) (func(), error) {
		return func() { ask.take(s) }, nil
	})
	if err != nil {
		ask.fail(err)
	}
	return nil, err
}
