package router

import "sync"

type flowKey struct {
	Src    ContextID
	Handle Handle
}
type frame struct{ buf []byte }
type scheduler struct {
	mu           sync.Mutex
	can, room    *sync.Cond
	q            []frame
	bytes, limit int64
	closed       bool
}

func newScheduler(limit int64) *scheduler {
	q := &scheduler{limit: limit}
	q.can, q.room = sync.NewCond(&q.mu), sync.NewCond(&q.mu)
	return q
}
func (q *scheduler) push(key flowKey, f frame, wait bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for wait && q.bytes >= q.limit && !q.closed {
		q.room.Wait()
	}
	if q.closed {
		putBuf(f.buf)
		return ErrClosed
	}
	q.q = append(q.q, f)
	q.bytes += int64(len(f.buf))
	q.can.Signal()
	return nil
}
func (q *scheduler) pushAfter(src ContextID, f frame) error { return q.push(flowKey{}, f, false) }
func (q *scheduler) pop(max int, into []frame) ([]frame, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.q) == 0 && !q.closed {
		q.can.Wait()
	}
	if len(q.q) == 0 {
		return into, false
	}
	n := 0
	for len(q.q) > 0 && (n == 0 || n+len(q.q[0].buf) <= max) {
		n += len(q.q[0].buf)
		into = append(into, q.q[0])
		q.q = q.q[1:]
	}
	q.bytes -= int64(n)
	q.room.Broadcast()
	return into, true
}
func (q *scheduler) close() {
	q.mu.Lock()
	q.closed = true
	q.can.Broadcast()
	q.room.Broadcast()
	q.mu.Unlock()
}
func (q *scheduler) queued() int64 { q.mu.Lock(); defer q.mu.Unlock(); return q.bytes }
