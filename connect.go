package fakessh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// Connect connects dest's whole chain (once however many ask) and leases its last context. Errors are one line:
// `dial web1 via bastion: host key changed`. They are *DialError, *NoAccountError, *TargetError, ErrTreeClosed, or match
// ErrNoTarget. When ctx ends, the wait ends; the attempt goes on as long as others wait for it.
func (t *Tree) Connect(ctx context.Context, dest Dest) (*Lease, error) {
	if err := checkAccount(dest.Account); err != nil {
		return nil, err
	}
	c, inv, err := t.chain(dest.Target)
	if err != nil {
		return nil, err
	}
	n, err := t.acquire(ctx, c)
	if err != nil {
		return nil, err
	}
	n, err = t.changeAccount(ctx, n, c, dest.Account, inv)
	if err != nil {
		return nil, err
	}
	return t.lease(n), nil
}

// changeAccount goes from n, which the caller holds, to the context of account, and holds that instead.
func (t *Tree) changeAccount(ctx context.Context, n *node, c chain, account string, inv *inventory) (*node, error) {
	target := c.last().target
	spec, need, err := accountStep(target, account, inv.become(target), n.info)
	if !need && err == nil {
		return n, nil
	}
	defer t.release(n)
	if err != nil {
		return nil, err
	}
	hops := append(slices.Clone(target.Hops), Hop{spec.Method, account})
	c, err = c.with(step{spec: spec, target: Target{target.Name, hops}, idle: c.last().idle})
	if err != nil {
		return nil, err
	}
	into, err := t.acquire(ctx, c)
	if isNoAccount(err, account) {
		return nil, &NoAccountError{Account: account, Target: target.String(), Own: n.info.User}
	}
	return into, err
}

// acquire returns c's node, up and held. The caller releases it.
func (t *Tree) acquire(ctx context.Context, c chain) (*node, error) {
	n, wait, err := t.join(c)
	if !wait {
		return n, err
	}
	select {
	case <-n.ready:
	case <-ctx.Done():
		t.leave(n)
		return nil, &DialError{n.name(), n.viaName(), context.Cause(ctx)}
	}
	if n.err != nil {
		return nil, n.err
	}
	return n, nil // run has counted this use
}

// join finds c's node or starts one. With wait, the caller has to wait for it to be ready.
func (t *Tree) join(c chain) (n *node, wait bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false, ErrTreeClosed
	}
	n = t.nodes[c.key()]
	if n != nil && n.state == up && isDone(n.remote.done()) {
		n.forget() // lost just now: its goroutine has not seen it yet
		n = nil
	}
	if n == nil {
		n = t.start(c)
	}
	switch n.state {
	case up:
		n.hold(1)
		return n, false, nil
	case failed:
		return nil, false, n.err
	}
	n.waiters++
	return n, true, nil
}

// start makes the node of c and its goroutine, which ends when the context has ended or could not be made.
func (t *Tree) start(c chain) *node {
	ctx, cancel := context.WithCancelCause(context.Background())
	n := &node{tree: t, key: c.key(), chain: c, ctx: ctx, cancel: cancel, ready: make(chan struct{}), since: time.Now()}
	t.nodes[n.key] = n
	t.alive[n] = struct{}{}
	t.wg.Go(n.run)
	return n
}

// leave ends one wait. An attempt that nobody waits for is given up.
func (t *Tree) leave(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case n.state != connecting && n.err == nil:
		n.drop() // it came up just now, and this use was counted
	case n.state == connecting:
		if n.waiters--; n.waiters == 0 {
			n.forget()
			n.cancel(context.Canceled)
		}
	}
}

// release undoes acquire.
func (t *Tree) release(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.drop()
}

// lease turns the caller's hold on n into a lease.
func (t *Tree) lease(n *node) *Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.leases++
	return &Lease{n: n}
}

// Lease is a connected context in use: it is not closed as idle until Release.
type Lease struct {
	n    *node
	once sync.Once
}

// Context returns the leased context.
func (l *Lease) Context() *router.Context { return l.n.remote.context() }

// Info is what the agent said about itself.
func (l *Lease) Info() session.Info { return l.n.info }

// Target is the leased context's own name: "web1+setuid.deploy" when an account was asked for that is not the target's own.
func (l *Lease) Target() Target { return l.n.chain.last().target }

// Done is closed when the context is lost; Err then says why, in one line that names the target.
func (l *Lease) Done() <-chan struct{} { return l.n.remote.done() }

