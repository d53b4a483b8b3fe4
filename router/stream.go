package router

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Class tells the two kinds of data in a stream apart. Both share the window and their order.
type Class uint8

// Classes of data.
const (
	Main     Class = 0 // stdin, stdout
	Extended Class = 1 // stderr
)

// ErrStreamClosed is what using a stream gives after Close, and writing after CloseWrite.
var ErrStreamClosed = errors.New("stream closed")

// ResetError is what a stream fails with when the peer reset it.
type ResetError struct{ Reason string }

func (e *ResetError) Error() string { return e.Reason }

// Is makes the reset of a router that closes the loss that it announces.
func (e *ResetError) Is(target error) bool {
	return target == ErrLost && e.Reason == ErrClosed.Error()
}

// brokenError is what a stream fails with when the peer breaks the protocol.
type brokenError struct {
	peer *Context
	what string
}

func (e *brokenError) Error() string { return "stream with context " + e.peer.String() + ": " + e.what }

// Stream is a flow-controlled byte stream between this context and an ancestor or descendant (docs/protocol.md part 2).
// One goroutine may read, one write, and any may send control items or close, at the same time. Who
// has a stream has to Close it.
//
//	           ┌─► sent EOF ──────────┐
//	open ──────┤                      ├─► over (Done; Err is nil)
//	           └─► peer's EOF ────────┘
//	any of these ──► reset, by either end; or lost ──► over (Done; Err says why)
//
// What was received before the peer's EOF can be read whatever happens after it. What was received before a loss can be
// read too, before its cause; a reset discards it.
type Stream struct {
	r      *Router
	peer   *Context
	link   *Link
	pace   *pacer // nil: none
	handle Handle
	done   chan struct{}
	wakeFn func() // s.wake, made once

	mu         sync.Mutex
	canRead    sync.Cond // a chunk, EOF, or the end
	canWrite   sync.Cond // credit, room on the way, or the end
	canControl sync.Cond // an item, or the end
	peerHandle Handle    // 0 until the peer has shown it
	in         frameRing
	taken      int                                // bytes of the first frame in there that an Offer has taken
	offer      func(c Class, pieces [][]byte) int // of NextOr, while it waits and has not been woken for data
	offering   bool                               // it is being called
	offered    []frame                            // what it gets,
	pieces     [][]byte                           // and the data of that
	recv       recvWindow
	items      []Control
	itemBytes  int
	send       sendWindow
	marks      sendMarks
	blockedAt  int64 // the limit of which the peer has been told that it is reached
	gotEOF     bool
	sentEOF    bool
	creditDue  bool  // a CREDIT waits for room in the queue
	over       bool  // no frame comes or goes any more
	closed     bool  // by this end: nothing more is read
	cutOff     error // why nothing gets to the peer any more, though the stream is not over
	err        error // why it is over; nil after an orderly end

	rest Chunk // what Read has begun; of the reading goroutine
}

// newStream registers a stream with c. peerHandle is 0 for the end that opens: the first frame, or the answer, tells it.
func (r *Router) newStream(c *Context, peerHandle Handle) (*Stream, error) {
	s := &Stream{r: r, peer: c, link: r.linkTo(c.id), done: make(chan struct{}), peerHandle: peerHandle}
	if s.link == nil {
		if err := c.Err(); err != nil {
			return nil, err
		}
		return nil, &ChannelError{Reason: reasonNoRoute(c.id, r.cfg.ID)}
	}
	s.canRead.L, s.canWrite.L, s.canControl.L = &s.mu, &s.mu, &s.mu
	s.wakeFn = s.wake
	s.recv = newRecvWindow(r.budget(), time.Now())
	s.send.allowed = firstWindow
	if err := r.streams.add(func(h Handle) endpoint { s.handle = h; return s }); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link.pace.streams.Add(1)
	if !r.cfg.NoPacing {
		s.pace = r.streams.pacerTo(c.id)
	}
	// The loss of the peer is told to streams that are registered. This one may have come too late.
	if r.linkTo(c.id) != s.link {
		err := c.Err()
		if err == nil {
			err = &LostError{ID: c.id, Name: c.Name(), Cause: s.link.lossCause()}
		}
		s.endLocked(err)
		return nil, err
	}
	return s, nil
}

