package router

import (
	"context"
	"errors"
	"io"
	"time"
)

// Chunk is a piece of received data. Release gives its credit and buffer back; Data is invalid afterwards.
type Chunk struct {
	Class Class
	Data  []byte

	s   *Stream
	buf []byte
}

// Release acknowledges the chunk as consumed. It may be called twice.
func (c *Chunk) Release() {
	buf := c.buf
	if buf == nil {
		return
	}
	n := len(buf) - frameSpace
	c.buf, c.Data = nil, nil
	memory := cap(buf)
	putBuf(buf)
	c.s.consumed(n, memory)
}

// Next returns the next piece in order, of either class, without copying. io.EOF after the peer's EOF, the cause when the
// stream was lost. A chunk that is held back holds the window back.
func (s *Stream) Next() (Chunk, error) { return s.NextOr(nil) }

// NextOr is Next, but while it waits what arrives is given to offer first, which says how many bytes it has taken; NextOr
// returns only with what it has left. That saves waking the caller for each frame. offer is called by the goroutine that reads the
// link, one call at a time and none after NextOr has returned: it must not wait for anything, and may change pieces.
func (s *Stream) NextOr(offer func(c Class, pieces [][]byte) int) (Chunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.offering:
		case s.closed:
			return Chunk{}, s.closeErrLocked()
		case s.in.count > 0:
			return s.takeLocked(), nil
		case s.gotEOF:
			return Chunk{}, io.EOF
		case s.over:
			return Chunk{}, s.err
		}
		s.offer = offer
		s.canRead.Wait()
		s.offer = nil // it is set anew for the next wait
	}
}

// TryNext is Next where there is a piece already; false where Next would wait or fail.
func (s *Stream) TryNext() (Chunk, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.in.count == 0 {
		return Chunk{}, false
	}
	return s.takeLocked(), true
}

func (s *Stream) takeLocked() Chunk {
	f, taken := s.in.take(), s.taken
	s.taken = 0
	return Chunk{Class: Class(f.buf[headerLen]), Data: f.buf[frameSpace+taken:], s: s, buf: f.buf}
}

// closeErrLocked is what this end's own calls give after it has closed or reset the stream.
func (s *Stream) closeErrLocked() error {
	if s.err != nil {
		return s.err
	}
	return ErrStreamClosed
}

func (s *Stream) consumed(n, memory int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.recv.consume(n, memory, now)
	s.creditLocked(now)
}

// Read reads Main data; Extended data is discarded. io.EOF after the peer's EOF.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.fillRest(nil); err != nil {
		return 0, err
	}
	n := copy(p, s.rest.Data)
	s.rest.Data = s.rest.Data[n:]
	if len(s.rest.Data) == 0 {
		s.rest.Release()
	}
	return n, nil
}

// fillRest makes rest hold some Main data.
func (s *Stream) fillRest(offer func(c Class, pieces [][]byte) int) error {
	for len(s.rest.Data) == 0 {
		c, err := s.NextOr(offer)
		if err != nil {
			return err
		}
		if c.Class == Main {
			s.rest = c
		} else {
			c.Release()
		}
	}
	return nil
}

// WriteTo writes Main data to w until EOF, without copying, and to a TryWriter without waking the caller. Extended data is
// discarded. (io.WriterTo)
func (s *Stream) WriteTo(w io.Writer) (total int64, err error) {
	var offered int64 // by another goroutine, but never while this one is here
	defer func() { total += offered }()
	offer := offerTo(w, &offered)
	for {
		if err := s.fillRest(offer); errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(s.rest.Data)
		total += int64(n)
		if err == nil && n < len(s.rest.Data) {
			err = io.ErrShortWrite
		}
		s.rest.Release()
		if err != nil {
			return total, err
		}
	}
}

func offerTo(w io.Writer, total *int64) func(c Class, pieces [][]byte) int {
	try, ok := w.(TryWriter)
	if !ok {
		return nil
	}
	return func(c Class, pieces [][]byte) int {
		if c != Main {
			return sum(pieces)
		}
		n := try.TryWrite(pieces)
		*total += int64(n)
		return n
	}
}

