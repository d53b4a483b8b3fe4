package router

import (
	"context"
	"sync"
)

// Sizes of the scheduler, not of the protocol.
const (
	quantum    = 32 << 10 // bytes a flow may send in its turn
	frameSlot  = 48       // memory of a frame's place in a ring, which may be half empty
	flowMemory = 256      // of a flow, with a small ring and its place in the map
	spareFlows = 64       // drained flows kept for reuse,
	spareRing  = 64       // with room for as many frames
)

// flowKey names a flow: a stream by the context that sends and its own handle. The zero
// value is the one first-in-first-out flow of all Mitogen messages.
type flowKey struct {
	Src    ContextID
	Handle Handle
}

// frame is a header with its payload, in a buffer of getBuf.
type frame struct{ buf []byte }

// memory is what it costs to keep f in a queue.
func (f frame) memory() int64 { return int64(cap(f.buf)) + frameSlot }

// scheduler is what waits to be written to a link, in one queue per flow. Flows take turns by deficit round robin, those
// that have just become busy first, as in FQ-CoDel (RFC 8290 section 4): what sends little never waits behind what
// sends much, and no class has to be declared.
//
//	push ──► flow ─┐
//	push ──► flow ─┼─► fresh: new flows, until they have had a quantum ─┐
//	push ──► flow ─┘   old:   the others, in turn ──────────────────────┴─► pop
type scheduler struct {
	limit   int64                     // of memory
	stalled func(queued int64)        // called when somebody has to wait at the limit and nobody did before; must not call back
	direct  func(pieces [][]byte) int // writes what the link takes without waiting; nil: everything waits for pop

	mu         sync.Mutex
	ready      sync.Cond // something to pop, or closed
	space      sync.Cond // below the limit, or closed
	flows      map[flowKey]*flow
	fresh, old flowList
	spare      []*flow
	frames     int   // that pop can have
	bytes      int64 // of all frames, held ones too
	memory     int64 // that those and the flows take
	watch      stallWatch
	parked     bool               // somebody waits in pop, and no push is in direct
	rest       []frame            // what direct has left; goes before all others
	pieces     [][]byte           // what direct gets
	waiting    int                // pushes at the limit
	full       map[flowKey]func() // who waits in room for the limit
	wake       []func()           // to be called by pop, outside of mu
	closed     bool
}

// newScheduler makes a scheduler in which push waits from limit bytes of memory on.
func newScheduler(limit int64) *scheduler {
	q := &scheduler{limit: limit, flows: map[flowKey]*flow{}, full: map[flowKey]func(){}}
	q.ready.L, q.space.L = &q.mu, &q.mu
	return q
}

// push appends f to the flow key. At the limit it waits, or, when wait is false, goes on: its caller
// has a bound of its own. After close it returns ErrClosed. It owns the buffer in every case.
func (q *scheduler) push(key flowKey, f frame, wait bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if wait {
		_ = q.awaitSpaceLocked(context.Background())
	}
	return q.pushLocked(key, f)
}

// pushUntil is push that waits at the limit until ctx is done: then it returns the cause.
func (q *scheduler) pushUntil(ctx context.Context, key flowKey, f frame) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.awaitSpaceLocked(ctx); err != nil {
		putBuf(f.buf)
		return err
	}
	return q.pushLocked(key, f)
}

// awaitSpace waits while the scheduler is at its limit.
func (q *scheduler) awaitSpace() {
	q.mu.Lock()
	defer q.mu.Unlock()
	_ = q.awaitSpaceLocked(context.Background())
}

// pushAll is push for several frames of one flow. It does not wait.
func (q *scheduler) pushAll(key flowKey, frames []frame) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pushLocked(key, frames...)
}

func (q *scheduler) pushLocked(key flowKey, frames ...frame) error {
	switch {
	case q.closed:
		for _, f := range frames {
			putBuf(f.buf)
		}
		return ErrClosed
	case q.direct != nil && q.parked && len(q.rest) == 0 && q.frames == 0:
		q.writeLocked(frames)
	default:
		for _, f := range frames {
			q.countLocked(f)
			q.appendLocked(key, f)
		}
	}
	return nil
}

// writeLocked writes frames from here while pop waits and nothing is queued: that saves waking whoever is in pop. What the link does not
// take now is left to pop, in front of all that comes meanwhile. The lock is held before and after, not between.
func (q *scheduler) writeLocked(frames []frame) {
	pieces := q.pieces[:0]
	for _, f := range frames {
		pieces = append(pieces, f.buf)
	}
	q.parked = false
	q.mu.Unlock()
	n := q.direct(pieces)
	q.mu.Lock()
	q.parked = true
	clear(pieces)
	q.pieces = pieces
	for len(frames) > 0 && n >= len(frames[0].buf) {
		n -= len(frames[0].buf)
		putBuf(frames[0].buf)
		frames = frames[1:]
	}
	q.rest = append(q.rest[:0], frames...)
	if len(q.rest) > 0 {
		q.rest[0].buf = q.rest[0].buf[n:]
	}
	if len(q.rest) > 0 || q.frames > 0 || q.closed {
		q.ready.Signal()
	}
}

