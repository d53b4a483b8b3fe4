package router

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
)

// testFrame is a frame of n bytes that says which of its flow it is.
func testFrame(n int, key flowKey, seq int) frame {
	buf := getBuf(max(n, 16))
	binary.BigEndian.PutUint32(buf, uint32(key.Src))
	binary.BigEndian.PutUint32(buf[4:], uint32(key.Handle))
	binary.BigEndian.PutUint64(buf[8:], uint64(seq))
	return frame{buf}
}

func frameIs(f frame) (key flowKey, seq int) {
	key = flowKey{ContextID(binary.BigEndian.Uint32(f.buf)), Handle(binary.BigEndian.Uint32(f.buf[4:]))}
	return key, int(binary.BigEndian.Uint64(f.buf[8:]))
}

func popOne(t *testing.T, q *scheduler) (flowKey, int) {
	t.Helper()
	fs, ok := q.pop(1, nil)
	if !ok || len(fs) != 1 {
		t.Fatalf("pop gave %d frames, %v", len(fs), ok)
	}
	return frameIs(fs[0])
}

func TestSparseFlowGoesFirst(t *testing.T) {
	q := newScheduler(1 << 30)
	bulk, key := flowKey{1, 1}, flowKey{2, 2}
	for i := range 100 {
		q.push(bulk, testFrame(maxData, bulk, i), false)
	}
	for range 10 { // bulk has used up its first quantum
		popOne(t, q)
	}
	for i := range 20 { // and a key goes first however often it is struck
		q.push(key, testFrame(40, key, i), false)
		if k, seq := popOne(t, q); k != key || seq != i {
			t.Fatalf("keystroke %d has to wait for %v", i, k)
		}
		if i%3 == 0 {
			popOne(t, q)
		}
	}
}

func TestSparseFlowCannotStarveTheOthers(t *testing.T) {
	q := newScheduler(1 << 30)
	bulk, hog := flowKey{1, 1}, flowKey{2, 2}
	for i := range 1000 {
		q.push(bulk, testFrame(1000, bulk, i), false)
	}
	got := 0
	for i := range 1000 { // always one frame there, never two
		q.push(hog, testFrame(1000, hog, i), false)
		for k := (flowKey{}); k != hog; {
			if k, _ = popOne(t, q); k == bulk {
				got++
			}
		}
	}
	if got < 450 {
		t.Errorf("bulk got %d frames while the other got 1000", got)
	}
}

func TestFlowsShareByBytes(t *testing.T) {
	q := newScheduler(1 << 30)
	sizes := map[flowKey]int{{1, 1}: maxData + frameSpace, {1, 2}: 100, {2, 1}: 5000, {}: 20000}
	for key, n := range sizes {
		for i := range (4 << 20) / n {
			q.push(key, testFrame(n, key, i), false)
		}
	}
	got, next := map[flowKey]int{}, map[flowKey]int{}
	for total := 0; total < 8<<20; {
		fs, _ := q.pop(256<<10, nil)
		for _, f := range fs {
			key, seq := frameIs(f)
			if seq != next[key] {
				t.Fatalf("flow %v: frame %d after %d", key, seq, next[key]-1)
			}
			next[key]++
			got[key] += len(f.buf)
			total += len(f.buf)
		}
	}
	for key, n := range got {
		if d := n - 2<<20; d < -2*quantum-maxData || d > 2*quantum+maxData {
			t.Errorf("flow %v got %d bytes of 8 MiB, a quarter is fair", key, n)
		}
	}
}

func TestPushWaitsAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalls := 0
		q := newScheduler(130 << 10)
		q.stalled = func(queued int64) { stalls++ }
		pushed := 0
		go func() {
			for range 10 {
				q.push(flowKey{}, testFrame(maxData, flowKey{}, pushed), true)
				pushed++
			}
		}()
		synctest.Wait()
		if pushed != 4 || stalls != 1 {
			t.Fatalf("%d of 10 went in, %d stalls", pushed, stalls)
		}
		if q.room(flowKey{1, 1}, 1, func() {}) || stalls != 1 {
			t.Error("room at the limit, or the stall is reported again")
		}
		if q.push(flowKey{}, testFrame(10, flowKey{}, 0), false) != nil {
			t.Error("a push that must not wait was refused")
		}
		for n := int64(1 << 60); n > 0; n = q.queued() {
			if n < q.queued() {
				t.Error("more is queued than before")
			}
			q.pop(1, nil)
			synctest.Wait()
		}
		if pushed != 10 {
			t.Errorf("%d of 10 went in", pushed)
		}
		if q.memory != 0 || q.frames != 0 || len(q.flows) != 0 {
			t.Error("an empty scheduler remembers something")
		}
	})
}

func TestCloseDrainsAndWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newScheduler(50 << 10)
		key := flowKey{1, 1}
		q.push(key, testFrame(maxData, key, 0), false)
		q.push(key, testFrame(maxData, key, 1), false)
		var refused error
		woken := 0
		go func() { refused = q.push(key, testFrame(1, key, 2), true) }()
		if q.room(key, 1, func() { woken++ }) || q.room(flowKey{9, 9}, 1, func() { woken++ }) {
			t.Error("room in a full queue")
		}
		synctest.Wait()
		q.close()
		synctest.Wait()
		if refused != ErrClosed || woken != 2 {
			t.Errorf("push: %v; woken %d of 2", refused, woken)
		}
		fs, ok := q.pop(1<<20, nil)
		if !ok || len(fs) != 2 {
			t.Errorf("%d frames left to pop", len(fs))
		}
		if _, ok := q.pop(1, nil); ok {
			t.Error("pop goes on after the end")
		}
		if q.push(key, testFrame(1, key, 0), false) != ErrClosed || q.pushAfter(1, testFrame(1, key, 0)) != ErrClosed {
			t.Error("push after close")
		}
	})
}

func TestPopWaitsForAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newScheduler(1 << 20)
		var got []frame
		go func() { got, _ = q.pop(1, nil) }()
		synctest.Wait()
		if got != nil {
			t.Fatal("pop did not wait")
		}
		q.push(flowKey{}, testFrame(20, flowKey{}, 0), true)
		synctest.Wait()
		if len(got) != 1 {
			t.Error("pop was not woken")
		}
	})
}

func TestRoomCallsBackOnceWhenTheFlowHasDrained(t *testing.T) {
	q := newScheduler(1 << 30)
	key, other := flowKey{1, 1}, flowKey{2, 2}
	called := 0
	if !q.room(key, 100, func() { called++ }) {
		t.Fatal("no room in an empty flow")
	}
	for i := range 4 {
		q.push(key, testFrame(60, key, i), true)
	}
	if q.room(key, 100, func() { called++ }) || !q.room(other, 100, func() { called++ }) {
		t.Fatal("room where there is none, or none where there is")
	}
	for want, n := range []int{0, 0, 1, 1} { // 180, 120, 60, 0 bytes left
		popOne(t, q)
		if called != n {
			t.Errorf("after %d pops: called %d times", want+1, called)
		}
	}
}

func TestLossFollowsWhatTheLostHasSent(t *testing.T) {
	q := newScheduler(1 << 30)
	for i := range 50 {
		for h := range Handle(3) {
			key := flowKey{7, h + 1}
			q.push(key, testFrame(1000*int(h+1), key, i), true)
		}
		q.push(flowKey{8, 1}, testFrame(3000, flowKey{8, 1}, i), true)
	}
	q.push(flowKey{}, testFrame(20, flowKey{}, 0), true)
	q.pushAfter(7, testFrame(20, flowKey{}, 1))
	q.pushAfter(9, testFrame(20, flowKey{}, 2)) // has nothing queued
	late := flowKey{7, 9}
	q.push(late, testFrame(20, late, 0), true) // after the news: it does not hold it back
	left, mitogen := 150, []int{}
	for q.queued() > 0 {
		key, seq := popOne(t, q)
		switch {
		case key == (flowKey{}):
			mitogen = append(mitogen, seq)
			if seq == 1 && left > 0 {
				t.Errorf("the loss is announced before %d frames of the lost", left)
			}
		case key.Src == 7 && key != late:
			left--
		}
	}
	if len(mitogen) != 3 || mitogen[0] != 0 || mitogen[1] != 2 || mitogen[2] != 1 {
		t.Errorf("Mitogen messages came as %v", mitogen)
	}
}

// Everything pushed is popped once, in the order of its flow, whatever the interleaving.
func TestSchedulerKeepsOrderWithinFlows(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		q := newScheduler(1 << 20)
		sent, got := map[flowKey]int{}, map[flowKey]int{}
		count := 0
		for step := 0; step < 1500 || count > 0; step++ {
			if step < 1500 && rnd.IntN(5) < 3 {
				key := flowKey{ContextID(rnd.IntN(3)), Handle(rnd.IntN(4))}
				q.push(key, testFrame(rnd.IntN(maxData), key, sent[key]), false)
				sent[key]++
				count++
			} else if count > 0 {
				fs, _ := q.pop(1+rnd.IntN(100<<10), nil)
				for _, f := range fs {
					key, seq := frameIs(f)
					if seq != got[key] {
						t.Fatalf("seed %d: flow %v gave %d, want %d", seed, key, seq, got[key])
					}
					got[key]++
					count--
				}
			}
		}
		if q.queued() != 0 || q.memory != 0 || len(q.flows) != 0 || len(q.spare) > spareFlows {
			t.Fatalf("seed %d: an empty scheduler remembers something", seed)
		}
	}
}

func TestSchedulerUnderManyPushers(t *testing.T) {
	q := newScheduler(200 << 10)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				key := flowKey{ContextID(i), Handle(n % 3)}
				if n%50 == 0 {
					q.pushAfter(ContextID(i), testFrame(30, flowKey{}, n))
				}
				q.push(key, testFrame(n*7, key, n), true)
			}
		})
	}
	done := make(chan int)
	go func() {
		count := 0
		for {
			fs, ok := q.pop(64<<10, nil)
			if !ok {
				done <- count
				return
			}
			count += len(fs)
		}
	}()
	wg.Wait()
	q.close()
	if n := <-done; n != 8*510 {
		t.Errorf("%d frames of %d came out", n, 8*510)
	}
}

func TestSchedulerDoesNotAllocate(t *testing.T) {
	q := newScheduler(1 << 20)
	f := testFrame(1000, flowKey{}, 0)
	into := make([]frame, 0, 8)
	n := 0
	if allocs := testing.AllocsPerRun(1000, func() {
		n++
		q.push(flowKey{1, Handle(n)}, f, true) // a new flow each time, as with keystrokes
		q.push(flowKey{2, 2}, f, true)
		q.pop(1<<20, into)
	}); allocs > 0 {
		t.Errorf("%v allocations per turn", allocs)
	}
}

func BenchmarkScheduler(b *testing.B) {
	q := newScheduler(1 << 30)
	f := testFrame(1000, flowKey{}, 0)
	into := make([]frame, 0, 8)
	for i := range 100 {
		q.push(flowKey{1, Handle(i)}, f, true)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		q.push(flowKey{1, Handle(i % 100)}, f, true)
		q.pop(1, into)
	}
}
