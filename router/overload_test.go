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

// flood lets a child announce and withdraw a context, over and over, until stop.
func flood(r *Router, from *Link, n int) (done chan struct{}) {
	done = make(chan struct{})
	go func() { // ends with the last message, or when the link that it waits for is closed
		defer close(done)
		for range n {
			for _, handle := range []Handle{HandleAddRoute, HandleDelRoute} {
				h := header{magic: EncodingLegacy, dst: r.cfg.ID, src: from.remote, auth: from.remote, handle: handle, length: 4}
				r.inbound(from, &h, newFrame(&h, []byte("2000")))
			}
		}
	}()
	return done
}

func TestRoutesAreAnnouncedNoFasterThanTheParentReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, links := still(t, Config{ID: 9, ParentIDs: []ContextID{0}}, 10)
		up := r.newLink(idle{}, LinkConfig{Remote: 0, Parent: true})
		if _, err := r.attach(up); err != nil {
			t.Fatal(err)
		}
		fillUp(t, up)
		done := flood(r, links[0], 1000)
		synctest.Wait()
		if n := up.q.queued(); n > 11000 {
			t.Errorf("%d bytes are queued for a parent that takes 10000", n)
		}
		up.fail(errPeerClosed)
		<-done
	})
}

func TestSiblingsOfAOneWayRouterHearNothingOfEachOther(t *testing.T) {
	r, links := still(t, Config{Unidirectional: true}, 1, 2)
	r.ids.grants = []grant{{blockSpan{2000, 3000}, links[0]}}
	links[1].egressAll = true
	<-flood(r, links[0], 100)
	if n := links[1].q.queued(); n > 0 {
		t.Errorf("%d bytes about a context that it could never reach", n)
	}
}

func TestChildThatReadsNothingDoesNotStopItsParentsLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, links := still(t, Config{ID: 9, ParentIDs: []ContextID{0}, Unidirectional: true}, 10)
		up := r.newLink(idle{}, LinkConfig{Remote: 0, Parent: true})
		if _, err := r.attach(up); err != nil {
			t.Fatal(err)
		}
		fillUp(t, links[0])
		done := make(chan struct{})
		go func() { // ends with the message
			defer close(done)
			h := header{magic: EncodingLegacy, dst: 10, handle: 1000} // such as the master's refusals of what the child asks for
			r.inbound(up, &h, newFrame(&h, nil))
		}()
		select {
		case <-done: // the child's link has been given up, or the message has
		case <-time.After(30 * time.Second): // the gateway gives up a context that is silent for 45 s
			t.Error("nothing from above has been read for 30 s: everything beneath this context stands still, and soon it counts as lost")
			links[0].fail(errPeerClosed)
			<-done
		}
	})
}
