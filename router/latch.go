package router

import (
	"context"
	"errors"
	"sync"
)

// ErrLatchClosed is given by a closed Latch, even if it is not empty.
var ErrLatchClosed = errors.New("router: latch closed")

// Latch is an unbounded queue for several goroutines that can be closed. Those who wait are served in the
// order of their coming. The zero value is ready.
type Latch[T any] struct {
	mu      sync.Mutex
	queue   []T
	waiters []chan T
	closed  bool
}

// Put appends v, or hands it to whoever has waited longest.
func (l *Latch[T]) Put(v T) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrLatchClosed
	}
	if len(l.waiters) > 0 {
		l.waiters[0] <- v // room for one: nobody else sends on it
		l.waiters = l.waiters[1:]
		return nil
	}
	l.queue = append(l.queue, v)
	return nil
}

// Get takes the oldest value, waiting for one until ctx ends.
func (l *Latch[T]) Get(ctx context.Context) (T, error) {
	v, ok, err := l.Try()
	if ok || err != nil {
		return v, err
	}
	l.mu.Lock()
	if l.closed || len(l.queue) > 0 { // since Try
		l.mu.Unlock()
		return l.Get(ctx)
	}
	w := make(chan T, 1)
	l.waiters = append(l.waiters, w)
	l.mu.Unlock()
	select {
	case v, ok := <-w:
		if !ok {
			return v, ErrLatchClosed
		}
		return v, nil
	case <-ctx.Done():
		return l.giveUp(ctx, w)
	}
}

// giveUp takes a waiter out; what it has got meanwhile counts.
func (l *Latch[T]) giveUp(ctx context.Context, w chan T) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.waiters {
		if other == w {
			l.waiters = append(l.waiters[:i:i], l.waiters[i+1:]...)
			break
		}
	}
	select {
	case v, ok := <-w:
		if !ok {
			return v, ErrLatchClosed
		}
		return v, nil
	default:
		var zero T
		return zero, context.Cause(ctx)
	}
}

// Try takes the oldest value if there is one.
func (l *Latch[T]) Try() (v T, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return v, false, ErrLatchClosed
	case len(l.queue) == 0:
		return v, false, nil
	}
	v = l.queue[0]
	var zero T
	l.queue[0] = zero
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return v, true, nil
}

// Len counts the values that wait.
func (l *Latch[T]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// Close wakes everybody. What is queued is lost. Idempotent.
func (l *Latch[T]) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	for _, w := range l.waiters {
		close(w)
	}
	l.waiters, l.queue = nil, nil
}
