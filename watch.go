package fakessh

import (
	"context"
	"sync"
	"time"
)

// watch returns when n has to end or has ended, with the cause; no request finds n then.
func (n *node) watch(ctx context.Context) error {
	silent := make(chan error, 1)
	kctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if n.tree.pings > 0 {
		wg.Go(func() { n.keepalive(kctx, silent) }) // ends with kctx
	}
	defer wg.Wait()
	defer stop()

	var cause error
	select {
	case <-n.remote.done():
		cause = n.remote.err()
	case cause = <-silent:
		n.cancel(cause)
	case <-ctx.Done():
		cause = context.Cause(ctx)
	}
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	n.state = closing
	n.forget()
	return cause
}

// keepalive pings the agent. One ping may take as long as several intervals, so that a slow answer is an answer.
func (n *node) keepalive(ctx context.Context, silent chan<- error) {
	tick := time.NewTicker(n.tree.pings)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		rtt, err := n.ping(ctx)
		if err != nil && ctx.Err() == nil {
			silent <- err
			return
		}
		n.tree.mu.Lock()
		n.rtt = rtt
		n.tree.mu.Unlock()
	}
}

func (n *node) ping(ctx context.Context) (time.Duration, error) {
	silence := keepaliveMisses * n.tree.pings
	ctx, cancel := context.WithTimeoutCause(ctx, silence, &UnreachableError{Silence: silence.String()})
	defer cancel()
	rtt, err := n.remote.ping(ctx)
	if err != nil && ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return rtt, err
}
