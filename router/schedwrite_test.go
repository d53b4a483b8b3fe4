package router

import (
	"bytes"
	"testing"
	"testing/synctest"
)

// slowWriter is a link that takes room bytes without waiting.
type slowWriter struct {
	room int
	got  bytes.Buffer
}

func (w *slowWriter) direct(pieces [][]byte) int {
	p := bytes.Join(pieces, nil)
	n := min(w.room, len(p))
	w.room -= n
	w.got.Write(p[:n])
	return n
}

// popped is what a waiting pop has got, as often as it got something.
func popAll(q *scheduler, w *slowWriter, pops *int) {
	for {
		fs, ok := q.pop(1<<20, nil)
		if !ok {
			return
		}
		*pops++
		for _, f := range fs {
			w.got.Write(f.buf)
		}
	}
}

func textFrame(s string) frame {
	buf := getBuf(len(s))
	copy(buf, s)
	return frame{buf}
}

func TestPushWritesWhileNothingIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, w, pops := newScheduler(1<<20), &slowWriter{room: 7}, 0
		q.direct = w.direct
		q.push(flowKey{}, textFrame("-"), false) // nobody is in pop who could write the rest
		go popAll(q, w, &pops)
		synctest.Wait()
		for i, s := range []string{"abc", "def", "ghi"} { // two are written in place, the third in part
			q.push(flowKey{1, Handle(i)}, textFrame(s), false)
		}
		q.push(flowKey{1, 2}, textFrame("jkl"), false) // and this one must not overtake the rest
		if w.room != 0 {
			t.Error("written only by pop")
		}
		synctest.Wait()
		if got := w.got.String(); got != "-abcdefghijkl" {
			t.Errorf("%q", got)
		}
		w.room, pops = 100, 0
		q.push(flowKey{}, textFrame("mno"), false)
		synctest.Wait()
		if got := w.got.String(); got != "-abcdefghijklmno" || pops != 0 {
			t.Errorf("%q in %d pops", got, pops)
		}
		q.close()
		if err := q.push(flowKey{}, textFrame("pqr"), false); err != ErrClosed {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestWhatComesDuringADirectWriteWaits(t *testing.T) {
	for _, closing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q, w, pops := newScheduler(1<<20), &slowWriter{room: 100}, 0
			go popAll(q, w, &pops)
			synctest.Wait()
			nested := false
			q.direct = func(pieces [][]byte) int {
				if !nested {
					nested = true
					q.push(flowKey{}, textFrame("second"), false)
					if closing {
						q.close()
					}
				}
				synctest.Wait()
				if pops != 0 {
					t.Error("pop goes on during a direct write")
				}
				return w.direct(pieces)
			}
			q.push(flowKey{}, textFrame("first,"), false)
			synctest.Wait()
			if got := w.got.String(); got != "first,second" {
				t.Errorf("%q", got)
			}
			q.close()
		})
	}
}
