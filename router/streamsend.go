package router

import (
	"errors"
	"io"
	"strconv"
	"time"
)

const (
	flowLimit = 128 << 10 // bytes a stream keeps waiting for its link; what more there is waits where it comes from
	firstRead = 4 << 10   // the size of the first read of a source, and of each after a small one: idle sources hold little memory
	zeroReads = 100       // reads without a byte or an error
	maxBatch  = 4         // frames read and sent at once; less than flowLimit in all
)

// Write sends Main data. It blocks for credit. It copies p once, into frames.
func (s *Stream) Write(p []byte) (int, error) { return s.WriteClass(Main, p) }

// WriteClass is Write for either class.
func (s *Stream) WriteClass(c Class, p []byte) (total int, err error) {
	for len(p) > 0 {
		buf := newDataFrame(c, min(len(p), maxData))
		copy(buf[frameSpace:], p)
		n, err := s.sendSome(buf)
		if err != nil {
			return total, err
		}
		total, p = total+n, p[n:]
	}
	return total, nil
}

func newDataFrame(c Class, n int) []byte {
	return newStreamFrame(kindData+kind(c&1), n)
}

// sendSome sends the first bytes of the data in buf, as many as may go in one frame, and says how many. It owns buf.
func (s *Stream) sendSome(buf []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.awaitRoomLocked(len(buf) - frameSpace)
	if err != nil {
		putBuf(buf)
		return 0, err
	}
	if err := s.sendLocked(frame{buf[:frameSpace+n]}); err != nil {
		return 0, err
	}
	return n, nil
}

// awaitRoomLocked waits until some of n bytes may go, and says how many.
func (s *Stream) awaitRoomLocked(n int) (int, error) {
	for {
		if err := s.sendErrLocked(); err != nil {
			return 0, err
		}
		k := s.send.room(n)
		switch {
		case k == 0:
			s.sayBlockedLocked()
		case s.admitLocked(k) && s.link.q.room(s.flow(), flowLimit, s.wakeFn):
			return k, nil
		}
		s.canWrite.Wait()
	}
}

func (s *Stream) admitLocked(n int) bool {
	return s.pace == nil || s.pace.admit(s.handle, s.send.flight(), n, s.wakeFn)
}

// sayBlockedLocked tells the peer, once per limit, that its window is what holds this end back.
func (s *Stream) sayBlockedLocked() {
	if s.blockedAt != s.send.allowed {
		s.blockedAt = s.send.allowed
		_ = s.pushLocked(newStreamFrame(kindBlocked, 0))
	}
}

// sendErrLocked is why nothing can be sent; nil if it can.
func (s *Stream) sendErrLocked() error {
	switch {
	case s.over && s.err != nil:
		return s.err
	case s.over, s.sentEOF:
		return ErrStreamClosed
	}
	return s.cutOff
}

// sendLocked sends data that may go. It owns the buffers.
func (s *Stream) sendLocked(frames ...frame) error {
	before, now := s.send.flight(), time.Now()
	for _, f := range frames {
		s.send.send(len(f.buf) - frameSpace)
		s.marks.sent(s.send.sent, now)
		s.address(f.buf)
	}
	if s.pace != nil {
		s.pace.moved(before, s.send.flight())
	}
	if err := s.link.q.pushAll(s.flow(), frames); err != nil {
		return s.linkErr(err)
	}
	return nil
}

// linkErr is what a frame could not be sent for: the link is closing, of which streamsLost will tell later.
func (s *Stream) linkErr(err error) error {
	if cause := s.link.lossCause(); cause != nil {
		err = cause
	}
	return &LostError{ID: s.peer.id, Name: s.peer.Name(), Cause: err}
}

// ReadFrom reads from r straight into frames until EOF. It does not CloseWrite. (io.ReaderFrom)
func (s *Stream) ReadFrom(r io.Reader) (int64, error) { return s.CopyFrom(Main, r) }

// VectorReader is a reader that can fill several buffers with one system call.
type VectorReader interface {
	io.Reader
	ReadVector(bufs [][]byte) (int, error)
}

