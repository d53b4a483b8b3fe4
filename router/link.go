package router

import (
	"errors"
	"io"
	"slices"
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
	out        *batchWriter
	pace       linkPace

	wrote   bool // lastDst is set; these belong to the read loop
	lastDst ContextID
	more    bool      // what was read holds another whole frame
	held    []*Stream // have data that is delivered with what follows

	routes map[ContextID]struct{} // what is behind a child's link; guarded by Router.mu

	mu        sync.Mutex
	egress    map[ContextID]struct{} // ids the neighbour has written to
	egressAll bool                   // too many to remember: it hears of every loss
	cause     error                  // why the link ends; the first one counts
	flush     *time.Timer            // set by finish

	logged    Quota // records about the link
	forwarded Quota // records of contexts behind it

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
	in := newFrameReader(l.rwc, l.max)
	var h header
	for {
		buf, err := in.next(&h)
		if err != nil {
			l.fail(readCause(err))
			break
		}
		l.framesIn.Add(1)
		l.bytesIn.Add(uint64(len(buf)))
		l.more = in.complete()
		l.r.inbound(l, &h, buf)
		if !l.more {
			l.deliver()
		}
	}
	l.deliver()
	l.r.linkLost(l)
	l.mu.Lock()
	if l.flush != nil {
		l.flush.Stop()
	}
	l.mu.Unlock()
	close(l.readDone)
}

// hold lets s deliver its data at the end of what was read, in one piece. Only the read loop calls it.
func (l *Link) hold(s *Stream) {
	if !slices.Contains(l.held, s) {
		l.held = append(l.held, s)
	}
}

func (l *Link) deliver() {
	for i, s := range l.held {
		s.deliver()
		l.held[i] = nil
	}
	l.held = l.held[:0]
}

// readCause tells the several ways in which a dead peer shows from errors that say something.
func readCause(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.EIO), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errPeerClosed
	}
	return err
}

// writeNow is the scheduler's way to write frames without the write loop, while that waits.
func (l *Link) writeNow(pieces [][]byte) int {
	n := TryWriteOwn(l.out.raw, pieces)
	l.bytesOut.Add(uint64(n))
	left := n
	for _, p := range pieces {
		if left -= len(p); left >= 0 {
			l.framesOut.Add(1)
		}
	}
	return n
}

func (l *Link) writeLoop() {
	defer l.r.wg.Done()
	w := l.out
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

// hasEgress reports whether the neighbour has written to id.
func (l *Link) hasEgress(id ContextID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.egress[id]
	return ok || l.egressAll
}

// takeEgress reports whether the neighbour has to hear of the loss of id, and forgets it.
func (l *Link) takeEgress(id ContextID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.egress[id]
	delete(l.egress, id)
	return ok || l.egressAll
}

// mayLog counts a forwarded record, and says whether it is one of those that a peer may have logged.
func (l *Link) mayLog() bool {
	ok, skipped := l.forwarded.Take()
	switch {
	case !ok && skipped == 1:
		l.logPeer(LevelWarn, "too many log records forwarded, some are dropped")
	case ok && skipped > 0:
		l.logPeer(LevelWarn, "log records were dropped", "count", strconv.Itoa(skipped))
	}
	return ok
}

// logPeer logs something that the peer can cause, at a bounded rate.
func (l *Link) logPeer(level Level, msg string, attrs ...string) {
	if ok, _ := l.logged.Take(); ok {
		l.r.log(level, msg, append(attrs, "link", describe(l.remote, l.name))...)
	}
}