// Peer is the context at the other end, as far as this end knows.
func (s *Stream) Peer() *Context { return s.peer }

// Done is closed when both ends have sent EOF, or the stream was closed, reset or lost; Err then
// says why (nil after an orderly end). What was received may still be unread.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err is nil before Done is closed and after an orderly end.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Reset ends both directions at once; the peer sees a *ResetError with the text of cause, this end cause itself. Idempotent.
func (s *Stream) Reset(cause error) {
	if cause == nil {
		cause = ErrStreamClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resetLocked(cause, cause.Error())
}

// Close ends the stream: orderly when both directions have seen EOF, by a reset otherwise. What is unread is discarded.
// Idempotent; the error is always nil.
func (s *Stream) Close() error {
	s.Reset(ErrStreamClosed)
	return nil
}

// resetLocked ends the stream from this side.
func (s *Stream) resetLocked(err error, reason string) {
	if !s.over && s.peerHandle != 0 {
		_ = s.pushLocked(newResetFrame(reason))
	}
	s.closed = true
	s.discardLocked()
	s.endLocked(err)
}

// endLocked makes the stream over, once: err is nil after an orderly end.
func (s *Stream) endLocked(err error) {
	if s.over {
		return
	}
	s.over, s.err = true, err
	s.recv.end()
	s.canRead.Broadcast()
	s.canWrite.Broadcast()
	s.canControl.Broadcast()
	s.r.streams.remove(s.handle)
	s.link.pace.streams.Add(-1)
	s.leavePacerLocked()
	close(s.done)
}

// leavePacerLocked: what is on the way is not counted any more.
func (s *Stream) leavePacerLocked() {
	p := s.pace
	if p == nil {
		return
	}
	s.pace = nil
	p.moved(s.send.flight(), 0)
	s.r.streams.leavePacer(s.peer.id)
	if wake := p.forget(); len(wake) > 0 {
		go wakeAll(wake) // ends at once; the others' locks must not be taken under this one
	}
}

func wakeAll(wake []func()) {
	for _, fn := range wake {
		fn()
	}
}

// discardLocked frees what is unread. Chunks that Next has given out stay with their holders.
func (s *Stream) discardLocked() {
	for s.in.count > 0 {
		putBuf(s.in.take().buf)
	}
	s.taken = 0
	s.recv.drop()
}

// pushLocked sends a frame of this stream. It never blocks: who sends more than a few has waited for room.
func (s *Stream) pushLocked(buf []byte) error {
	s.address(buf)
	return s.link.q.push(s.flow(), frame{buf}, false)
}

// address writes the header of a frame to the peer.
func (s *Stream) address(buf []byte) {
	putHeader(buf, &header{
		magic: EncodingLegacy, dst: s.peer.id, src: s.r.cfg.ID, auth: s.r.cfg.ID, handle: s.peerHandle, replyTo: s.handle,
		length: uint32(len(buf) - headerLen),
	})
}

func (s *Stream) flow() flowKey { return flowKey{s.r.cfg.ID, s.handle} }

// wake is called when the link's queue or the pacer has room again.
func (s *Stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canWrite.Broadcast()
	if s.creditDue {
		s.creditLocked(time.Now())
	}
}

// lost ends the stream because its peer has gone: what has arrived stays readable.
func (s *Stream) lost(id ContextID, err error) {
	if id != s.peer.id {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(err)
}

// close ends the stream because the router closes.
func (s *Stream) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over && s.peerHandle != 0 {
		_ = s.pushLocked(newResetFrame(err.Error()))
	}
	s.endLocked(err)
}

// waitContext makes cond wake up when ctx ends; the result undoes that.
func waitContext(ctx context.Context, cond *sync.Cond) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		cond.L.Lock()
		defer cond.L.Unlock()
		cond.Broadcast()
	})
}
