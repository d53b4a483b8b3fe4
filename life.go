package fakessh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
)

// run is the whole life of n.
func (n *node) run() {
	defer n.cancel(nil)
	if err := n.connect(n.ctx); err != nil {
		n.fail(n.ctx, err)
		return
	}
	cause := n.watch(n.ctx)
	n.tree.log.Info("context closed", "node", n.name(), "cause", session.ErrorLine(cause))
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
	info, err := n.firstAnswer(ctx, r)
	if err == nil {
		err = n.come(ctx, r, info, time.Since(start))
	}
	if err != nil {
		r.end(err)
		return via != nil && isDone(via.done()), n.dialError(ctx, err)
	}
	return false, nil
}

// firstAnswer asks a new agent about itself. One that says nothing is not up, however ready it has called itself.
func (n *node) firstAnswer(ctx context.Context, r remote) (session.Info, error) {
	limit := methods.ConnectTimeout(n.chain.last().spec)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &methods.TimeoutError{After: limit})
	defer cancel()
	info, err := r.info(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return info, err
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
		*s = session.OneLine(*s)
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
