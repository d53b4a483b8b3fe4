package router

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"fakessh/router/pickle"
)

// idle is a byte stream on which nothing ever happens.
type idle struct{ io.ReadWriteCloser }

func (idle) Close() error { return nil }

// still makes a router with links whose goroutines are not started: the test plays them.
func still(t *testing.T, cfg Config, remotes ...ContextID) (*Router, []*Link) {
	t.Helper()
	r := New(cfg)
	var links []*Link
	for _, id := range remotes {
		l := r.newLink(idle{}, LinkConfig{Remote: id})
		if _, err := r.attach(l); err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
	}
	return r, links
}

func TestPassingAFrameOnAllocatesNothing(t *testing.T) {
	r, links := still(t, Config{Unidirectional: false}, 1, 2)
	f := header{magic: EncodingLegacy, dst: 2, src: 1, auth: 1, handle: 1000, length: 32768}
	into := make([]frame, 0, 4)
	var h header
	pass := func() {
		h = f
		buf := getBuf(headerLen + int(h.length))
		putHeader(buf, &h)
		r.inbound(links[0], &h, buf)
		into, _ = links[1].q.pop(writeBatch, into[:0])
		putBuf(into[0].buf)
	}
	pass()
	// The race detector makes sync.Pool forget now and then.
	if n := testing.AllocsPerRun(1000, pass); n > 0.5 {
		t.Errorf("%v allocations a frame", n)
	}
}

func TestForwardedFrameKeepsItsBuffer(t *testing.T) {
	r, links := still(t, Config{}, 1, 2)
	buf := newFrame(&header{magic: EncodingLegacy, dst: 2, src: 1, auth: 1}, nil)
	var h header
	parseHeader(buf, &h)
	r.inbound(links[0], &h, buf)
	got, _ := links[1].q.pop(1, nil)
	if &got[0].buf[0] != &buf[0] {
		t.Error("the frame was copied")
	}
}

func TestEgressSetHoldsExactlyWhatWasWrittenTo(t *testing.T) {
	r, links := still(t, Config{}, 1, 2)
	for _, dst := range []ContextID{2, 2, 0, 77, 2} {
		h := header{magic: EncodingLegacy, dst: dst, src: 1, auth: 1, handle: 5555}
		r.inbound(links[0], &h, newFrame(&h, nil))
	}
	// What is forged leaves no trace.
	h := header{magic: EncodingLegacy, dst: 88, src: 2, auth: 1}
	r.inbound(links[0], &h, newFrame(&h, nil))
	var got []ContextID
	for id := range links[0].egress {
		got = append(got, id)
	}
	slices.Sort(got)
	if !slices.Equal(got, []ContextID{0, 2, 77}) || len(links[1].egress) != 0 {
		t.Errorf("egress sets %v and %v", got, links[1].egress)
	}
}

func TestEgressSetIsBoundedAndThenMeansEverybody(t *testing.T) {
	_, links := still(t, Config{}, 1)
	for id := range ContextID(maxEgress + 1) {
		links[0].noteEgress(id)
	}
	if len(links[0].egress) > maxEgress || !links[0].takeEgress(123456) {
		t.Errorf("%d remembered", len(links[0].egress))
	}
}

func TestDelRouteFollowsWhatIsQueuedFromTheLostContext(t *testing.T) {
	r, links := still(t, Config{}, 1, 2)
	up := header{magic: EncodingLegacy, dst: 1, src: 2, auth: 2, handle: streamBit | 1, replyTo: streamBit | 2, length: 32768}
	back := header{magic: EncodingLegacy, dst: 2, src: 1, auth: 1, handle: streamBit | 2, replyTo: streamBit | 1}
	r.inbound(links[0], &back, newFrame(&back, nil)) // so that 1 has to be told
	for range 10 {
		h := up
		r.inbound(links[1], &h, newFrame(&h, make([]byte, h.length)))
	}
	links[1].setCause(errPeerClosed)
	r.linkLost(links[1])
	var order []Handle
	for len(order) < 11 {
		frames, ok := links[0].q.pop(1, nil)
		if !ok {
			t.Fatal("the queue ended")
		}
		var h header
		parseHeader(frames[0].buf, &h)
		order = append(order, h.handle)
	}
	if slices.Index(order, HandleDelRoute) != 10 {
		t.Errorf("order %v", order)
	}
}

// feed lets a goroutine feed frames from the first link to the second, and counts those that went in.
func feed(r *Router, from *Link, n int) *atomic.Int32 {
	var fed atomic.Int32
	go func() { // ends with the last frame
		for range n {
			h := header{magic: EncodingLegacy, dst: 2, src: 1, auth: 1, handle: 1000, replyTo: 1001, length: 1000}
			r.inbound(from, &h, newFrame(&h, make([]byte, 1000)))
			fed.Add(1)
		}
	}()
	return &fed
}

func TestFeederWaitsWhileAQueueIsAtItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalls atomic.Int32
		r, links := still(t, Config{Log: func(_ Level, msg string, _ ...string) {
			if strings.HasPrefix(msg, "queue is full") {
				stalls.Add(1)
			}
		}}, 1, 2)
		links[1].q.limit = 20000
		fed := feed(r, links[0], 100)
		synctest.Wait()
		if n := fed.Load(); n < 8 || n > 10 {
			t.Errorf("%d frames of 2 KiB in memory went into 20000", n)
		}
		if stalls.Load() != 1 {
			t.Errorf("%d records of it", stalls.Load())
		}
		for fed.Load() < 100 {
			links[1].q.pop(1, nil)
			synctest.Wait()
		}
	})
}

func TestFeederOfALostLinkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, links := still(t, Config{}, 1, 2)
		links[1].q.limit = 10000
		fed := feed(r, links[0], 100)
		synctest.Wait()
		links[1].fail(errPeerClosed)
		r.linkLost(links[1])
		synctest.Wait()
		if n := fed.Load(); n != 100 {
			t.Errorf("%d went in", n)
		}
		frames, _ := links[0].q.pop(1<<20, nil)
		if len(frames) < 90 {
			t.Errorf("%d answers came back", len(frames))
		}
	})
}

func TestFailedChainsAreForgottenAtABound(t *testing.T) {
	r := New(Config{ID: 1, ParentIDs: []ContextID{0}})
	defer r.Close()
	r.Register("t.fail", func(context.Context, *Call) (any, error) { return nil, errMalformed })
	self := r.Context(1)
	for i := range maxChains + 100 {
		payload, err := pickle.Append(nil, pickle.Tuple{"chain " + strconv.Itoa(i), "t", nil, "fail", pickle.Tuple{}, pickle.Kwargs{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := self.Ask(t.Context(), HandleCallFunction, payload); err == nil {
			t.Fatal("it does not fail")
		}
	}
	r.calls.mu.Lock()
	defer r.calls.mu.Unlock()
	if n := len(r.calls.chains); n > maxChains || n < maxChains/2 {
		t.Errorf("%d chains are remembered", n)
	}
}

func TestBuffersComeBackWithTheirSize(t *testing.T) {
	for _, n := range []int{0, 1, 128, 129, 32768 + headerLen + 1, 128 << 10, 128<<10 + 1, 1 << 20} {
		b := getBuf(n)
		if len(b) != n {
			t.Errorf("%d bytes asked, %d given", n, len(b))
		}
		putBuf(b)
		putBuf(b[:0:min(n, 5)]) // not one of ours any more: left alone
	}
	putBuf(nil)
}
