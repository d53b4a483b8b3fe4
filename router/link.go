package router

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Link is the framed byte stream to a neighbour. Two goroutines serve it: readLoop ends when the byte stream does and
// then takes the neighbour's routes away; writeLoop ends when the scheduler is closed and drained, or a write fails.
type Link struct {
	r          *Router
	rwc        io.ReadWriteCloser
	remote     ContextID
	name       string
	parent     bool
	auth       *ContextID // stamped on everything that comes in
	privileged bool       // towards an ancestor, or acting for one
	max        int        // payload bytes, either way
	old        atomic.Bool
	detaching  atomic.Bool
	q          *scheduler
	pace       linkPace

	wrote   bool // lastDst is set; both belong to the read loop
	lastDst ContextID

	routes map[ContextID]struct{} // what is behind a child's link; guarded by Router.mu

	mu        sync.Mutex
	egress    map[ContextID]struct{} // ids the neighbour has written to
	egressAll bool                   // too many to remember: it hears of every loss
	cause     error                  // why the link ends; the first one counts
	flush     *time.Timer            // set by finish
	logged    int                    // records in this period
	logPeriod time.Time

	closeOnce sync.Once
	readDone  chan struct{} // closed after everything read has been handled and the loss reported

	bytesIn, bytesOut, framesIn, framesOut atomic.Uint64
}

// fail ends the link at once; what is queued is dropped.
func (l *Link) fail(cause error) {
	l.setCause(cause)
	l.q.close()
	l.closeOnce.Do(func() { l.rwc.Close() })
}

// finish ends the link after what is queued has been written, or a moment has passed.
func (l *Link) finish(cause error) {
	l.setCause(cause)
	l.q.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flush == nil {
		l.flush = time.AfterFunc(flushTime, func() { l.fail(cause) })
	}
}

func (l *Link) setCause(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = cause
	}
}

func (l *Link) lossCause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

func (l *Link) readLoop() {
	defer l.r.wg.Done()
	in := frameReader{r: l.rwc, max: l.max}
	var h header
	for {
		buf, err := in.next(&h)
		if err != nil {
			l.fail(readCause(err))
			break
		}
		l.framesIn.Add(1)
		l.bytesIn.Add(uint64(len(buf)))
		l.r.inbound(l, &h, buf)
	}
	l.r.linkLost(l)
	l.mu.Lock()
	if l.flush != nil {
		l.flush.Stop()
	}
	l.mu.Unlock()
	close(l.readDone)
}

// readCause tells the several ways in which a dead peer shows from errors that say something.
func readCause(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.EIO), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errPeerClosed
	}
	return err
}

func (l *Link) writeLoop() {
	defer l.r.wg.Done()
	w := newBatchWriter(l.rwc)
	var frames []frame
	batch := writeBatch
	for ok := true; ok; {
		if frames, ok = l.q.pop(batch, frames[:0]); !ok {
			break
		}
		start := time.Now()
		n, err := w.write(frames)
		if batch = writeBatch; time.Since(start) > slowWrite {
			batch = slowBatch
		}
		l.bytesOut.Add(uint64(n))
		l.framesOut.Add(uint64(len(frames)))
		for i := range frames {
			putBuf(frames[i].buf)
			frames[i] = frame{}
		}
		if err != nil {
			l.writeFailed(err)
			break
		}
	}
	l.closeOnce.Do(func() { l.rwc.Close() })
}

// writeFailed waits until the reader has taken in what the peer wrote before it died: data sent is data delivered.
func (l *Link) writeFailed(err error) {
	l.q.close()
	var frames []frame
	for ok := true; ok; {
		frames, ok = l.q.pop(writeBatch, frames[:0])
		for i := range frames {
			putBuf(frames[i].buf)
		}
	}
	for seen := uint64(0); ; {
		select {
		case <-l.readDone:
			return
		case <-time.After(drainGrace):
		}
		now := l.bytesIn.Load()
		if now == seen {
			l.setCause(readCause(err))
			return
		}
		seen = now
	}
}

// noteEgress remembers that the neighbour has written to dst. Only the read loop calls it.
func (l *Link) noteEgress(dst ContextID) {
	if l.wrote && dst == l.lastDst {
		return
	}
	l.wrote, l.lastDst = true, dst
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.egress[dst]; ok || l.egressAll {
		return
	}
	if len(l.egress) == maxEgress {
		l.egressAll, l.egress = true, nil
		return
	}
	l.egress[dst] = struct{}{}
}

// takeEgress reports whether the neighbour has to hear of the loss of id, and forgets it.
func (l *Link) takeEgress(id ContextID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.egress[id]
	delete(l.egress, id)
	return ok || l.egressAll
}

// logPeer logs something that the peer can cause, at a bounded rate.
func (l *Link) logPeer(level Level, msg string, attrs ...string) {
	l.mu.Lock()
	if now := time.Now(); now.Sub(l.logPeriod) >= peerLogPeriod {
		l.logPeriod, l.logged = now, 0
	}
	l.logged++
	ok := l.logged <= peerLogBurst
	l.mu.Unlock()
	if ok {
		l.r.log(level, msg, append(attrs, "link", describe(l.remote, l.name))...)
	}
}

