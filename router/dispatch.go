package router

import (
	"context"
	"runtime/debug"
	"sync"

	"fakessh/router/pickle"
)

// CallFunc serves one function. ctx ends when the caller is lost or the router closes.
// The result must be in the pickle profile; an error becomes a CallError: its type is that of a *CallError, what
// its ErrorType() string says, or the Go type's name.
type CallFunc func(ctx context.Context, c *Call) (any, error)

// Call is one CALL_FUNCTION being served.
type Call struct {
	Router *Router
	Msg    *Message
	Class  string // empty for a plain function
	Name   string // "module.function"
	Args   pickle.Tuple
	Kwargs *pickle.Dict // never nil

	chain  string
	stream *Stream // accepted by Stream
}

// Register serves name, "module.function" or "module:Class.function", to callers with parent authority. Calls of one
// chain run in order, others side by side, at most 512 at once. Registering a name again replaces it.
func (r *Router) Register(name string, fn CallFunc) {
	d := &r.calls
	d.mu.Lock()
	d.funcs[name] = fn
	d.mu.Unlock()
	if r.isMaster() { // a master serves calls only if somebody wants it to
		d.listen()
	}
}

// dispatcher runs the calls that arrive. Every call is answered: by its result, its error, or a dead message.
type dispatcher struct {
	r *Router

	mu      sync.Mutex
	funcs   map[string]CallFunc
	chains  map[chainKey]*chain
	failed  []chainKey // chains with an error, oldest first; may name forgotten ones
	running int
	ready   []*Call // may run as soon as there is room
	bytes   int     // of all calls that wait
	stopped bool
}

// chainKey: the chains of one caller are no business of another's.
type chainKey struct {
	src ContextID
	id  string
}

// chain is remembered while it has calls or an error.
type chain struct {
	active bool // one of its calls is ready or running
	queue  []*Call
	err    *CallError
}

func (d *dispatcher) init(r *Router) {
	d.r = r
	d.funcs, d.chains = map[string]CallFunc{}, map[chainKey]*chain{}
	if !r.isMaster() {
		d.listen()
	}
}

func (d *dispatcher) listen() {
	d.r.handles.set(HandleCallFunction, d.arrive, HandleOptions{Policy: d.r.HasParentAuthority})
}

// stop refuses calls from now on; those that run or wait go on.
func (d *dispatcher) stop() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
}

// arrive takes one CALL_FUNCTION on a reading goroutine.
func (d *dispatcher) arrive(m *Message) {
	if m.IsDead() {
		d.r.beginShutdown(m)
		return
	}
	c, err := d.parse(m)
	if err != nil {
		d.answer(m, nil, asCallError(err))
		return
	}
	if !d.admit(c) {
		return
	}
	go d.run(c) // ends when nothing more is ready; counted in r.wg by admit
}

// admit queues the call, and reports whether it can run at once.
func (d *dispatcher) admit(c *Call) bool {
	d.mu.Lock()
	var refusal *CallError
	ch := d.chainLocked(c)
	switch {
	case d.stopped:
		refusal = &CallError{Type: "fakessh.router.Closed", Text: "the context is shutting down"}
	case d.bytes+len(c.Msg.Data) > maxCallBytes:
		refusal = &CallError{Type: "fakessh.router.Busy", Text: "too many calls are waiting"}
		d.failLocked(c, refusal)
	case ch != nil && ch.active:
		ch.queue = append(ch.queue, c)
		d.bytes += len(c.Msg.Data)
	case d.running < maxCalls && d.r.begin():
		d.running++
		d.activateLocked(ch)
		d.mu.Unlock()
		return true
	default:
		d.activateLocked(ch)
		d.ready = append(d.ready, c)
		d.bytes += len(c.Msg.Data)
	}
	d.mu.Unlock()
	if refusal != nil {
		d.answer(c.Msg, nil, refusal)
	}
	return false
}

func (d *dispatcher) activateLocked(ch *chain) {
	if ch != nil {
		ch.active = true
	}
}

// chainLocked is the chain that orders the call, if any: its own, or the one it is to forget.
func (d *dispatcher) chainLocked(c *Call) *chain {
	if c.chain == "" {
		return nil
	}
	k := chainKey{c.Msg.Src, c.chain}
	if d.chains[k] == nil {
		d.chains[k] = &chain{}
	}
	return d.chains[k]
}

