package proxy

import (
	"context"
	"sync"
)

// gauge counts what is going on, and lets others wait until nothing is. Unlike a sync.WaitGroup it may rise from zero while
// somebody waits, and the wait can be given up.
type gauge struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n comes to zero; nil when nobody waits
}

// enter counts one more and returns how many there are.
func (g *gauge) enter() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	return g.n
}

func (g *gauge) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.n == 0 && g.zero != nil {
		close(g.zero)
		g.zero = nil
	}
}

func (g *gauge) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// wait returns when nothing was going on, or ctx's error.
func (g *gauge) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.zero == nil {
		g.zero = make(chan struct{})
	}
	zero := g.zero
	g.mu.Unlock()
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
