package router

import (
	"testing"
	"time"
)

// paceSim is a path with a bottleneck and an endless buffer in front of it, and streams that share a pacer. Everything that is sent
// stands in the buffer until the path has carried it: that is the queue which pacing has to keep short. Readers keep up.
type paceSim struct {
	p         *pacer
	now       time.Time
	rate      float64 // bytes per second
	rtt       time.Duration
	stall     func(at time.Time) time.Duration // how long what arrives then is not looked at
	busy      time.Time                        // the path carries what was sent up to here
	streams   []*paceStream
	data      []paceEvent // on their way
	credits   []paceEvent
	delivered int64
	queue     time.Duration // the longest seen
}

type paceStream struct {
	w      sendWindow
	r      recvWindow
	marks  sendMarks
	idle   bool
	handle Handle
}

type paceEvent struct {
	at                time.Time
	s                 *paceStream
	n                 int // of data that arrives; 0: a credit
	received, allowed int64
}

func newPaceSim(rate float64, rtt time.Duration, streams int) *paceSim {
	now := time.Now()
	sim := &paceSim{p: newPacer(), now: now, busy: now, rate: rate, rtt: rtt, stall: func(time.Time) time.Duration { return 0 }}
	b := testBudget(1 << 40)
	for i := range streams {
		sim.streams = append(sim.streams, &paceStream{handle: Handle(i), w: sendWindow{allowed: firstWindow}, r: newRecvWindow(b, now)})
	}
	return sim
}

func (sim *paceSim) run(d time.Duration) {
	sim.delivered, sim.queue = 0, 0
	for end := sim.now.Add(d); sim.now.Before(end); sim.now = sim.now.Add(200 * time.Microsecond) {
		sim.arrivals()
		for _, s := range sim.streams {
			for !s.idle && s.w.room(maxData) == maxData && sim.p.admit(s.handle, s.w.flight(), maxData, func() {}) {
				sim.send(s)
			}
			s.r.blocked = s.r.blocked || s.w.room(maxData) < maxData // told by a BLOCKED frame
		}
		sim.queue = max(sim.queue, sim.busy.Sub(sim.now))
	}
}

func (sim *paceSim) send(s *paceStream) {
	before := s.w.flight()
	s.w.send(maxData)
	sim.p.moved(before, s.w.flight())
	s.marks.sent(s.w.sent, sim.now)
	if sim.busy.Before(sim.now) {
		sim.busy = sim.now
	}
	sim.busy = sim.busy.Add(time.Duration(maxData / sim.rate * 1e9))
	sim.later(&sim.data, paceEvent{at: sim.busy.Add(sim.rtt / 2), s: s, n: maxData})
}

// later appends an event, at the end of the stall that it falls into, and not before earlier ones.
func (sim *paceSim) later(list *[]paceEvent, e paceEvent) {
	e.at = e.at.Add(sim.stall(e.at))
	if n := len(*list); n > 0 && e.at.Before((*list)[n-1].at) {
		e.at = (*list)[n-1].at
	}
	*list = append(*list, e)
}

func (sim *paceSim) arrivals() {
	for len(sim.data) > 0 && !sim.data[0].at.After(sim.now) {
		e := sim.data[0]
		sim.data = sim.data[1:]
		e.s.r.receive(e.n, e.n, sim.now)
		e.s.r.consume(e.n, e.n, sim.now)
		if e.s.r.due() {
			received, allowed := e.s.r.credit(sim.now)
			sim.later(&sim.credits, paceEvent{at: sim.now.Add(sim.rtt / 2), s: e.s, received: received, allowed: allowed})
		}
	}
	for len(sim.credits) > 0 && !sim.credits[0].at.After(sim.now) {
		sim.credit(sim.credits[0])
		sim.credits = sim.credits[1:]
	}
}

func (sim *paceSim) credit(e paceEvent) {
	before := e.s.w
	e.s.w.credit(uint64(e.received), uint64(e.allowed))
	n := e.s.w.received - before.received
	sim.delivered += n
	sim.p.moved(before.flight(), e.s.w.flight())
	sim.p.acked(e.s.handle, n, e.s.marks.arrived(e.received, sim.now), sim.now)
}

