package fakessh

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"fakessh/bootstrap/agent/session"
)

// state is where a node is in its life (see the package comment).
type state int

const (
	connecting state = iota
	up
	closing
	failed
	gone
)

func (s state) String() string {
	return [...]string{"connecting", "up", "closing", "failed", "gone"}[s]
}

// node is one context from the moment it is first asked for. One goroutine owns it: run connects, watches, and ends it.
// Fields below ready are guarded by Tree.mu.
type node struct {
	tree   *Tree
	key    nodeKey
	chain  chain
	ctx    context.Context         // the attempt's, then the context's
	cancel context.CancelCauseFunc // ends it; the cause is why
	ready  chan struct{}           // closed when connecting is over: parent, remote, info and err are final

	state    state
	parent   *node // nil: the gateway
	remote   remote
	info     session.Info
	err      error // of a failed one
	waiters  int   // requests that wait for ready
	uses     int   // leases, and requests on their way, of this context and of those beneath it
	leases   int   // leases of this context itself
	children int   // contexts whose parent this is
	stale    bool  // the inventory has changed: closed when not used
	lastUse  time.Time
	idling   *time.Timer // calls idled
	since    time.Time
	rtt      time.Duration
}

// hold counts k uses of n and of what it depends on.
func (n *node) hold(k int) {
	for ; n != nil; n = n.parent {
		n.uses += k
	}
}

// drop undoes hold(1). Contexts that nobody uses then begin to idle, innermost first.
func (n *node) drop() {
	now := time.Now()
	for p := n; p != nil; p = p.parent {
		p.uses--
		p.lastUse = now
	}
	for p := n; p != nil; p = p.parent {
		p.settle()
	}
}

// settle closes n when its time has come, or comes back when it will have. A context waits for its children, which may be
// kept longer than itself; an agent that goes first cannot end a child that hangs.
func (n *node) settle() {
	switch {
	case n.state != up || n.children > 0:
		return
	case n.tree.closed:
		n.end(ErrTreeClosed)
		return
	case n.uses > 0:
		return
	}
	left := n.idle() - time.Since(n.lastUse)
	switch {
	case n.stale:
		n.end(errChanged)
	case n.idle() < 0:
	case left <= 0:
		n.end(errIdle)
	case n.idling == nil:
		n.idling = time.AfterFunc(left, n.idled)
	default:
		n.idling.Reset(left)
	}
}

// idled is settle for the timer.
func (n *node) idled() {
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	n.settle()
}

func (n *node) idle() time.Duration {
	if own := n.chain.last().idle; own != 0 {
		return own
	}
	return n.tree.idle
}

// end makes n closing: no request finds it any more, and its goroutine closes it.
func (n *node) end(cause error) {
	n.state = closing
	n.forget()
	n.cancel(cause)
}

// forget takes n out of what requests find.
func (n *node) forget() {
	if n.tree.nodes[n.key] == n {
		delete(n.tree.nodes, n.key)
	}
}

// lossCause says why n was lost: our own reason if we have ended it, else the router's.
func (n *node) lossCause() error {
	if cause := context.Cause(n.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return n.remote.err()
}

// loss is the error for those who have used n, which is lost. It is for a node that was up: what it depends on is final.
func (n *node) loss() *LostError {
	e := &LostError{Target: n.name(), Err: n.lossCause()}
	first, _ := firstLost(e.Err)
	for p := n.parent; first != nil && p != nil; p = p.parent {
		if p.remote.id() == first.ID {
			e.Hop = p.name()
		}
	}
	return e
}

// leaveParent ends the dependence on the parent, which may have waited for it.
func (n *node) leaveParent() {
	if n.parent != nil {
		n.parent.children--
		n.parent.settle()
	}
}

func (n *node) name() string { return n.chain.last().target.String() }

// viaName is the target that n is reached through; "" is the gateway.
func (n *node) viaName() string {
	if outer := n.chain.outer(); len(outer) > 0 {
		return outer.last().target.String()
	}
	return ""
}

func (n *node) snapshot() Node {
	s := Node{
		Name:     n.name(),
		Method:   n.chain.last().spec.Method,
		User:     n.info.User,
		PID:      n.info.PID,
		Sessions: n.leases,
		Since:    n.since,
		RTT:      n.rtt,
		State:    n.state.String(),
	}
	if n.remote != nil {
		s.ID = uint32(n.remote.id())
		s.Platform = n.info.OS + "/" + n.info.Arch
	}
	if n.parent != nil {
		s.Parent = uint32(n.parent.remote.id())
	}
	return s
}

func byDepthAndName(a, b *node) int {
	return cmp.Or(cmp.Compare(len(a.chain), len(b.chain)), strings.Compare(a.name(), b.name()), a.since.Compare(b.since))
}