// CopyFrom is ReadFrom for either class; two copies, one per class, may run at once. What one read of r gives is sent
// at once. A stream that ends does not end a read of r that waits: close r when Done is.
func (s *Stream) CopyFrom(c Class, r io.Reader) (total int64, err error) {
	in := newBatchReader(c, r)
	defer in.release()
	for idle := 0; ; {
		frames, err := in.read()
		if len(frames) > 0 {
			idle = 0
			sent, sendErr := s.sendAll(frames)
			if total += int64(sent); sendErr != nil {
				return total, sendErr
			}
		} else if idle++; idle == zeroReads && err == nil {
			err = io.ErrNoProgress
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// batchReader reads a source into frames: one at a time, of a size that follows it, and several while it fills them all.
type batchReader struct {
	class  Class
	r      io.Reader
	vector VectorReader // r, if it is one
	size   int          // of the first frame's data
	count  int          // of frames
	frames []frame      // those of the last read that are not handed on
	bufs   [][]byte     // their data
}

func newBatchReader(c Class, r io.Reader) *batchReader {
	b := &batchReader{class: c, r: r, size: firstRead, count: 1}
	b.vector, _ = r.(VectorReader)
	return b
}

// read makes one read. The frames are the caller's, with an error or without; the slice is good until the next read.
func (b *batchReader) read() ([]frame, error) {
	b.release()
	for range b.count {
		f := frame{newDataFrame(b.class, b.size)}
		b.frames, b.bufs = append(b.frames, f), append(b.bufs, f.buf[frameSpace:])
	}
	n, err := 0, error(nil)
	if b.count > 1 {
		n, err = b.vector.ReadVector(b.bufs)
	} else {
		n, err = b.r.Read(b.bufs[0])
	}
	if n < 0 || n > b.count*b.size {
		return nil, errors.New("read gave " + strconv.Itoa(n) + " of " + strconv.Itoa(b.count*b.size) + " bytes")
	}
	full := n == b.count*b.size
	got := b.cut(n)
	switch {
	case full && b.size == maxData && b.vector != nil:
		b.count = min(2*b.count, maxBatch)
	case full:
		b.size = maxData
	case n <= maxData:
		b.count = 1
		if n < firstRead/2 {
			b.size = firstRead
		}
	}
	return got, err
}

// cut takes the frames that n bytes are in.
func (b *batchReader) cut(n int) []frame {
	i := 0
	for ; n > 0; i++ {
		c := min(n, b.size)
		b.frames[i].buf = b.frames[i].buf[:frameSpace+c]
		n -= c
	}
	got := b.frames[:i:i]
	b.frames = b.frames[i:]
	return got
}

// release puts back what was not filled.
func (b *batchReader) release() {
	for _, f := range b.frames {
		putBuf(f.buf)
	}
	b.frames, b.bufs = b.frames[:0], b.bufs[:0]
}

// sendAll sends the data in frames, as many of them at once as may go. It owns their buffers.
func (s *Stream) sendAll(frames []frame) (sent int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(frames) > 0 {
		left := len(frames[0].buf) - frameSpace
		n, err := s.awaitRoomLocked(left)
		if err != nil {
			putFrames(frames)
			return sent, err
		}
		if n < left {
			part := newDataFrame(Class(frames[0].buf[headerLen]), n)
			copy(part[frameSpace:], frames[0].buf[frameSpace:])
			frames[0].buf = frames[0].buf[:frameSpace+copy(frames[0].buf[frameSpace:], frames[0].buf[frameSpace+n:])]
			err = s.sendLocked(frame{part})
		} else {
			k := s.readyLocked(frames)
			for _, f := range frames[1:k] {
				n += len(f.buf) - frameSpace
			}
			err = s.sendLocked(frames[:k]...)
			frames = frames[k:]
		}
		if err != nil {
			putFrames(frames)
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// readyLocked is how many of frames may go, given that the first may.
func (s *Stream) readyLocked(frames []frame) int {
	next := s.send
	for i, f := range frames {
		n := len(f.buf) - frameSpace
		if i > 0 && (next.room(n) < n || s.pace != nil && !s.pace.admit(s.handle, next.flight(), n, s.wakeFn)) {
			return i
		}
		next.send(n)
	}
	return len(frames)
}

func putFrames(frames []frame) {
	for _, f := range frames {
		putBuf(f.buf)
	}
}

// CloseWrite sends EOF after everything written. Idempotent.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sentEOF {
		return nil
	}
	if err := s.sendErrLocked(); err != nil {
		return err
	}
	s.sentEOF = true
	s.leavePacerLocked()
	s.canWrite.Broadcast()
	if err := s.pushLocked(newStreamFrame(kindEOF, 0)); err != nil {
		return s.linkErr(err)
	}
	if s.gotEOF {
		s.endLocked(nil)
	}
	return nil
}

// SendControl sends an item of at most 4 KiB, after everything written before it. It is possible after CloseWrite, until the peer
// has sent EOF too.
func (s *Stream) SendControl(c Control) error {
	if len(c.Data) > maxItem {
		return errors.New("send control item: " + strconv.Itoa(len(c.Data)) + " bytes are more than " + strconv.Itoa(maxItem))
	}
	buf := newStreamFrame(kindControl, 1+len(c.Data))
	buf[frameSpace] = c.Kind
	copy(buf[frameSpace+1:], c.Data)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		err := s.controlErrLocked()
		if err == nil && !s.link.q.room(s.flow(), 2*flowLimit, s.wakeFn) {
			s.canWrite.Wait()
			continue
		}
		if err == nil {
			if err = s.pushLocked(buf); err == nil {
				return nil
			}
			return s.linkErr(err)
		}
		putBuf(buf)
		return err
	}
}

func (s *Stream) controlErrLocked() error {
	switch {
	case s.over && s.err != nil:
		return s.err
	case s.over:
		return ErrStreamClosed
	}
	return s.cutOff
}

// creditedLocked takes a CREDIT frame. It returns who else can write now.
func (s *Stream) creditedLocked(payload []byte) (why string, wake []func()) {
	received, allowed, ok := parseCredit(payload)
	if !ok {
		return reasonMalformed, nil
	}
	before := s.send
	if !s.send.credit(received, allowed) {
		return reasonFlowControl, nil
	}
	if s.send == before {
		return "", nil
	}
	s.canWrite.Broadcast()
	now := time.Now()
	n := s.send.received - before.received
	if n == 0 {
		return "", nil
	}
	rtt := s.marks.arrived(s.send.received, now)
	if rtt > 0 {
		s.link.pace.sample(rtt)
	}
	if s.pace == nil {
		return "", nil
	}
	s.pace.moved(before.flight(), s.send.flight())
	return "", s.pace.acked(s.handle, n, rtt, now)
}