// frameReader cuts a byte stream into frames. Its buffer grows while reads fill it.
type frameReader struct {
	r      io.Reader
	max    int
	buf    []byte
	lo, hi int
	idle   int // reads that needed little of the buffer
}

// next reads one frame into h and a buffer that the caller has to put back or hand on.
// io.EOF comes only between frames.
func (f *frameReader) next(h *header) ([]byte, error) {
	for f.hi-f.lo < headerLen {
		if err := f.fill(); err != nil {
			if err == io.EOF && f.hi > f.lo {
				err = errCutShort
			}
			return nil, err
		}
	}
	if !parseHeader(f.buf[f.lo:], h) {
		return nil, ErrCorrupt
	}
	if int64(h.length) > int64(f.max) {
		return nil, &sizeError{announced: int(h.length), max: f.max}
	}
	return f.take(headerLen + int(h.length))
}

// take moves n bytes into a buffer of their own.
func (f *frameReader) take(n int) ([]byte, error) {
	b := getBuf(min(n, trustedSize+headerLen))
	for have := 0; ; {
		c := copy(b[have:], f.buf[f.lo:f.hi])
		f.lo += c
		if have += c; have == n {
			return b, nil
		}
		if have == len(b) {
			b = append(b, make([]byte, min(n-have, have))...)
			continue
		}
		c, err := f.more(b[have:])
		if have += c; err != nil {
			putBuf(b)
			if err == io.EOF {
				err = errCutShort
			}
			return nil, err
		}
	}
}

// more reads into the buffer, or straight into a long rest.
func (f *frameReader) more(rest []byte) (int, error) {
	if len(rest) < directRead {
		return 0, f.fill()
	}
	return io.ReadFull(f.r, rest)
}

// fill makes one read. What is unread is shorter than a header when it is called, or empty.
func (f *frameReader) fill() error {
	f.resize()
	for range 100 {
		n, err := f.r.Read(f.buf[f.hi:])
		f.hi += n
		if f.idle++; n >= len(f.buf)/4 {
			f.idle = 0
		}
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// resize moves what is unread to the front of the buffer: of a longer one when the last read has filled it, of a shorter one
// when that would have been enough for long.
func (f *frameReader) resize() {
	buf := f.buf
	switch {
	case f.hi == len(buf) && len(buf) < readBuffer:
		buf = make([]byte, max(readStart, 4*len(buf)))
	case f.idle >= readIdle && len(buf) > readStart:
		buf = make([]byte, len(buf)/4)
	case f.lo == 0:
		return
	}
	f.hi = copy(buf, f.buf[f.lo:f.hi])
	f.buf, f.lo = buf, 0
	f.idle %= readIdle
}

// sizeError ends a link whose peer announced more than is allowed. It matches ErrTooLarge.
type sizeError struct{ announced, max int }

func (e *sizeError) Error() string {
	return "message too large: " + strconv.Itoa(e.announced) + " bytes announced, " + strconv.Itoa(e.max) + " allowed"
}

func (e *sizeError) Is(target error) bool { return target == ErrTooLarge }

// batchWriter writes frames with few system calls: small neighbours are copied together, long ones go from where they
// are, and all of them in one writev where the transport has it (a net.Conn; os.File has not).
type batchWriter struct {
	w      io.Writer
	conn   net.Conn
	joined []byte      // copies of small frames
	pieces net.Buffers // what to write, in order
	vector net.Buffers // consumed by WriteTo
}

func newBatchWriter(w io.Writer) *batchWriter {
	conn, _ := w.(net.Conn)
	if inner, ok := w.(interface{ NetConn() net.Conn }); ok { // as tls.Conn: the reads differ, the writes do not
		conn = inner.NetConn()
	}
	return &batchWriter{w: w, conn: conn}
}

func (b *batchWriter) write(frames []frame) (int64, error) {
	b.gather(frames)
	defer clear(b.pieces)
	if b.conn != nil && len(b.pieces) > 1 {
		b.vector = b.pieces
		return b.vector.WriteTo(b.conn)
	}
	var total int64
	for _, p := range b.pieces {
		n, err := b.w.Write(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// gather lays the frames out in pieces. joined must not move while pieces point into it.
func (b *batchWriter) gather(frames []frame) {
	small := 0
	for _, f := range frames {
		if len(f.buf) <= smallFrame {
			small += len(f.buf)
		}
	}
	if cap(b.joined) < small {
		b.joined = make([]byte, 0, small)
	}
	b.joined, b.pieces = b.joined[:0], b.pieces[:0]
	open := -1 // where the run of small frames began
	flush := func() {
		if open >= 0 {
			b.pieces = append(b.pieces, b.joined[open:])
			open = -1
		}
	}
	for _, f := range frames {
		if len(f.buf) > smallFrame {
			flush()
			b.pieces = append(b.pieces, f.buf)
			continue
		}
		if open < 0 {
			open = len(b.joined)
		}
		b.joined = append(b.joined, f.buf...)
	}
	flush()
}
