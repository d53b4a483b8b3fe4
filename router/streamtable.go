package router

import (
	"math/rand/v2"
	"sync"
	"time"
)

// endpoint is what a stream handle stands for: a Stream, or one end of a Circuit.
type endpoint interface {
	// frame takes one frame whose payload is sound; it owns buf. It runs on a link's reading goroutine and does not block.
	frame(l *Link, h *header, buf []byte)
	// lost ends it if its peer is id.
	lost(id ContextID, err error)
	// close ends it, telling the peer.
	close(err error)
}

// streamTable holds the streams and circuits of a router. Its lock is taken last and never while calling one of them.
type streamTable struct {
	mu     sync.RWMutex
	ends   map[Handle]endpoint
	last   Handle // handed out last; the first one is random, so that handles of different contexts seldom agree
	closed error
	pacers map[ContextID]*sharedPacer

	budgetOnce sync.Once
	memory     budget
}

// sharedPacer is a pacer and how many streams have it.
type sharedPacer struct {
	*pacer
	users int
}

// add registers what make returns for a fresh handle. Handles count up: none is used again soon.
func (t *streamTable) add(make func(Handle) endpoint) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed != nil {
		return t.closed
	}
	if t.ends == nil {
		t.ends = map[Handle]endpoint{}
		t.last = Handle(rand.Uint32())
	}
	for {
		t.last = (t.last + 1) | streamBit
		if _, taken := t.ends[t.last]; !taken {
			break
		}
	}
	t.ends[t.last] = make(t.last)
	return nil
}

func (t *streamTable) remove(h Handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.ends, h)
}

func (t *streamTable) get(h Handle) endpoint {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ends[h]
}

func (t *streamTable) all() []endpoint {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]endpoint, 0, len(t.ends))
	for _, e := range t.ends {
		all = append(all, e)
	}
	return all
}

// pacerTo is the pacer of all streams towards id; each takes it once and leaves it once.
func (t *streamTable) pacerTo(id ContextID) *pacer {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pacers[id]
	if p == nil {
		if t.pacers == nil {
			t.pacers = map[ContextID]*sharedPacer{}
		}
		p = &sharedPacer{pacer: newPacer()}
		t.pacers[id] = p
	}
	p.users++
	return p.pacer
}

func (t *streamTable) leavePacer(id ContextID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.pacers[id]; p != nil {
		if p.users--; p.users == 0 {
			delete(t.pacers, id)
		}
	}
}

// budget is what the receive windows share.
func (r *Router) budget() *budget {
	t := &r.streams
	t.budgetOnce.Do(func() {
		if t.memory.limit = r.cfg.StreamMemory; t.memory.limit <= 0 {
			t.memory.limit = defaultStreamMemory
		}
	})
	return &t.memory
}

// streamFrame takes a frame for a stream handle of this context; it owns buf. It runs on l's reading goroutine.
func (r *Router) streamFrame(l *Link, h *header, buf []byte) {
	if e := r.streams.get(h.handle); e != nil {
		e.frame(l, h, buf)
		return
	}
	r.refuseFrame(l, h, buf, reasonInvalidHandle)
}

// refuseFrame answers a frame that belongs to no stream by a RESET, and frees buf. The answer goes in the flow that a stream
// with this handle has, so that it can't overtake data sent by one. A RESET, and a dead message, is never answered.
func (r *Router) refuseFrame(l *Link, h *header, buf []byte, reason string) {
	reset := len(buf) > headerLen && kind(buf[headerLen]) == kindReset
	putBuf(buf)
	if h.isDead() || reset || h.replyTo&streamBit == 0 {
		return
	}
	key := flowKey{r.cfg.ID, h.handle}
	if !l.q.takes(key, flowLimit) {
		// Its answers to earlier ones wait there still. It is what clients leave that are killed: nobody has to act.
		l.logPeer(LevelDebug, "stream frame not answered: many answers wait", "src", h.src.String(), "handle", h.handle.String())
		return
	}
	answer := newResetFrame(reason)
	putHeader(answer, &header{
		magic: EncodingLegacy, dst: h.src, src: r.cfg.ID, auth: r.cfg.ID, handle: h.replyTo, replyTo: h.handle,
		length: uint32(len(answer) - headerLen),
	})
	_ = l.q.push(key, frame{answer}, false)
}

// streamsLost ends every stream whose peer is id. All that id has sent has been handled.
func (r *Router) streamsLost(id ContextID, err error) {
	for _, e := range r.streams.all() {
		e.lost(id, err)
	}
}

// closeStreams resets every stream and admits no new one.
func (r *Router) closeStreams(err error) {
	r.streams.mu.Lock()
	r.streams.closed = err
	r.streams.mu.Unlock()
	for _, e := range r.streams.all() {
		e.close(err)
	}
}

// linkStreams counts the streams over l, and tells the smoothed round trip of what they send.
func (r *Router) linkStreams(l *Link) (n int, rtt time.Duration) {
	return int(l.pace.streams.Load()), time.Duration(l.pace.rtt.Load())
}