// Err is nil while the context is there, and a *LostError afterwards, which matches router.ErrLost.
func (l *Lease) Err() error {
	select {
	case <-l.Done():
		return &LostError{Target: l.n.name(), Err: l.n.lossCause()}
	default:
		return nil
	}
}

// Release gives it back. Idempotent.
func (l *Lease) Release() {
	l.once.Do(func() {
		l.n.tree.mu.Lock()
		defer l.n.tree.mu.Unlock()
		l.n.leases--
		l.n.drop()
	})
}

// run is the whole life of n.
func (n *node) run() {
	defer n.cancel(nil)
	if err := n.connect(n.ctx); err != nil {
		n.fail(n.ctx, err)
		return
	}
	cause := n.watch(n.ctx)
	n.tree.log.Info("context closed", "node", n.name(), "cause", causeText(cause))
	n.remote.end(cause)

	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	n.state = gone
	delete(n.tree.alive, n)
	n.leaveParent()
}

// connect makes two attempts when the parent is lost during the first: the next request after a loss connects again.
func (n *node) connect(ctx context.Context) error {
	lost, err := n.attempt(ctx)
	if lost && ctx.Err() == nil {
		_, err = n.attempt(ctx)
	}
	return err
}

// attempt connects n, by its parent. lost says that the parent went away in the meantime.
func (n *node) attempt(ctx context.Context) (lost bool, err error) {
	var via remote
	if outer := n.chain.outer(); len(outer) > 0 {
		parent, err := n.tree.acquire(ctx, outer)
		if err != nil {
			return false, err
		}
		defer n.tree.release(parent)
		n.depend(parent)
		via = parent.remote
	}
	n.tree.log.Debug("dial", "node", n.name(), "method", n.chain.last().spec.Method)
	r, err := n.tree.dialer.dial(ctx, via, n.chain.last())
	if err != nil {
		return via != nil && isDone(via.done()), n.dialError(ctx, err)
	}
	if err := n.claim(r); err != nil {
		return false, n.dialError(ctx, err) // r is somebody else's: it is not ours to end
	}
	start := time.Now()
	info, err := r.info(ctx)
	if err == nil {
		err = n.come(ctx, r, info, time.Since(start))
	}
	if err != nil {
		r.end(err)
		return via != nil && isDone(via.done()), n.dialError(ctx, err)
	}
	return false, nil
}

// depend makes parent n's parent, in place of one that was lost.
func (n *node) depend(parent *node) {
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	n.leaveParent()
	n.parent = parent
	parent.children++
}

// claim makes r n's own, unless it is another's: a hostile agent could name the context of another target as its child, and
// sessions would run there that were allowed here.
func (n *node) claim(r remote) error {
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	for other := range n.tree.alive {
		if other != n && other.remote != nil && other.remote.id() == r.id() {
			return fmt.Errorf("agent names context %d, which is %s", r.id(), other.name())
		}
	}
	n.remote = r
	return nil
}

// come makes n up and hands it to everybody who waits, unless nobody does any more.
func (n *node) come(ctx context.Context, r remote, info session.Info, rtt time.Duration) error {
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	n.info, n.rtt = harmless(info), rtt
	n.state, n.since = up, time.Now()
	n.hold(n.waiters)
	n.waiters = 0
	close(n.ready)
	n.tree.log.Info("context up", "node", n.name(), "id", r.id(), "user", info.User, "host", info.Hostname)
	return nil
}

// dialError names n in err. When the attempt was given up, that is the cause.
func (n *node) dialError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &DialError{n.name(), n.viaName(), err}
}

// fail tells everybody who waits, and for a while everybody who comes.
func (n *node) fail(ctx context.Context, err error) {
	n.tree.log.Warn("dial failed", "node", n.name(), "err", err)
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	n.state, n.err, n.waiters, n.remote = failed, err, 0, nil
	delete(n.tree.alive, n)
	n.leaveParent()
	close(n.ready)
	if ctx.Err() != nil || errors.Is(err, router.ErrLost) {
		n.forget()
		return
	}
	time.AfterFunc(failureMemory, func() {
		n.tree.mu.Lock()
		defer n.tree.mu.Unlock()
		n.forget()
	})
}

// harmless makes what an agent says about itself fit for a terminal.
func harmless(info session.Info) session.Info {
	for _, s := range []*string{&info.OS, &info.Arch, &info.Hostname, &info.User, &info.Home, &info.Shell, &info.Version} {
		*s = oneLine(*s)
	}
	return info
}

func isDone(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
