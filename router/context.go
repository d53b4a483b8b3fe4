package router

import (
	"context"
	"errors"
	"sync"

	"fakessh/router/pickle"
)

// Context is this router's view of a node; there is one object per id while the node lives. A lost
// one stays lost: its id is used again only after all others.
type Context struct {
	r  *Router
	id ContextID

	mu     sync.Mutex
	name   string
	done   chan struct{}
	err    error
	nextFn int
	onLoss map[int]func(error)
}

// Context returns the one Context object for id; it need not be routable.
func (r *Router) Context(id ContextID) *Context {
	r.mu.RLock()
	c := r.contexts[id]
	r.mu.RUnlock()
	if c != nil {
		return c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.contextLocked(id)
}

func (r *Router) contextLocked(id ContextID) *Context {
	if c := r.contexts[id]; c != nil {
		return c
	}
	c := &Context{r: r, id: id, name: r.builtinName(id), done: make(chan struct{}), onLoss: map[int]func(error){}}
	if r.closed {
		c.lose(&LostError{ID: id, Name: c.name, Cause: ErrClosed})
		return c
	}
	r.contexts[id] = c
	return c
}

// builtinName names the contexts that are known without having been told.
func (r *Router) builtinName(id ContextID) string {
	switch {
	case id == r.cfg.ID && r.cfg.Name != "":
		return r.cfg.Name
	case id == r.cfg.ID:
		return "self"
	case id == 0:
		return "master"
	case len(r.cfg.ParentIDs) > 0 && id == r.cfg.ParentIDs[0]:
		return "parent"
	}
	return ""
}

func (r *Router) nameOf(id ContextID) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if c := r.contexts[id]; c != nil {
		return c.Name()
	}
	return r.builtinName(id)
}

// Parent is the context at the other end of the parent link; nil in a master.
func (r *Router) Parent() *Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.parent != nil:
		return r.contextLocked(r.parent.remote)
	case len(r.cfg.ParentIDs) > 0:
		return r.contextLocked(r.cfg.ParentIDs[0])
	}
	return nil
}

// ContextOf returns the Context that a decoded reference means.
func (r *Router) ContextOf(ref pickle.ContextRef) *Context {
	c := r.Context(ContextID(ref.ID))
	if ref.Name != nil && c.Name() == "" {
		c.setName(*ref.Name)
	}
	return c
}

// ID is the context's id.
func (c *Context) ID() ContextID { return c.id }

// Name is what the context's parent called it; empty when not known.
func (c *Context) Name() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// Router is the router whose view this is.
func (c *Context) Router() *Router { return c.r }

// String is the name and the id.
func (c *Context) String() string { return describe(c.id, c.Name()) }

// Done is closed when the context is lost; Err then says why (*LostError).
func (c *Context) Done() <-chan struct{} { return c.done }

// Err is nil while the context is not known to be lost.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Detached reports whether the directly connected context has announced that its process outlives the link.
func (c *Context) Detached() bool {
	l := c.link()
	return l != nil && l.detaching.Load()
}

func (c *Context) setName(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.name = name
}

func (c *Context) ref() pickle.ContextRef {
	ref := pickle.ContextRef{ID: uint32(c.id)}
	if name := c.Name(); name != "" && len(name) < 100 {
		ref.Name = &name
	}
	return ref
}

// lose wakes everybody who waits for the context.
func (c *Context) lose(why *LostError) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = why
	close(c.done)
	fns := c.onLoss
	c.onLoss = nil
	c.mu.Unlock()
	for _, fn := range fns {
		fn(why)
	}
}

// whenLost arranges for fn to be called once, unless stop is called before. It must not block.
func (c *Context) whenLost(fn func(error)) (stop func()) {
	c.mu.Lock()
	if c.err != nil {
		err := c.err
		c.mu.Unlock()
		fn(err)
		return func() {}
	}
	n := c.nextFn
	c.nextFn++
	c.onLoss[n] = fn
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		delete(c.onLoss, n)
		c.mu.Unlock()
	}
}

// link is the context's own link; nil when it is further away.
func (c *Context) link() *Link {
	for _, l := range c.r.someLinks(func(l *Link) bool { return l.remote == c.id }) {
		return l
	}
	return nil
}

// Send sends v, pickled, to a handle of the context.
func (c *Context) Send(h Handle, v any) error {
	if err := c.Err(); err != nil {
		return err
	}
	m, err := NewMessage(c.id, h, v)
	if err != nil {
		return err
	}
	c.r.Route(m)
	return nil
}

// Ask sends payload to a handle of the context and waits for the answer.
func (c *Context) Ask(ctx context.Context, h Handle, payload []byte) (any, error) {
	m, err := c.ask(ctx, h, payload)
	if err != nil {
		return nil, err
	}
	return m.Decode()
}

// CallService calls a method of a Mitogen service in the context.
func (c *Context) CallService(ctx context.Context, service, method string, kwargs *pickle.Dict) (any, error) {
	if kwargs == nil {
		kwargs = pickle.NewDict()
	}
	payload, err := pickle.Append(nil, pickle.Tuple{service, method, pickle.Kwargs{Dict: kwargs}})
	if err != nil {
		return nil, err
	}
	return c.Ask(ctx, HandleCallService, payload)
}

// ask waits for a message in answer; a dead one is an error.
func (c *Context) ask(ctx context.Context, h Handle, payload []byte) (*Message, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	answer := make(chan *Message, 1)
	reply, err := c.r.AddHandler(0, func(m *Message) { answer <- m }, HandleOptions{OneShot: true, Respondent: &c.id})
	if err != nil {
		return nil, err
	}
	if err := c.r.routeUntil(ctx, &Message{Dst: c.id, Handle: h, ReplyTo: reply, Data: payload}); err != nil {
		_ = c.r.RemoveHandler(reply) // the context may just have been lost
		return nil, err
	}
	select {
	case m := <-answer:
		return c.judge(m)
	case <-ctx.Done():
		_ = c.r.RemoveHandler(reply) // the answer may just have come
		return nil, context.Cause(ctx)
	}
}

// judge turns the local dead messages into the errors they stand for.
func (c *Context) judge(m *Message) (*Message, error) {
	if !m.IsDead() {
		return m, nil
	}
	if m.link == nil {
		if string(m.Data) == reasonExited {
			return nil, ErrClosed
		}
		if err := c.Err(); err != nil {
			return nil, err
		}
	}
	return nil, m.deadError()
}

// Shutdown sends SHUTDOWN and waits until the context is lost.
func (c *Context) Shutdown(ctx context.Context) error {
	if err := c.r.routeUntil(ctx, &Message{Dst: c.id, Handle: HandleShutdown}); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errDisconnected = errors.New("disconnected")

// Disconnect closes the link by which the context is directly connected, with cause as the reason of its loss.
// It returns at once; Done tells when the loss has been dealt with.
func (c *Context) Disconnect(cause error) error {
	l := c.link()
	if l == nil {
		return errors.New("disconnect context " + c.String() + ": not directly connected")
	}
	if cause == nil {
		cause = errDisconnected
	}
	l.fail(cause)
	return nil
}