// pushAfter appends f to the Mitogen flow once everything now queued in flows of src has been popped. It never waits.
// A DEL_ROUTE goes this way, so that what a context has sent arrives before the news of its end.
func (q *scheduler) pushAfter(src ContextID, f frame) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		putBuf(f.buf)
		return ErrClosed
	}
	q.countLocked(f)
	g := &gate{f: f}
	for key, fl := range q.flows {
		if key.Src == src && key != (flowKey{}) && fl.count > 0 {
			fl.gates = append(fl.gates, flowGate{g, fl.count})
			g.flows++
		}
	}
	if g.flows == 0 {
		q.appendLocked(flowKey{}, f)
	}
	return nil
}

func (q *scheduler) countLocked(f frame) {
	q.bytes += int64(len(f.buf))
	q.memory += f.memory()
	if q.fullLocked() {
		q.watchLocked()
	}
}

// pop moves frames to into, in the order of service, until they have max bytes (the last may go beyond). It waits until
// there is one; false means that the scheduler is closed and empty.
func (q *scheduler) pop(max int, into []frame) ([]frame, bool) {
	q.mu.Lock()
	if !q.awaitFramesLocked() {
		q.mu.Unlock()
		return into, false
	}
	into = append(into, q.rest...)
	clear(q.rest)
	q.rest = q.rest[:0]
	n := 0
	for q.frames > 0 && n < max {
		f := q.nextLocked()
		n += len(f.buf)
		into = append(into, f)
	}
	if q.frames == 0 {
		q.forgetFlowsLocked()
	}
	q.takenLocked(n)
	q.freeSpaceLocked()
	wake := q.wake
	q.wake = nil
	q.mu.Unlock()
	for _, fn := range wake {
		fn()
	}
	return into, true
}

// awaitFramesLocked waits for something to pop. It is false when there will be nothing any more.
func (q *scheduler) awaitFramesLocked() bool {
	q.parked = true
	for !q.parked || len(q.rest) == 0 && q.frames == 0 && !q.closed {
		q.ready.Wait()
	}
	q.parked = false
	return len(q.rest) > 0 || q.frames > 0
}

// room reports whether key has fewer than below bytes queued and the scheduler is below its limit. If not, it remembers
// fn, one for each flow, and calls it once, from another goroutine and without a lock, when the flow or the scheduler
// has drained so far.
func (q *scheduler) room(key flowKey, below int64, fn func()) bool {
	q.mu.Lock()
	fl := q.flows[key]
	switch {
	case q.closed:
	case fl != nil && fl.bytes >= below:
		fl.below, fl.room = below, fn
		q.mu.Unlock()
		return false
	case q.fullLocked():
		q.full[key] = fn
		report, queued := q.waiting == 0 && len(q.full) == 1 && q.stalled != nil, q.bytes
		q.mu.Unlock()
		if report {
			q.stalled(queued)
		}
		return false
	}
	q.mu.Unlock()
	return true
}

// takes is room for those who do not wait.
func (q *scheduler) takes(key flowKey, below int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	fl := q.flows[key]
	return q.closed || (fl == nil || fl.bytes < below) && !q.fullLocked()
}

// flowBytes is what is queued in one flow.
func (q *scheduler) flowBytes(key flowKey) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if fl := q.flows[key]; fl != nil {
		return fl.bytes
	}
	return 0
}

// queued is what is queued in all flows together.
func (q *scheduler) queued() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// close refuses what comes; what is queued can still be popped. Every waiter wakes.
func (q *scheduler) close() {
	q.mu.Lock()
	q.closed = true
	q.unwatchLocked()
	q.ready.Broadcast()
	q.space.Broadcast()
	q.wakeFullLocked()
	wake := q.wake
	for _, fl := range q.flows {
		if fl.room != nil {
			wake = append(wake, fl.room)
			fl.room = nil
		}
	}
	q.wake = nil
	q.mu.Unlock()
	for _, fn := range wake {
		fn()
	}
}

func (q *scheduler) fullLocked() bool { return q.memory >= q.limit }

// awaitSpaceLocked waits at the limit, until ctx is done: then it returns the cause.
func (q *scheduler) awaitSpaceLocked(ctx context.Context) error {
	if !q.fullLocked() || q.closed {
		return nil
	}
	defer waitContext(ctx, &q.space)()
	q.watchLocked()
	q.waiting++
	if q.waiting == 1 && len(q.full) == 0 && q.stalled != nil {
		queued := q.bytes
		q.mu.Unlock()
		q.stalled(queued)
		q.mu.Lock()
	}
	for q.fullLocked() && !q.closed && ctx.Err() == nil {
		q.space.Wait()
	}
	q.waiting--
	if q.fullLocked() && !q.closed {
		return context.Cause(ctx)
	}
	return nil
}