// run serves c and then whatever else is ready. A function may end the goroutine by runtime.Goexit: then its call is
// answered all the same, and another goroutine goes on.
func (d *dispatcher) run(c *Call) {
	defer func() {
		if c == nil {
			d.r.wg.Done()
			return
		}
		d.conclude(c, nil, errGone)
		if c = d.next(c); c == nil {
			d.r.wg.Done()
			return
		}
		go d.run(c) // ends as this one should have
	}()
	for c != nil {
		d.serve(c)
		c = d.next(c)
	}
}

var errGone = &CallError{Type: "fakessh.router.Panic", Text: "the function ended without returning"}

// next takes the finished call off and picks another. The chain's next goes to the end of the line.
func (d *dispatcher) next(done *Call) *Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ch := d.chainLocked(done); ch != nil {
		d.advanceLocked(ch, done)
	}
	if len(d.ready) == 0 {
		d.running--
		return nil
	}
	c := d.ready[0]
	d.ready[0], d.ready = nil, d.ready[1:]
	d.bytes -= len(c.Msg.Data)
	return c
}

func (d *dispatcher) advanceLocked(ch *chain, done *Call) {
	if len(ch.queue) > 0 {
		d.ready = append(d.ready, ch.queue[0])
		ch.queue[0], ch.queue = nil, ch.queue[1:]
		return
	}
	ch.active = false
	if ch.err == nil {
		delete(d.chains, chainKey{done.Msg.Src, done.chain})
	}
}

// serve runs one call and answers it.
func (d *dispatcher) serve(c *Call) {
	if c.key() == forgetChain {
		d.forget(c)
		d.answer(c.Msg, nil, nil)
		return
	}
	d.mu.Lock()
	fn := d.funcs[c.key()]
	var failed *CallError
	if ch := d.chains[chainKey{c.Msg.Src, c.chain}]; c.chain != "" && ch != nil {
		failed = ch.err
	}
	d.mu.Unlock()
	switch {
	case fn == nil: // no chain remembers this
		d.answer(c.Msg, nil, &CallError{Type: "fakessh.router.NotFound", Text: "no function " + c.key()})
	case failed != nil:
		d.answer(c.Msg, nil, failed)
	default:
		d.invoke(c, fn)
	}
}

func (d *dispatcher) invoke(c *Call, fn CallFunc) {
	ctx, cancel := context.WithCancelCause(d.r.ctx)
	defer cancel(nil)
	defer d.r.Context(c.Msg.Src).whenLost(cancel)()
	v, err := callSafely(ctx, c, fn)
	d.conclude(c, v, err)
}

// callSafely runs fn; a panic is an error too.
func callSafely(ctx context.Context, c *Call, fn CallFunc) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &CallError{Type: "fakessh.router.Panic", Text: panicText(p), Trace: string(debug.Stack())}
		}
	}()
	return fn(ctx, c)
}

// conclude answers the call with what its function has come to.
func (d *dispatcher) conclude(c *Call, v any, err error) {
	var answer *Message
	if err == nil {
		answer, err = NewMessage(0, 0, c.streamResult(v))
	}
	if err == nil {
		d.answer(c.Msg, answer, nil)
		return
	}
	c.streamFailed(err)
	ce := asCallError(err)
	d.mu.Lock()
	d.failLocked(c, ce)
	d.mu.Unlock()
	if c.Msg.ReplyTo == 0 && c.chain == "" {
		d.r.log(LevelError, "No-reply function call failed: "+ce.Error(), "function", c.key())
	}
	d.answer(c.Msg, nil, ce)
}

// answer sends the result, or the error, if anybody wants it.
func (d *dispatcher) answer(m *Message, result *Message, ce *CallError) {
	if m.ReplyTo == 0 {
		return
	}
	var v any
	switch {
	case ce != nil:
		v = pickle.CallError(ce.wire())
	case result != nil:
		v = result
	}
	d.r.reply(m, v)
}

// failLocked remembers the first error of a chain; the oldest are forgotten when there are too many.
func (d *dispatcher) failLocked(c *Call, ce *CallError) {
	ch := d.chainLocked(c)
	if ch == nil || ch.err != nil {
		return
	}
	ch.err = ce
	d.failed = append(d.failed, chainKey{c.Msg.Src, c.chain})
	for len(d.failed) > maxChains {
		if old := d.chains[d.failed[0]]; old != nil {
			old.err = nil
			if !old.active {
				delete(d.chains, d.failed[0])
			}
		}
		d.failed = d.failed[1:]
	}
}

// forget serves forgetChain. The call was ordered as one of the chain it is about.
func (d *dispatcher) forget(c *Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ch := d.chainLocked(c); ch != nil {
		ch.err = nil
	}
}
