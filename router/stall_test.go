package router

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// stallCase is a queue that is fed as fast as it takes; rate is what its link takes in a second.
type stallCase struct {
	rate    int
	soonest time.Duration // that it is given up after; 0: never
	latest  time.Duration
}

func TestLinkIsGivenUpThatFallsBehindAtTheLimit(t *testing.T) {
	for name, c := range map[string]stallCase{
		"takes nothing":       {0, mostPatience, mostPatience},
		"drips":               {10e3, mostPatience, 11 * time.Second},
		"takes half the pace": {stallPace / 2, mostPatience, 2*mostPatience + time.Second},
		"slow and honest":     {1e6, 0, 0},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, c.test) })
	}
}

// watchedQueue is a queue of a child, and what tells that the link would be given up.
func watchedQueue() (q *scheduler, given chan struct{}) {
	q, given = newScheduler(1<<20), make(chan struct{}, 1)
	q.watch.patience = mostPatience
	q.watch.giveUp = func(int64, time.Duration) { given <- struct{}{} }
	return q, given
}

func (c stallCase) test(t *testing.T) {
	q, given := watchedQueue()
	start, after := time.Now(), time.Duration(0)
	go func() { // ends when the queue is closed
		for q.push(flowKey{1, 1}, frame{getBuf(8 << 10)}, true) == nil {
		}
	}()
	each := time.Minute // passes between two frames
	if c.rate > 0 {
		each = time.Second * 8 << 10 / time.Duration(c.rate)
	}
	for after == 0 && time.Since(start) < time.Minute {
		select {
		case <-given:
			after = time.Since(start)
		case <-time.After(each):
			q.pop(1, nil)
		}
	}
	if after < c.soonest || after > c.latest {
		t.Errorf("given up after %v", after)
	}
	q.close()
}

func TestQueueThatDrainsToHalfIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, given := watchedQueue()
		fill := func() {
			for q.takes(flowKey{}, 1<<30) {
				q.push(flowKey{}, frame{getBuf(8 << 10)}, false)
			}
		}
		for range 3 { // each time the watch begins anew
			fill()
			<-time.After(mostPatience - time.Second)
			for q.memory >= q.limit/2 {
				q.pop(1, nil)
			}
			<-time.After(time.Minute)
		}
		if len(given) != 0 {
			t.Error("given up though it had drained")
		}
		fill()
		<-time.After(mostPatience - time.Second)
		for q.memory-q.limit/2 > 64<<10 {
			q.pop(1, nil)
		}
		<-time.After(mostPatience + time.Second)
		if len(given) != 1 {
			t.Error("a burst that leaves more than half ends the watch")
		}
	})
}

func TestNobodyWaitsWithoutTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, given := watchedQueue()
		q.limit = frame{getBuf(100)}.memory() + 1 // reached by the flow, not by its frame
		q.push(flowKey{1, 1}, frame{getBuf(100)}, true)
		go q.push(flowKey{1, 1}, frame{getBuf(100)}, true) // ends when the queue is closed
		<-given
		q.close()
	})
}

func TestParentIsNeverGivenUpForItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, links := still(t, Config{ID: 9, ParentIDs: []ContextID{0}}, 10)
		up := r.newLink(idle{}, LinkConfig{Remote: 0, Parent: true})
		if _, err := r.attach(up); err != nil {
			t.Fatal(err)
		}
		fillUp(t, up)
		done := flood(r, links[0], 1)
		<-time.After(time.Hour)
		if err := up.lossCause(); err != nil {
			t.Errorf("given up: %v", err)
		}
		up.q.pop(1<<20, nil)
		<-done // who waited goes on
	})
}

// join links two routers; what the upper one writes goes through slow.
func join(t *testing.T, above, below *Router, slow func(net.Conn) io.ReadWriteCloser) *Link {
	t.Helper()
	x, y := net.Pipe()
	if _, err := below.AddLink(y, LinkConfig{Remote: above.cfg.ID, Parent: true}); err != nil {
		t.Fatal(err)
	}
	c, err := above.AddLink(slow(x), LinkConfig{Remote: below.cfg.ID})
	if err != nil {
		t.Fatal(err)
	}
	return c.link()
}

func plainPipe(c net.Conn) io.ReadWriteCloser { return c }

