package router

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A neighbour that sends and does not read must not make this process wait for ever, nor grow.

// fillUp brings the queue of l to its bound.
func fillUp(t *testing.T, l *Link) {
	t.Helper()
	l.q.limit = 10000
	if err := l.q.push(flowKey{}, frame{newFrame(&header{magic: EncodingLegacy}, make([]byte, 10000))}, false); err != nil {
		t.Fatal(err)
	}
}

func TestCallOverAFullLinkEndsWithItsContext(t *testing.T) {
	late := errors.New("late")
	for name, call := range map[string]func(ctx context.Context, c *Context) error{
		"call":     func(ctx context.Context, c *Context) error { _, err := c.Call(ctx, "test.f"); return err },
		"open":     func(ctx context.Context, c *Context) error { _, _, err := c.Open(ctx, "test.f"); return err },
		"chain":    func(ctx context.Context, c *Context) error { _, err := c.Chain().Call(ctx, "test.f"); return err },
		"shutdown": func(ctx context.Context, c *Context) error { return c.Shutdown(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, links := still(t, Config{}, 1)
				fillUp(t, links[0])
				ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, late)
				defer cancel()
				start := time.Now()
				if err := call(ctx, r.Context(1)); !errors.Is(err, late) || time.Since(start) != time.Second {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		})
	}
}

func TestRefusedStreamFramesLeaveNothingAtAFullLink(t *testing.T) {
	r, links := still(t, Config{}, 1)
	fillUp(t, links[0])
	for i := range Handle(1000) {
		h := header{magic: EncodingLegacy, src: 1, auth: 1, handle: streamBit | i, replyTo: streamBit | 1, length: 1}
		r.inbound(links[0], &h, newFrame(&h, []byte{byte(kindEOF)}))
	}
	if q := links[0].q; len(q.full) > 0 || len(q.flows) > 1 {
		t.Errorf("%d waiters, %d flows", len(q.full), len(q.flows))
	}
}
