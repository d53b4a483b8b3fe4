package fakessh

import (
	"context"
	"sync"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
)

// Lease is a connected context in use: it is not closed as idle until Release.
type Lease struct {
	n    *node
	once sync.Once
}

// Start starts a session in the context, as session.Start does. An agent that does not say what became of it in connect_timeout and a
// little more gets no further patience: *NoAnswerError.
func (l *Lease) Start(ctx context.Context, spec *session.Spec) (*session.Client, error) {
	ctx, cancel := l.answerBy(ctx, "start a session", l.patience())
	defer cancel()
	return session.Start(ctx, l.Context(), spec)
}

// Dial connects to address inside the context, as session.Dial does. Its agent may take session.DialTimeout for that; *NoAnswerError when it
// has said nothing a little later.
func (l *Lease) Dial(ctx context.Context, network, address string) (*router.Stream, error) {
	ctx, cancel := l.answerBy(ctx, "connect to "+session.OneLine(address), session.DialTimeout+answerTime)
	defer cancel()
	return session.Dial(ctx, l.Context(), network, address)
}

// Listen listens on address inside the context, as session.Listen does. *NoAnswerError when its agent says nothing.
func (l *Lease) Listen(ctx context.Context, network, address string) (*session.Listener, error) {
	ctx, cancel := l.answerBy(ctx, "listen on "+session.OneLine(address), l.patience())
	defer cancel()
	return session.Listen(ctx, l.Context(), network, address)
}

// Unlisten closes a listener of Listen.
func (l *Lease) Unlisten(ctx context.Context, ln *session.Listener) error {
	ctx, cancel := l.answerBy(ctx, "stop listening", l.patience())
	defer cancel()
	return ln.Close(ctx)
}

// Take makes a connection that waits in the context a stream.
func (l *Lease) Take(ctx context.Context, in *session.Incoming) (*router.Stream, error) {
	ctx, cancel := l.answerBy(ctx, "take a connection", l.patience())
	defer cancel()
	return in.Take(ctx)
}

// patience is how long the agent may take to answer what it can answer at once.
func (l *Lease) patience() time.Duration {
	return methods.ConnectTimeout(l.n.chain.last().spec) + answerTime
}

// answerBy bounds the wait for one answer of the agent, which may be hostile: it answers pings, or the context would be lost by itself.
func (l *Lease) answerBy(ctx context.Context, op string, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, &NoAnswerError{Op: op, Target: l.n.name(), After: limit})
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
		return l.n.loss()
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
