package router

import (
	"sync/atomic"
	"time"
)

// Sizes of windows. The first three are protocol (docs/protocol.md section 2.3).
const (
	firstWindow = 256 << 10 // allowed in each direction before any CREDIT
	frameCost   = 64        // what a shorter frame counts as
	ackEvery    = 64 << 10  // a receiver says at the latest after so much how far it has got
	sureCredit  = 16 << 10  // what a sender may wait for: a receiver with nothing unread has allowed it

	minWindow = 32 << 10
	maxWindow = 16 << 20
	fastPath  = 2 * time.Millisecond // grow also when a window lasts no longer than this: hides the scheduling of processes

	defaultStreamMemory = 64 << 20
)

// cost is how far n bytes of data in one frame move the offsets.
func cost(n int) int64 { return int64(max(n, frameCost)) }

// sendWindow is how far this end has sent, and may.
type sendWindow struct {
	sent     int64
	allowed  int64 // by the peer
	received int64 // by the peer
}

// flight is what has been sent and is not known to have arrived.
func (w *sendWindow) flight() int64 { return w.sent - w.received }

// room is how many of n bytes may be sent now, in one frame. It is 0 rather than a small part, so that frames do not get ever
// smaller. However much the peer allows, no more than maxWindow is on the way.
func (w *sendWindow) room(n int) int {
	free := min(w.allowed-w.sent, maxWindow-w.flight())
	switch {
	case free >= cost(n):
		return n
	case free >= sureCredit:
		return int(free)
	}
	return 0
}

func (w *sendWindow) send(n int) { w.sent += cost(n) }

// credit takes a CREDIT frame in. What goes backwards is stale. It is false when the peer has received what was never sent.
func (w *sendWindow) credit(received, allowed uint64) bool {
	if received > uint64(w.sent) {
		return false
	}
	w.received = max(w.received, int64(received))
	w.allowed = max(w.allowed, int64(min(allowed, 1<<62)))
	return true
}

// recvWindow is what this end lets the peer send. Its size follows the reader: it grows while the reader keeps up and the
// sender waits for credit, and shrinks while the reader leaves half of it unread.
type recvWindow struct {
	budget   *budget
	size     int64 // bytes to be allowed beyond consumed
	received int64
	consumed int64
	allowed  int64 // told the peer
	acked    int64 // received, as told the peer
	held     int64 // memory of what is received and not consumed
	ended    bool  // no more comes: no credit is due
	dropped  bool  // what is unread is forgotten

	epoch     int64     // consumed when the present measuring began
	epochTime time.Time //
	low       int64     // the least that was unread since

	mark     int64         // the first offset past this one answers the CREDIT sent at markTime; -1: none on the way
	markTime time.Time     //
	answered time.Duration // the soonest such answer in the epoch
	blocked  bool          // the peer has said in this epoch that it waits for credit
	rtt      time.Duration
}

func newRecvWindow(b *budget, now time.Time) recvWindow {
	return recvWindow{budget: b, size: firstWindow, allowed: firstWindow, epochTime: now, low: firstWindow, mark: -1}
}

// receive takes n bytes of data in, kept in memory bytes of memory. It is false when they are more than was allowed.
func (w *recvWindow) receive(n, memory int, now time.Time) bool {
	w.received += cost(n)
	if w.received > w.allowed {
		return false
	}
	w.held += int64(memory)
	w.budget.held.Add(int64(memory))
	if w.mark >= 0 && w.received > w.mark {
		if d := now.Sub(w.markTime); w.answered == 0 || d < w.answered {
			w.answered = d
		}
		w.mark = -1
	}
	return true
}

// consume gives n bytes in memory bytes of memory back.
func (w *recvWindow) consume(n, memory int, now time.Time) {
	if w.dropped {
		return
	}
	w.consumed += cost(n)
	w.held -= int64(memory)
	w.budget.held.Add(-int64(memory))
	w.low = min(w.low, w.received-w.consumed)
	if w.consumed-w.epoch >= w.size && !w.ended {
		w.adapt(now.Sub(w.epochTime))
		w.epoch, w.epochTime, w.low, w.answered, w.blocked = w.consumed, now, w.size, 0, false
	}
}

// adapt looks at how the last window's worth was consumed, in took.
func (w *recvWindow) adapt(took time.Duration) {
	if w.blocked && w.answered > 0 {
		// What waits for credit answers it after one round trip. The least is the best; but paths become longer, too.
		if w.rtt += w.rtt / 8; w.rtt == 0 || w.answered < w.rtt {
			w.rtt = w.answered
		}
	}
	keptUp := w.low <= w.size/8
	tooSmall := w.blocked && (took < 2*w.rtt || took < fastPath)
	switch {
	case keptUp && tooSmall && 2*w.size <= maxWindow && w.budget.grow(w.size):
		w.size *= 2
	case w.low >= w.size/2 && w.size > firstWindow:
		w.size /= 2
		w.budget.shrink(w.size)
	}
}

// due says whether it is time for a CREDIT frame: when much has come in since the last one, or much can be allowed.
func (w *recvWindow) due() bool {
	size := w.target()
	return !w.ended && (w.received-w.acked >= ackEvery || w.consumed+size-w.allowed >= max(size/4, sureCredit))
}

// credit is what the next CREDIT frame says. It has to be sent.
func (w *recvWindow) credit(now time.Time) (received, allowed int64) {
	want := max(w.allowed, w.consumed+w.target())
	if want > w.allowed && w.mark < 0 {
		w.mark, w.markTime = w.allowed, now
	}
	w.allowed, w.acked = want, w.received
	return w.acked, w.allowed
}

func (w *recvWindow) target() int64 {
	if w.budget.short() {
		return minWindow
	}
	return w.size
}

// end says that no more comes: what the window had grown by is free for others.
func (w *recvWindow) end() {
	if !w.ended {
		w.ended = true
		w.budget.shrink(w.size - firstWindow)
	}
}

// drop forgets what is unread.
func (w *recvWindow) drop() {
	w.end()
	w.dropped = true
	w.budget.held.Add(-w.held)
	w.held = 0
}

// budget is what all receive windows of a process share. The first window of a stream is implied by the protocol, so
// the budget bounds what windows grow beyond that; and when what is really unread reaches
// the limit, all of them allow the least there is until readers have caught up.
type budget struct {
	limit int64
	grown atomic.Int64 // sizes beyond firstWindow
	held  atomic.Int64 // memory of everything unread
}

// grow takes n bytes, unless that is too much or half of the budget is in use.
func (b *budget) grow(n int64) bool {
	if b.held.Load() > b.limit/2 {
		return false
	}
	if b.grown.Add(n) <= b.limit {
		return true
	}
	b.grown.Add(-n)
	return false
}

func (b *budget) shrink(n int64) { b.grown.Add(-n) }

func (b *budget) short() bool { return b.held.Load() >= b.limit }
