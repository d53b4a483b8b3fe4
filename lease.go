package fakessh

import (
	"sync"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// Lease is a connected context in use: it is not closed as idle until Release.
type Lease struct {
	n    *node
	once sync.Once
}

// Context returns the leased context.
func (l *Lease) Context() *router.Context { return l.n.remote.context() }

// Info is what the agent said about itself.
func (l *Lease) Info() session.Info { return l.n.info }

// Account is who one is in the context, as its agent says: "root" for uid 0, by whatever name that is in use there. Policy is about this name.
func (l *Lease) Account() string {
	if l.n.info.UID == 0 {
		return rootAccount
	}
	return l.n.info.User
}

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