func (q *scheduler) freeSpaceLocked() {
	if q.fullLocked() {
		return
	}
	if q.waiting > 0 {
		q.space.Broadcast()
	}
	q.wakeFullLocked()
}

func (q *scheduler) wakeFullLocked() {
	for _, fn := range q.full {
		q.wake = append(q.wake, fn)
	}
	clear(q.full)
}

func (q *scheduler) appendLocked(key flowKey, f frame) {
	fl := q.flows[key]
	if fl == nil {
		fl = q.newFlowLocked()
		fl.key, fl.deficit = key, quantum
		q.flows[key] = fl
		q.memory += flowMemory
		q.fresh.push(fl)
	}
	fl.put(f)
	fl.bytes += int64(len(f.buf))
	if q.frames++; q.frames == 1 && q.parked {
		q.ready.Signal()
	}
}

// nextLocked takes one frame, by RFC 8290 section 4.2: a fresh flow that has used up its quantum or has
// nothing left goes to the end of the old ones; an old one with nothing left goes away.
func (q *scheduler) nextLocked() frame {
	for {
		list := &q.fresh
		if list.head == nil {
			list = &q.old
		}
		fl := list.head
		switch {
		case fl.count == 0 && list == &q.old:
			list.shift()
			q.dropFlowLocked(fl)
		case fl.count == 0:
			q.old.push(list.shift())
		case fl.deficit <= 0:
			fl.deficit += quantum
			q.old.push(list.shift())
		default:
			return q.takeLocked(fl)
		}
	}
}

func (q *scheduler) takeLocked(fl *flow) frame {
	f := fl.take()
	fl.bytes -= int64(len(f.buf))
	fl.deficit -= int64(len(f.buf))
	q.frames--
	q.bytes -= int64(len(f.buf))
	q.memory -= f.memory()
	if fl.room != nil && fl.bytes < fl.below {
		q.wake = append(q.wake, fl.room)
		fl.room = nil
	}
	if len(fl.gates) > 0 {
		q.openGatesLocked(fl)
	}
	return f
}

// gate holds a frame back until some flows have sent what they had when it came.
type gate struct {
	f     frame
	flows int
}

// flowGate is a gate's mark in one flow: left frames are in front of it.
type flowGate struct {
	g    *gate
	left int
}

func (q *scheduler) openGatesLocked(fl *flow) {
	keep := fl.gates[:0]
	for _, m := range fl.gates {
		if m.left--; m.left > 0 {
			keep = append(keep, m)
		} else if m.g.flows--; m.g.flows == 0 {
			q.appendLocked(flowKey{}, m.g.f)
		}
	}
	clear(fl.gates[len(keep):])
	fl.gates = keep
}

func (q *scheduler) newFlowLocked() *flow {
	n := len(q.spare)
	if n == 0 {
		return &flow{}
	}
	fl := q.spare[n-1]
	q.spare[n-1] = nil
	q.spare = q.spare[:n-1]
	return fl
}

func (q *scheduler) dropFlowLocked(fl *flow) {
	delete(q.flows, fl.key)
	q.memory -= flowMemory
	if len(q.spare) < spareFlows && len(fl.ring) <= spareRing {
		q.spare = append(q.spare, fl)
	}
}

// forgetFlowsLocked drops the empty flows that still wait for their turn: with nothing queued there are no turns.
func (q *scheduler) forgetFlowsLocked() {
	for _, list := range [...]*flowList{&q.fresh, &q.old} {
		for list.head != nil {
			q.dropFlowLocked(list.shift())
		}
	}
}

// flow is the queue of one flow.
type flow struct {
	frameRing
	key     flowKey
	bytes   int64
	deficit int64
	below   int64  // room is to be called
	room    func() // when bytes has fallen below that
	gates   []flowGate
	next    *flow
}

// flowList is a queue of flows.
type flowList struct{ head, tail *flow }

func (l *flowList) push(fl *flow) {
	fl.next = nil
	if l.head == nil {
		l.head = fl
	} else {
		l.tail.next = fl
	}
	l.tail = fl
}

func (l *flowList) shift() *flow {
	fl := l.head
	l.head, fl.next = fl.next, nil
	return fl
}

// frameRing is a queue of frames.
type frameRing struct {
	ring  []frame // a power of two long
	first int
	count int
}

func (r *frameRing) put(f frame) {
	if r.count == len(r.ring) {
		bigger := make([]frame, max(4, 2*len(r.ring)))
		n := copy(bigger, r.ring[r.first:])
		copy(bigger[n:], r.ring[:r.first])
		r.ring, r.first = bigger, 0
	}
	r.ring[(r.first+r.count)&(len(r.ring)-1)] = f
	r.count++
}

func (r *frameRing) front() frame { return r.ring[r.first] }

func (r *frameRing) take() frame {
	f := r.ring[r.first]
	r.ring[r.first] = frame{}
	r.first = (r.first + 1) & (len(r.ring) - 1)
	r.count--
	return f
}