func TestPacingKeepsTheQueueShort(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name    string
		rate    float64
		rtt     time.Duration
		streams int
		queue   time.Duration // at most
		use     float64       // of the rate, at least
	}{
		{"20 MB/s, 20 ms", 20e6, 20 * ms, 1, 30 * ms, 0.93},
		{"20 MB/s, 100 ms", 20e6, 100 * ms, 1, 80 * ms, 0.93},
		{"40 MB/s, 1 ms", 40e6, ms, 1, 30 * ms, 0.95},
		{"2 MB/s, 30 ms: the least flight is more than it takes", 2e6, 30 * ms, 1, 120 * ms, 0.95},
		{"20 MB/s, 20 ms, ten streams: each has its free 64 KiB", 20e6, 20 * ms, 10, 60 * ms, 0.95},
		{"80 MB/s, 0.1 ms", 80e6, ms / 10, 1, 30 * ms, 0.95},
	} {
		sim := newPaceSim(c.rate, c.rtt, c.streams)
		sim.run(2 * time.Second)
		sim.run(12 * time.Second) // long enough to measure the smallest round trip anew
		if use := float64(sim.delivered) / (c.rate * 12); use < c.use {
			t.Errorf("%s: uses %.2f of the path", c.name, use)
		}
		if sim.queue > c.queue {
			t.Errorf("%s: a queue of %v", c.name, sim.queue)
		}
	}
}

func TestPacingFollowsAPathThatChanges(t *testing.T) {
	sim := newPaceSim(2e6, 20*time.Millisecond, 1)
	sim.run(5 * time.Second)
	sim.rate = 40e6
	sim.run(2 * time.Second)
	sim.run(time.Second)
	if use := float64(sim.delivered) / 40e6; use < 0.9 {
		t.Errorf("2 s after the path became faster, %.2f of it are used", use)
	}
	sim.rtt = 120 * time.Millisecond
	sim.run(8 * time.Second)
	sim.run(5 * time.Second)
	if use := float64(sim.delivered) / 200e6; use < 0.85 {
		t.Errorf("after the path became longer, %.2f of it are used", use)
	}
}

// A machine that is busy makes most round trips long, without any queue that pacing could shorten.
func TestPacingDoesNotTakeSlowProcessesForAQueue(t *testing.T) {
	sim := newPaceSim(1e9, 100*time.Microsecond, 1)
	start := sim.now
	sim.stall = func(at time.Time) time.Duration { // nobody looks in 15 of 20 ms
		return max(0, 15*time.Millisecond-at.Sub(start)%(20*time.Millisecond))
	}
	sim.run(time.Second)
	if sim.p.cap < noCap {
		t.Errorf("cap is %d", sim.p.cap)
	}
}

// What is app-limited says nothing about the path.
func TestPacingIgnoresIdleStreams(t *testing.T) {
	sim := newPaceSim(20e6, 20*time.Millisecond, 1)
	sim.run(3 * time.Second)
	limit := sim.p.cap
	sim.streams[0].idle = true
	sim.run(5 * time.Second)
	sim.streams[0].idle = false
	sim.run(time.Second)
	sim.run(2 * time.Second)
	if use := float64(sim.delivered) / 40e6; use < 0.9 || sim.p.cap < limit/2 {
		t.Errorf("after a pause %.2f are used, cap %d (was %d)", use, sim.p.cap, limit)
	}
}

func TestPacerLetsSmallFlightsPass(t *testing.T) {
	p := newPacer()
	p.cap = minCap
	p.moved(0, freeFlight+10*minCap)
	woken := 0
	if !p.admit(1, freeFlight-1, maxData, func() { woken++ }) {
		t.Error("a stream with little on the way has to wait")
	}
	for range 3 { // asked three times, called once
		if p.admit(1, freeFlight, maxData, func() { woken++ }) {
			t.Error("bulk passes the cap")
		}
	}
	p.moved(freeFlight+10*minCap, 0) // the other stream has gone
	for _, fn := range p.forget() {
		fn()
	}
	if woken != 1 || p.excess != 0 {
		t.Errorf("woken %d times, excess %d", woken, p.excess)
	}
}

func TestSendMarksMeasureWhatHasJustArrived(t *testing.T) {
	const ms = time.Millisecond
	var m sendMarks
	now := time.Now()
	for i := range 40 { // more than it can note
		m.sent(int64(i+1)*nearMark*2, now.Add(time.Duration(i)*ms))
	}
	for _, c := range []struct {
		offset int64
		at     time.Duration
		want   time.Duration
	}{
		{nearMark * 3, 50 * ms, 0},            // between frames: far from the first
		{nearMark * 8, 13 * ms, 10 * ms},      // the fourth
		{nearMark*10 + 100, 24 * ms, 20 * ms}, // a short frame after the fifth
		{nearMark * 80, 1000 * ms, 0},         // not noted
		{nearMark * 90, 1000 * ms, 0},         // after the last
	} {
		if d := m.arrived(c.offset, now.Add(c.at)); d != c.want {
			t.Errorf("offset %d: round trip %v, want %v", c.offset, d, c.want)
		}
	}
	if m.count != 0 || m.full {
		t.Error("marks are left")
	}
}
