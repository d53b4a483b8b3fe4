package fakessh

import (
	"context"
	"slices"
	"time"
)

// Connect connects dest's whole chain (once however many ask) and leases its last context. Errors are one line:
// `dial web1 via bastion: host key changed`. They are *DialError, *NoAccountError, *OtherAccountError, *TargetError, ErrTreeClosed,
// or match ErrNoTarget. When ctx ends, the wait ends; the attempt goes on as long as others wait for it.
func (t *Tree) Connect(ctx context.Context, dest Dest) (*Lease, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if dest.Account != "" {
		if err := CheckAccount(dest.Account); err != nil {
			return nil, err
		}
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
	l := t.lease(n)
	if own := l.Account(); dest.Account != "" && own != dest.Account {
		l.Release()
		return nil, &OtherAccountError{Account: dest.Account, Target: dest.Target.String(), Is: own}
	}
	return l, nil
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
	c, err = c.hop(spec, Target{target.Name, hops})
	if err != nil {
		return nil, err
	}
	into, err := t.acquire(ctx, c)
	if isNoAccount(err) {
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
