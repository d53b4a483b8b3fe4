package router

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pacing holds bulk that is on the way to one context near what the path delivers in its smallest round trip, so that it
// does not stand in the buffers of a transport, where the scheduler cannot let a keystroke pass it.
//
// It acts only on a standing queue, found as CoDel finds one (RFC 8289): the smallest round trip within an interval
// stays above the smallest ever by more than a target. Then the path is full, and the most it delivered in one of the last
// intervals is what it can carry, as in BBR; the cap becomes that rate times the smallest round trip and a little. Without a
// queue a cap that was reached doubles, until there is none again. So a path that is only slow because processes wait
// for a processor is not held back: some round trip in an interval is always fast there.
const (
	freeFlight   = 64 << 10 // what a stream may have on the way uncounted; not less than ackEvery, or a sender could wait for ever
	minCap       = 64 << 10 // beyond that
	noCap        = 1 << 40
	paceInterval = 100 * time.Millisecond
	queueTarget  = 20 * time.Millisecond
	rateMemory   = 10               // intervals
	baseAge      = 10 * time.Second // after that the smallest round trip is measured anew,
	floorAge     = time.Second      // and sooner when it holds bulk back to the utmost: it may be wrong
)

// pacer is shared by all streams towards one context.
type pacer struct {
	mu       sync.Mutex
	cap      int64 // on excess
	excess   int64 // what streams have on the way beyond their freeFlight
	base     time.Duration
	baseTime time.Time
	draining bool // this interval runs below the cap, to see base
	settling bool // the last one did: what it shows is no reason to send more
	waiting  map[Handle]func()

	start     time.Time // of the interval
	delivered int64     // in it
	least     time.Duration
	movers    map[Handle]struct{} // streams of which something has arrived
	limited   bool                // somebody had to wait for the cap
	within    bool                // it began within the cap
	rates     [rateMemory]float64 // bytes per second, in the last intervals
	interval  int
	futile    int // intervals in a row within the cap that did not make the round trip shorter
}

func excess(flight int64) int64 { return max(0, flight-freeFlight) }

func newPacer() *pacer {
	return &pacer{cap: noCap, waiting: map[Handle]func(){}, movers: map[Handle]struct{}{}}
}

// admit reports whether the stream h with flight bytes on the way may send n more. If not, wake is called once, later.
func (p *pacer) admit(h Handle, flight int64, n int, wake func()) bool {
	if flight < freeFlight {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.excess == 0 || p.excess+cost(n) <= p.limit() {
		return true
	}
	p.limited = true
	p.waiting[h] = wake
	return false
}

// limit is what excess may be: the cap, or when draining half of what the path holds without a queue.
func (p *pacer) limit() int64 {
	if !p.draining {
		return p.cap
	}
	return int64(float64(p.cap) * 0.5 * float64(p.base) / float64(p.wanted()))
}

// wanted is the round trip that the cap allows.
func (p *pacer) wanted() time.Duration { return p.base + p.base/8 + queueTarget/2 }

// moved tells that a stream's bytes on the way have changed: sent, delivered, or forgotten at its end.
func (p *pacer) moved(before, after int64) {
	d := excess(after) - excess(before)
	if d == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.excess += d
}

// acked takes in that n bytes of stream h have arrived, with their round trip if it is known. It returns who may go on.
func (p *pacer) acked(h Handle, n int64, rtt time.Duration, now time.Time) []func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start.IsZero() {
		p.begin(now)
	}
	p.delivered += n
	p.movers[h] = struct{}{}
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
	wake := make([]func(), 0, len(p.waiting))
	for _, fn := range p.waiting {
		wake = append(wake, fn)
	}
	clear(p.waiting)
	return wake
}

func (p *pacer) begin(now time.Time) {
	p.start, p.delivered, p.least, p.limited, p.within = now, 0, 0, false, p.excess <= p.cap
	clear(p.movers)
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
	p.rates[p.interval%rateMemory] = float64(p.delivered) / took.Seconds()
	p.interval++
	perSecond := slices.Max(p.rates[:])
	uncounted := float64(len(p.movers)*freeFlight + minCap) // what is on the way whatever the cap
	queue := p.least - p.base
	switch {
	case queue > p.base/4+queueTarget+seconds(uncounted/perSecond):
		p.shorten(perSecond)
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

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// shorten acts on a queue. If that goes on though all that is on the way has been within the cap for some time, the
// queue is not of our making, or the path has become longer: base is measured anew.
func (p *pacer) shorten(perSecond float64) {
	p.cap = max(minCap, int64(perSecond*p.wanted().Seconds()))
	if p.futile++; !p.within {
		p.futile = 0
	}
	if p.futile == 3 {
		p.futile, p.draining = 0, true
	}
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