// limitTo makes the link's queue a short one.
func limitTo(l *Link, n int64) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	l.q.limit = n
}

// Where one link takes nothing, the queues that lead to it fill too. Only the one at fault is given up.
func TestOnlyTheLinkAtFaultIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := New(Config{ID: 1, ParentIDs: []ContextID{0}})
		mid := New(Config{ID: 2, ParentIDs: []ContextID{1, 0}})
		down := join(t, top, mid, plainPipe)
		stuck, theirs := net.Pipe() // nobody reads there
		bad, err := mid.AddLink(stuck, LinkConfig{Remote: 3})
		if err != nil {
			t.Fatal(err)
		}
		limitTo(down, 1<<20)
		limitTo(bad.link(), 1<<20)
		synctest.Wait()
		start, far := time.Now(), top.Context(3)
		go func() { // ends with the loss
			for far.Err() == nil {
				top.Route(&Message{Dst: 3, Handle: 1000, Data: make([]byte, 32<<10)})
			}
		}()
		<-bad.Done()
		if want := `context 3 lost: takes too little: 1 MiB have waited for 8 s`; bad.Err().Error() != want || time.Since(start) != 8*time.Second {
			t.Errorf("after %v: %v\nwant %s", time.Since(start), bad.Err(), want)
		}
		<-far.Done()
		<-time.After(time.Minute)
		mid.Register("test.f", func(context.Context, *Call) (any, error) { return "here", nil })
		if v, err := top.Context(2).Call(t.Context(), "test.f"); v != "here" {
			t.Errorf("the context above it: %v", err)
		}
		theirs.Close()
		mid.Close()
		top.Close()
	})
}

// fading takes 100 MB a second until then, 1 MB afterwards.
type fading struct {
	net.Conn
	then time.Time
}

func (p fading) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		k, each := min(len(b)-n, 8<<10), 10*time.Nanosecond
		if time.Now().After(p.then) {
			each = time.Microsecond
		}
		<-time.After(each * time.Duration(k))
		k, err = p.Conn.Write(b[n : n+k])
		n += k
	}
	return n, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// What is on the way to one context is bounded by its windows: at the worst these have grown on a fast link that becomes slow.
func TestHonestSlowChildStaysBelowTheLimit(t *testing.T) {
	for name, noPacing := range map[string]bool{"paced": false, "not paced": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				top := New(Config{NoPacing: noPacing})
				mid := New(Config{ID: 1, ParentIDs: []ContextID{0}})
				join(t, top, mid, plainPipe)
				id, err := mid.AllocateID(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				low := New(Config{ID: id, ParentIDs: []ContextID{1, 0}})
				down := join(t, mid, low, func(c net.Conn) io.ReadWriteCloser { return fading{c, time.Now().Add(2 * time.Second)} })
				synctest.Wait()
				low.Register("test.sink", func(_ context.Context, c *Call) (any, error) {
					s, err := c.Stream()
					go io.Copy(io.Discard, s) // ends with the stream
					return nil, err
				})
				for range 8 {
					s, _, err := top.Context(id).Open(t.Context(), "test.sink")
					if err != nil {
						t.Fatal(err)
					}
					go s.ReadFrom(zeros{}) // the same
				}
				most := int64(0)
				for range 600 {
					<-time.After(100 * time.Millisecond)
					most = max(most, down.q.queued())
				}
				if err := down.lossCause(); err != nil || most > linkQueue*3/4 {
					t.Errorf("up to %d bytes have waited: %v", most, err)
				}
				low.Close()
				mid.Close()
				top.Close()
			})
		})
	}
}

// A hostile neighbour may choose what is queued: many frames that are short, each in a flow of its own.
func TestQueueCountsTheMemoryThatItTakes(t *testing.T) {
	q := newScheduler(1 << 40)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // pools are empty after two
	runtime.ReadMemStats(&before)
	for i := range Handle(100_000) {
		q.push(flowKey{1, i}, frame{newResetFrame(reasonInvalidHandle)}, false)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	real := int64(after.HeapAlloc - before.HeapAlloc)
	if q.memory < real*9/10 || q.memory > real*3/2 {
		t.Errorf("counts %d bytes for %d", q.memory, real)
	}
}
