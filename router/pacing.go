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
	minCap       = 64 << 10 // beyond that
	noCap        = 1 << 40
	paceInterval = 100 * time.Millisecond
	queueTarget  = 10 * time.Millisecond
	baseAge      = 10 * time.Second // after that the smallest round trip is measured anew,
	floorAge     = time.Second      // and sooner when it holds bulk back to the utmost: it may be wrong
)

// pacer is shared by all streams towards one context.
type pacer struct {
	mu       sync.Mutex
	cap      int64 // on excess
	flight   int64 // what all streams have on the way
	excess   int64 // of that, what is beyond each stream's freeFlight
	base     time.Duration
	baseTime time.Time
	draining bool // this interval runs below the cap, to see base
	settling bool // the last one did: what it shows is no reason to send more
	waiting  []func()

	start     time.Time // of the interval
	delivered int64     // in it
	least     time.Duration
	limited   bool // somebody had to wait for the cap
	within    bool // it began within the cap
	futile    int  // intervals in a row within the cap that did not make the round trip shorter
}

func excess(flight int64) int64 { return max(0, flight-freeFlight) }

// admit reports whether a stream with flight bytes on the way may send n more. If not, it calls wake once, later.
func (p *pacer) admit(flight int64, n int, wake func()) bool {
	if flight < freeFlight {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.excess == 0 || p.excess+cost(n) <= p.limit() {
		return true
	}
	p.limited = true
	p.waiting = append(p.waiting, wake)
	return false
}

// limit is what excess may be: the cap, or when draining a little less than what the path holds without a queue.
func (p *pacer) limit() int64 {
	if !p.draining {
		return p.cap
	}
	return int64(float64(p.cap) * 0.8 * float64(p.base) / float64(p.wanted()))
}

// wanted is the round trip that the cap allows.
func (p *pacer) wanted() time.Duration { return p.base + p.base/8 + queueTarget/2 }

// moved tells that a stream's bytes on the way have changed: sent, delivered, or forgotten at its end.
func (p *pacer) moved(before, after int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flight += after - before
	p.excess += excess(after) - excess(before)
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
	if took := now.Sub(p.start); took >= max(paceInterval, 2*p.least) {
		if p.least > 0 {
			p.judge(took, now)
		}
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
	if len(p.waiting) == 0 || p.excess > 0 && p.excess >= p.limit() {
		return nil
	}
	wake := p.waiting
	p.waiting = nil
	return wake
}

func (p *pacer) begin(now time.Time) {
	p.start, p.delivered, p.least, p.limited, p.within = now, 0, 0, false, p.excess <= p.cap
}

// judge sets the cap by what an interval has shown.
func (p *pacer) judge(took time.Duration, now time.Time) {
	if p.draining || p.settling {
		if p.draining {
			p.base, p.baseTime = p.least, now
		}
		p.draining, p.settling = false, p.draining
		return
	}
	perSecond := float64(p.delivered) / took.Seconds()
	uncounted := time.Duration(float64(p.flight-p.excess+minCap) / perSecond * float64(time.Second))
	queue := p.least - p.base
	switch {
	case queue > p.base/4+queueTarget+uncounted:
		p.shorten(perSecond, now)
	case p.limited && queue < p.base/16+queueTarget/5:
		p.futile = 0
		if p.cap *= 2; p.cap > 4*maxWindow {
			p.cap = noCap
		}
	default:
		p.futile = 0
	}
	age := now.Sub(p.baseTime)
	if age > baseAge || age > floorAge && p.cap == minCap {
		p.ageBase(now)
	}
}

// shorten acts on a queue. If all that is on the way has been within the cap for some time, the queue is not of our making, or the
// path has become longer: then this is the smallest round trip that can be had.
func (p *pacer) shorten(perSecond float64, now time.Time) {
	if p.futile++; !p.within {
		p.futile = 0
	}
	if p.futile == 3 {
		p.futile = 0
		p.base, p.baseTime = p.least, now
		return
	}
	p.cap = max(minCap, int64(perSecond*p.wanted().Seconds()))
}

// ageBase measures the smallest round trip anew.
func (p *pacer) ageBase(now time.Time) {
	if p.cap < noCap {
		p.draining = true
		return
	}
	p.base, p.baseTime = p.least, now
}

// sendMarks remembers when some frames were sent: a run of them, and the next run when all of that has arrived. As a receiver
// acknowledges what has just come in, the round trip of one of them is measured, and no waiting for others.
type sendMarks struct {
	ring  [16]sendMark
	first int
	count int
	full  bool // since it last was empty
}

type sendMark struct {
	offset int64
	at     time.Time
}

const nearMark = 16 << 10 // an acknowledgement so little beyond a frame is of the next one, sent at about the same time

func (m *sendMarks) sent(offset int64, at time.Time) {
	if m.full {
		return
	}
	m.ring[(m.first+m.count)%len(m.ring)] = sendMark{offset, at}
	m.count++
	m.full = m.count == len(m.ring)
}

// arrived gives the round trip of what has just arrived, 0 if nothing near it was noted.
func (m *sendMarks) arrived(offset int64, now time.Time) (rtt time.Duration) {
	for m.count > 0 && m.ring[m.first].offset <= offset {
		if offset-m.ring[m.first].offset < nearMark {
			rtt = max(1, now.Sub(m.ring[m.first].at))
		}
		m.first = (m.first + 1) % len(m.ring)
		m.count--
	}
	m.full = m.full && m.count > 0
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
