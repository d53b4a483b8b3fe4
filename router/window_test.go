package router

import (
	"math/rand/v2"
	"testing"
	"time"
)

func testBudget(limit int64) *budget { return &budget{limit: limit} }

func TestSendWindowRoom(t *testing.T) {
	for _, c := range []struct {
		name string
		w    sendWindow
		n    int
		want int
	}{
		{"all of it", sendWindow{allowed: 100 << 10}, 32 << 10, 32 << 10},
		{"nothing allowed", sendWindow{sent: 50, allowed: 50}, 1, 0},
		{"a short frame has its price", sendWindow{allowed: frameCost - 1}, 1, 0},
		{"and no more than that", sendWindow{allowed: frameCost}, frameCost, frameCost},
		{"a large part goes", sendWindow{allowed: sureCredit}, 32 << 10, sureCredit},
		{"a small part waits", sendWindow{allowed: sureCredit - 1}, 32 << 10, 0},
		{"a small whole does not", sendWindow{allowed: sureCredit - 1}, sureCredit - 1, sureCredit - 1},
		{"absurd credit is cut", sendWindow{sent: maxWindow, allowed: 1 << 62}, 1, 0},
		{"and is measured from what has arrived", sendWindow{sent: maxWindow, received: 20000, allowed: 1 << 62}, 32 << 10, 20000},
	} {
		if got := c.w.room(c.n); got != c.want {
			t.Errorf("%s: room(%d) = %d, want %d", c.name, c.n, got, c.want)
		}
	}
}

func TestSendWindowCredit(t *testing.T) {
	w := sendWindow{sent: 1000, received: 500, allowed: 5000}
	if !w.credit(400, 4000) || w.received != 500 || w.allowed != 5000 {
		t.Error("going backwards is not ignored:", w)
	}
	if !w.credit(1000, 1<<64-1) || w.received != 1000 || w.allowed != 1<<62 {
		t.Error("absurd credit:", w)
	}
	if w.credit(1001, 6000) {
		t.Error("what was never sent cannot have arrived")
	}
	if w.credit(1<<63, 6000) {
		t.Error("a received beyond 63 bits passes")
	}
}

func TestReceiverRefusesMoreThanAllowed(t *testing.T) {
	w := newRecvWindow(testBudget(1<<20), time.Now())
	for range firstWindow / maxData {
		if !w.receive(maxData, maxData, time.Now()) {
			t.Fatal("refused within the window")
		}
	}
	if w.receive(1, 1, time.Now()) {
		t.Error("one byte too many passes")
	}
}

// Whatever sizes are sent and however much the reader takes at once, the two windows never wait for each other, and at most
// ackEvery is unacknowledged when all has arrived.
func TestWindowsNeverDeadlock(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		b := testBudget(int64(rnd.IntN(2 << 20)))
		now := time.Now()
		r := newRecvWindow(b, now)
		s := sendWindow{allowed: firstWindow}
		type credit struct{ received, allowed int64 }
		var wire []int
		var back []credit
		var unread []int
		give := func() {
			if r.due() {
				received, allowed := r.credit(now)
				back = append(back, credit{received, allowed})
			}
		}
		total, goal := 0, 4<<20
		pending := 1 + rnd.IntN(maxData)
		for step := 0; total < goal; step++ {
			now = now.Add(time.Duration(rnd.IntN(1000)) * time.Microsecond)
			moved := false
			if n := s.room(pending); n > 0 && rnd.IntN(3) > 0 {
				s.send(n)
				wire, total, moved = append(wire, n), total+n, true
				if pending -= n; pending == 0 {
					if pending = 1 + rnd.IntN(maxData); rnd.IntN(2) == 0 {
						pending = 1 + rnd.IntN(200)
					}
				}
			}
			if len(wire) > 0 && rnd.IntN(2) == 0 {
				if !r.receive(wire[0], wire[0], now) {
					t.Fatalf("seed %d: sender passed its window", seed)
				}
				unread, wire, moved = append(unread, wire[0]), wire[1:], true
				give()
			}
			for rnd.IntN(3) == 0 && len(unread) > 0 {
				r.consume(unread[0], unread[0], now)
				unread, moved = unread[1:], true
				give()
			}
			if len(back) > 0 && rnd.IntN(2) == 0 {
				if !s.credit(uint64(back[0].received), uint64(back[0].allowed)) {
					t.Fatalf("seed %d: credit refused", seed)
				}
				back, moved = back[1:], true
			}
			if r.size < minWindow || r.size > maxWindow {
				t.Fatalf("seed %d: window of %d", seed, r.size)
			}
			if !moved && len(wire)+len(back)+len(unread) == 0 && s.room(pending) == 0 {
				t.Fatalf("seed %d: nothing on the way, nothing unread, and the sender waits with %d pending: %+v %+v", seed, pending, s, r)
			}
			if len(wire)+len(back) == 0 && s.flight() >= ackEvery {
				t.Fatalf("seed %d: %d have arrived and were not acknowledged", seed, s.flight())
			}
		}
		for _, n := range unread {
			r.consume(n, n, now)
		}
		if held := b.held.Load(); held != 0 && len(wire) == 0 {
			t.Fatalf("seed %d: %d bytes held by nobody", seed, held)
		}
	}
}

