package router

import (
	"sync"
	"sync/atomic"
	"time"
)

// Pacing holds bulk that is on the way to one context near what the path delivers in its smallest round trip, so that it
// does not stand in the buffers of a transport, where the scheduler cannot let a keystroke pass it.
//
// It acts only on a standing queue, found as CoDel finds one (RFC 8289): the smallest round trip within an interval
// stays above the smallest ever by more than a target. Then the path is full, and what it delivered in the interval is
// what it can carry, as in BBR; the cap becomes that rate times the smallest round trip and a little. Without a queue a cap
// that was reached doubles, until there is none again. So a path that is only slow because processes wait for
// a processor is not held back: some round trip in an interval is always fast there.
const (
	freeFlight   = 64 << 10 // what a stream may have on the way uncounted; not less than ackEvery, or a sender could wait for ever
	minCap       = 64 << 10
	noCap        = 1 << 40
	paceInterval = 100 * time.Millisecond
	queueTarget  = 10 * time.Millisecond
	baseAge      = 10 * time.Second // after that the smallest round trip is measured anew
)

// pacer is shared by all streams towards one context.
type pacer struct {
	mu       sync.Mutex
	cap      int64 // on flight
	flight   int64 // on the way beyond each stream's freeFlight
	base     time.Duration
	baseTime time.Time
	draining bool // this interval runs at half the cap, to see base
	waiting  []func()

	start     time.Time // of the interval
	delivered int64     // in it
	least     time.Duration
	limited   bool // somebody had to wait for the cap
}

func excess(flight int64) int64 { return max(0, flight-freeFlight) }

// admit reports whether a stream with flight bytes on the way may send n more. If not, it calls wake once, later.
func (p *pacer) admit(flight int64, n int, wake func()) bool {
	if flight < freeFlight {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.cap
	if p.draining {
		limit /= 2
	}
	if p.flight == 0 || p.flight+cost(n) <= limit {
		return true
	}
	p.limited = true
	p.waiting = append(p.waiting, wake)
	return false
}

// moved tells that a stream's bytes on the way have changed: sent, delivered, or forgotten at its end.
func (p *pacer) moved(before, after int64) {
	if d := excess(after) - excess(before); d != 0 {
		p.mu.Lock()
		p.flight += d
		p.mu.Unlock()
	}
}

// acked takes in that n bytes have arrived, with their round trip if it is known. It returns who may go on.
func (p *pacer) acked(n int64, rtt time.Duration, now time.Time) []func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start.IsZero() {
		p.begin(now)
	}
	p.delivered += n
	if rtt > 0 {
		if p.least == 0 || rtt < p.least {
			p.least = rtt
		}
		if p.base == 0 || rtt <= p.base {
			p.base, p.baseTime = rtt, now
		}
	}
	if took := now.Sub(p.start); took >= max(paceInterval, 2*p.base) {
		p.judge(took, now)
		p.begin(now)
	}
	return p.release()
}

// forget lets all go on that wait: the stream they may have waited for has ended.
func (p *pacer) forget() []func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.release()
}

func (p *pacer) release() []func() {
	limit := p.cap
	if p.draining {
		limit /= 2
	}
	if len(p.waiting) == 0 || p.flight > 0 && p.flight >= limit {
		return nil
	}
	wake := p.waiting
	p.waiting = nil
	return wake
}

func (p *pacer) begin(now time.Time) {
	p.start, p.delivered, p.least, p.limited = now, 0, 0, false
}

// judge sets the cap by what an interval has shown.
func (p *pacer) judge(took time.Duration, now time.Time) {
	if p.least == 0 {
		return
	}
	if p.draining {
		p.draining = false
		p.base, p.baseTime = p.least, now
		return
	}
	queue := p.least - p.base
	switch {
	case queue > p.base/4+queueTarget:
		perSecond := float64(p.delivered) / took.Seconds()
		want := (p.base + p.base/8 + queueTarget/2).Seconds()
		p.cap = max(minCap, int64(perSecond*want))
	case p.limited && queue < p.base/16+queueTarget/5 && p.cap < noCap:
		p.cap *= 2
	}
	if p.cap > maxWindow*4 {
		p.cap = noCap
	}
	if now.Sub(p.baseTime) > baseAge {
		if p.cap == noCap {
			p.base, p.baseTime = p.least, now
		} else {
			p.draining = true
		}
	}
}

// sendMarks remembers when some offsets were sent. Every frame is noted while there is room, and a receiver
// acknowledges exact offsets, so that a round trip is measured for what has just arrived and nothing else.
type sendMarks struct {
	ring  [16]sendMark
	first int
	count int
}

type sendMark struct {
	offset int64
	at     time.Time
}

func (m *sendMarks) sent(offset int64, at time.Time) {
	if m.count < len(m.ring) {
		m.ring[(m.first+m.count)%len(m.ring)] = sendMark{offset, at}
		m.count++
	}
}

// arrived gives the round trip of the frame that ended at offset, 0 if that was not noted.
func (m *sendMarks) arrived(offset int64, now time.Time) (rtt time.Duration) {
	for m.count > 0 && m.ring[m.first].offset <= offset {
		if m.ring[m.first].offset == offset {
			rtt = max(1, now.Sub(m.ring[m.first].at))
		}
		m.first = (m.first + 1) % len(m.ring)
		m.count--
	}
	return rtt
}

// linkPace is what a link knows of the streams over it.
type linkPace struct {
	streams atomic.Int64
	rtt     atomic.Int64 // smoothed, nanoseconds
}

// sample takes one round trip in, of a stream that goes over the link and perhaps beyond (RFC 6298 section 2).
func (l *linkPace) sample(rtt time.Duration) {
	if old := l.rtt.Load(); old != 0 {
		rtt = time.Duration(old) + (rtt-time.Duration(old))/8
	}
	l.rtt.Store(int64(rtt))
}
