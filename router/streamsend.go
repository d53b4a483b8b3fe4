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
	if err := s.sendLocked(buf[:frameSpace+n]); err != nil {
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

func (s *Stream) sendLocked(buf []byte) error {
	before := s.send.flight()
	s.send.send(len(buf) - frameSpace)
	if s.pace != nil {
		s.pace.moved(before, s.send.flight())
	}
	s.marks.sent(s.send.sent, time.Now())
	if err := s.pushLocked(buf); err != nil {
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

// CopyFrom is ReadFrom for either class; two copies, one per class, may run at once. What one read of r gives is sent
// at once. A stream that ends does not end a read of r that waits: close r when Done is.
func (s *Stream) CopyFrom(c Class, r io.Reader) (total int64, err error) {
	size, in := firstRead, BusyReader(r)
	for idle := 0; ; {
		buf := newDataFrame(c, size)
		n, err := in.Read(buf[frameSpace:])
		if n < 0 || n > size {
			return total, errors.New("read gave " + strconv.Itoa(n) + " of " + strconv.Itoa(size) + " bytes")
		}
		sent, sendErr := s.sendAll(buf[:frameSpace+n])
		total += int64(sent)
		switch {
		case sendErr != nil:
			return total, sendErr
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		case n == 0:
			if idle++; idle == zeroReads {
				return total, io.ErrNoProgress
			}
			continue
		}
		idle = 0
		switch {
		case n == size:
			size = maxData
		case n < firstRead/2:
			size = firstRead
		}
	}
}

// sendAll sends the data in buf. It owns buf.
func (s *Stream) sendAll(buf []byte) (int, error) {
	data := len(buf) - frameSpace
	if data == 0 {
		putBuf(buf)
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for sent := 0; ; {
		left := len(buf) - frameSpace
		n, err := s.awaitRoomLocked(left)
		if err != nil {
			putBuf(buf)
			return sent, err
		}
		if n == left {
			if err := s.sendLocked(buf); err != nil {
				return sent, err
			}
			return data, nil
		}
		part := newDataFrame(Class(buf[headerLen]), n)
		copy(part[frameSpace:], buf[frameSpace:])
		if err := s.sendLocked(part); err != nil {
			putBuf(buf)
			return sent, err
		}
		sent += n
		buf = buf[:frameSpace+copy(buf[frameSpace:], buf[frameSpace+n:])]
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