// pathSim drives a receive window with a sender that always has data, a path of rate bytes a second and a
// delay, and a reader.
type pathSim struct {
	r         recvWindow
	s         sendWindow
	rtt       time.Duration
	rate      float64 // of the path, bytes per second
	readRate  float64 // of the reader
	now       time.Time
	mostHeld  int64
	arrivals  []simEvent
	credits   []simEvent
	unread    []int
	pathFree  time.Time
	readReady time.Time
}

type simEvent struct {
	at                time.Time
	n                 int
	received, allowed int64
}

func newPathSim(b *budget, rtt time.Duration, rate, readRate float64) *pathSim {
	now := time.Now()
	return &pathSim{
		r: newRecvWindow(b, now), s: sendWindow{allowed: firstWindow}, rtt: rtt, rate: rate, readRate: readRate,
		now: now, pathFree: now, readReady: now,
	}
}

func (p *pathSim) give() {
	if p.r.due() {
		received, allowed := p.r.credit(p.now)
		p.credits = append(p.credits, simEvent{at: p.now.Add(p.rtt / 2), received: received, allowed: allowed})
	}
}

func (p *pathSim) run(d time.Duration) {
	const tick = 100 * time.Microsecond
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(tick) {
		for len(p.credits) > 0 && !p.credits[0].at.After(p.now) {
			p.s.credit(uint64(p.credits[0].received), uint64(p.credits[0].allowed))
			p.credits = p.credits[1:]
		}
		for n := p.s.room(maxData); n > 0 && p.pathFree.Sub(p.now) < 5*time.Millisecond; n = p.s.room(maxData) {
			p.s.send(n)
			if p.pathFree.Before(p.now) {
				p.pathFree = p.now
			}
			p.pathFree = p.pathFree.Add(time.Duration(float64(n) / p.rate * 1e9))
			p.arrivals = append(p.arrivals, simEvent{at: p.pathFree.Add(p.rtt / 2), n: n})
		}
		p.r.blocked = p.r.blocked || p.s.room(maxData) == 0 // told by a BLOCKED frame
		for len(p.arrivals) > 0 && !p.arrivals[0].at.After(p.now) {
			n := p.arrivals[0].n
			p.arrivals = p.arrivals[1:]
			if !p.r.receive(n, n, p.now) {
				panic("window passed")
			}
			p.unread = append(p.unread, n)
			p.mostHeld = max(p.mostHeld, p.r.held)
			p.give()
		}
		for len(p.unread) > 0 && !p.readReady.After(p.now) {
			if p.readReady.Before(p.now.Add(-tick)) {
				p.readReady = p.now
			}
			p.readReady = p.readReady.Add(time.Duration(float64(p.unread[0]) / p.readRate * 1e9))
			p.r.consume(p.unread[0], p.unread[0], p.now)
			p.unread = p.unread[1:]
			p.give()
		}
	}
}