func sum(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

// Control is an out-of-band item: it overtakes data that waits for credit and is not subject to it.
type Control struct {
	Kind byte
	Data []byte
}

// Control waits for the next item. When the stream is over: io.EOF after an orderly end, the cause otherwise.
// Items that had arrived by then come first.
func (s *Stream) Control(ctx context.Context) (Control, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stop := (func() bool)(nil); ; {
		switch {
		case s.closed:
			return Control{}, s.closeErrLocked()
		case len(s.items) > 0:
			return s.takeItemLocked(), nil
		case s.over && s.err == nil:
			return Control{}, io.EOF
		case s.over:
			return Control{}, s.err
		case ctx.Err() != nil:
			return Control{}, context.Cause(ctx)
		}
		if stop == nil {
			stop = waitContext(ctx, &s.canControl)
			defer stop()
		}
		s.canControl.Wait()
	}
}

func (s *Stream) takeItemLocked() Control {
	c := s.items[0]
	s.items[0] = Control{}
	s.items = s.items[1:]
	s.itemBytes -= len(c.Data)
	if len(s.items) == 0 {
		s.items = nil
	}
	return c
}

// frame takes a frame for this stream's handle.
func (s *Stream) frame(l *Link, h *header, buf []byte) {
	s.mu.Lock()
	if s.over && s.peerHandle == 0 { // given up just now, before the peer was known: it has to hear that
		s.mu.Unlock()
		s.r.refuseFrame(l, h, buf, reasonInvalidHandle)
		return
	}
	if why := s.strangerLocked(h); why != "" {
		s.mu.Unlock()
		s.r.refuseFrame(l, h, buf, why)
		return
	}
	var wake []func()
	switch {
	case s.over:
		putBuf(buf)
	case h.isDead():
		s.deadLocked(l, h, buf)
	default:
		wake = s.payloadLocked(l, buf)
	}
	s.mu.Unlock()
	wakeAll(wake)
}

// strangerLocked says why a frame is not from this stream's other end; "" if it is.
func (s *Stream) strangerLocked(h *header) string {
	switch {
	case h.isDead():
		return ""
	case h.src != s.peer.id:
		return reasonRespondent
	case s.peerHandle == 0 && h.replyTo&streamBit != 0:
		s.peerHandle = h.replyTo
	case h.replyTo != s.peerHandle:
		return reasonInvalidHandle
	}
	return ""
}

// deadLocked takes a dead message. From the peer it is a RESET. From the neighbour on the way it means that nothing gets there any
// more, while what the peer has sent may still be coming: reading goes on until the loss is announced, which follows that.
// Others have no say.
func (s *Stream) deadLocked(l *Link, h *header, buf []byte) {
	reason := cutReason(string(buf[headerLen:]))
	putBuf(buf)
	switch {
	case h.src == s.peer.id:
		s.resetByPeerLocked(reason)
	case l == s.link && h.src == l.remote:
		s.cutOff = &ResetError{Reason: reason}
		s.canWrite.Broadcast()
	}
}

// payloadLocked takes a frame from the peer; it owns buf. It returns who else can write now.
func (s *Stream) payloadLocked(l *Link, buf []byte) (wake []func()) {
	payload := buf[headerLen:]
	why := checkPayload(payload)
	if why != "" {
		putBuf(buf)
		s.breakLocked(why)
		return nil
	}
	switch k := kind(payload[0]); k {
	case kindData, kindExtended:
		why = s.dataLocked(l, buf)
		buf = nil
	case kindCredit:
		why, wake = s.creditedLocked(payload)
	case kindEOF:
		why = s.eofLocked()
	case kindReset:
		s.resetByPeerLocked(cutReason(string(payload[1:])))
	case kindControl:
		why = s.itemLocked(payload)
	case kindBlocked:
		s.recv.blocked = true
	}
	if buf != nil {
		putBuf(buf)
	}
	if why != "" {
		s.breakLocked(why)
	}
	return wake
}

// breakLocked resets the stream because of what the peer did.
func (s *Stream) breakLocked(why string) {
	s.resetLocked(&brokenError{s.peer, why}, why)
}

func (s *Stream) resetByPeerLocked(reason string) {
	if !s.gotEOF {
		s.discardLocked()
	}
	s.endLocked(&ResetError{Reason: reason})
}

// dataLocked takes data in; it owns buf.
func (s *Stream) dataLocked(l *Link, buf []byte) (why string) {
	n := len(buf) - frameSpace
	now := time.Now()
	switch {
	case s.gotEOF:
		putBuf(buf)
		return reasonAfterEOF
	case !s.recv.receive(n, cap(buf), now):
		putBuf(buf)
		return reasonFlowControl
	}
	s.in.put(frame{buf})
	if l.more {
		l.hold(s)
		return ""
	}
	s.arrivedLocked()
	return ""
}

// deliver is arrivedLocked for what was held.
func (s *Stream) deliver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivedLocked()
}