func TestWindowFollowsTheReader(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name        string
		rtt         time.Duration
		rate, read  float64
		least, most int64
	}{
		{"long fast path, fast reader: the delay product", 100 * ms, 100e6, 1e10, 8 << 20, maxWindow},
		{"longer still: the maximum", 300 * ms, 200e6, 1e10, maxWindow, maxWindow},
		{"reader of 1 MB/s on a short path", 200 * time.Microsecond, 1e9, 1e6, firstWindow, firstWindow},
		{"reader of 1 MB/s on a long path", 100 * ms, 100e6, 1e6, firstWindow, 1 << 20},
		{"slow path, fast reader", 20 * ms, 2e6, 1e10, firstWindow, 1 << 20},
	} {
		b := testBudget(64 << 20)
		p := newPathSim(b, c.rtt, c.rate, c.read)
		p.run(6 * time.Second)
		if p.r.size < c.least || p.r.size > c.most {
			t.Errorf("%s: window %d KiB, want %d to %d", c.name, p.r.size>>10, c.least>>10, c.most>>10)
		}
		if c.read < 1e7 && p.mostHeld > 2<<20 {
			t.Errorf("%s: %d KiB held", c.name, p.mostHeld>>10)
		}
		if grown := b.grown.Load(); grown != p.r.size-firstWindow {
			t.Errorf("%s: budget says %d, window has grown by %d", c.name, grown, p.r.size-firstWindow)
		}
	}
}

func TestWindowShrinksWhenTheReaderSlowsDown(t *testing.T) {
	b := testBudget(64 << 20)
	p := newPathSim(b, 50*time.Millisecond, 200e6, 1e10)
	p.run(5 * time.Second)
	if p.r.size < 8<<20 {
		t.Fatalf("window is %d", p.r.size)
	}
	p.readRate = 4e6
	p.run(20 * time.Second)
	if p.r.size > 1<<20 || b.grown.Load() != p.r.size-firstWindow {
		t.Errorf("window is still %d KiB, budget %d KiB", p.r.size>>10, b.grown.Load()>>10)
	}
}

func TestBudgetStopsGrowth(t *testing.T) {
	b := testBudget(3 << 20)
	p := newPathSim(b, 100*time.Millisecond, 200e6, 1e10)
	q := newPathSim(b, 100*time.Millisecond, 200e6, 1e10)
	for range 50 {
		p.run(100 * time.Millisecond)
		q.run(100 * time.Millisecond)
	}
	if grown := b.grown.Load(); grown > b.limit || p.r.size > 2<<20+firstWindow {
		t.Errorf("grown by %d of %d", grown, b.limit)
	}
	p.r.drop()
	q.r.drop()
	if b.grown.Load() != 0 || b.held.Load() != 0 {
		t.Errorf("left over: grown %d, held %d", b.grown.Load(), b.held.Load())
	}
}

func TestBudgetPressureAllowsTheLeastWindow(t *testing.T) {
	b := testBudget(1 << 20)
	now := time.Now()
	w := newRecvWindow(b, now)
	b.held.Store(b.limit) // others leave so much unread
	for range firstWindow / maxData {
		w.receive(maxData, maxData, now)
	}
	for range firstWindow / maxData {
		w.consume(maxData, maxData, now)
	}
	if !w.due() {
		t.Fatal("no credit is due")
	}
	if _, allowed := w.credit(now); allowed != firstWindow+minWindow {
		t.Errorf("allowed %d beyond what was consumed, want %d", allowed-firstWindow, minWindow)
	}
}

func TestNoCreditAfterEOF(t *testing.T) {
	now := time.Now()
	w := newRecvWindow(testBudget(1<<20), now)
	w.receive(maxData, maxData, now)
	w.receive(maxData, maxData, now)
	w.end()
	w.consume(maxData, maxData, now)
	w.consume(maxData, maxData, now)
	if w.due() || w.budget.held.Load() != 0 {
		t.Error("credit is due for a direction that has ended")
	}
}