// arrivedLocked gives what is there to the reader, and credit to the peer: once for all that one read of the link has brought.
func (s *Stream) arrivedLocked() {
	switch {
	case s.in.count == 0: // taken meanwhile, or the end
	case s.offer == nil:
		s.canRead.Signal()
	default:
		s.offerLocked()
	}
	s.creditLocked(time.Now())
}

// offerLocked gives the data that is there to the waiting reader's offer, as far as it is of one class, and the reader what that leaves.
// The lock is held before and after, not between: meanwhile the stream may end, but nothing else arrives.
func (s *Stream) offerLocked() {
	offer, class := s.offer, s.in.front().buf[headerLen]
	for s.in.count > 0 && s.in.front().buf[headerLen] == class {
		f := s.in.take()
		s.offered = append(s.offered, f)
		s.pieces = append(s.pieces, f.buf[frameSpace:])
	}
	s.offering = true
	s.mu.Unlock()
	n := offer(Class(class), s.pieces)
	s.mu.Lock()
	s.offering = false
	s.tookLocked(n)
	if s.in.count > 0 || s.gotEOF || s.over {
		s.offer = nil
		s.canRead.Signal()
	}
}

// tookLocked takes in that n bytes of what was offered are consumed. The rest goes back to the front.
func (s *Stream) tookLocked(n int) {
	now, behind := time.Now(), s.in.count
	for _, f := range s.offered {
		size := len(f.buf) - frameSpace
		switch {
		case s.recv.dropped:
			putBuf(f.buf)
		case n >= size:
			n -= size
			s.recv.consume(size, cap(f.buf), now)
			putBuf(f.buf)
		default:
			s.taken, n = max(s.taken, n), 0
			s.in.put(f)
		}
	}
	clear(s.offered)
	clear(s.pieces)
	s.offered, s.pieces = s.offered[:0], s.pieces[:0]
	for ; behind > 0 && s.in.count > behind; behind-- {
		s.in.put(s.in.take()) // of the other class, which came after
	}
}

func (s *Stream) eofLocked() (why string) {
	if s.gotEOF {
		return reasonSecondEOF
	}
	s.gotEOF = true
	s.recv.end()
	s.canRead.Broadcast()
	if s.sentEOF {
		s.endLocked(nil)
	}
	return ""
}

func (s *Stream) itemLocked(payload []byte) (why string) {
	data := payload[2:]
	if len(s.items) == maxItems || s.itemBytes+len(data) > maxItemHeap {
		return reasonManyItems
	}
	s.items = append(s.items, Control{Kind: payload[1], Data: append([]byte(nil), data...)})
	s.itemBytes += len(data)
	s.canControl.Signal()
	return ""
}

// creditLocked sends a CREDIT frame if one is due. Should the queue be full of earlier ones, it waits for room: the
// offsets are absolute, so that a later frame says all that the earlier would have.
func (s *Stream) creditLocked(now time.Time) {
	s.creditDue = false
	if s.over || s.peerHandle == 0 || !s.recv.due() {
		return
	}
	if !s.link.q.room(s.flow(), 2*flowLimit, s.wakeFn) {
		s.creditDue = true
		return
	}
	received, allowed := s.recv.credit(now)
	_ = s.pushLocked(newCreditFrame(received, allowed))
}
