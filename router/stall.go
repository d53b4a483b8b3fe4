package router

import (
	"errors"
	"strconv"
	"time"
)

// stallWatch bounds how long a queue may stay at its limit. Its feeders wait there, and they are readers of other links: one child that takes nothing would
// stop everybody who is reached by the same link from above, until all of them count as lost. So from when the limit is reached until half
// of it has drained the link has to take stallPace on the average, and is given up when it is patience behind. Every byte
// buys the time that it may take, and no more: a peer that drips gains little, an honest one that is slow stays.
type stallWatch struct {
	patience time.Duration
	giveUp   func(memory int64, after time.Duration) // called without a lock; nil: the queue may stay at its limit for ever

	on    bool
	since time.Time
	until time.Time   // given up then, if nothing is taken
	timer *time.Timer // calls judge, not later than until
}

// watchLocked begins the watch: the limit is reached, by a frame or by what keeping it takes.
func (q *scheduler) watchLocked() {
	w := &q.watch
	if w.on || w.giveUp == nil {
		return
	}
	w.on, w.since = true, time.Now()
	w.until = w.since.Add(w.patience)
	if w.timer == nil {
		w.timer = time.AfterFunc(w.patience, q.judge) // ends at once, or with the link's end
	} else {
		w.timer.Reset(w.patience)
	}
}

// takenLocked ends the watch when half has drained; until then n bytes that the link takes put its end off.
func (q *scheduler) takenLocked(n int) {
	w := &q.watch
	switch {
	case !w.on:
	case q.memory < q.limit/2:
		q.unwatchLocked()
	default:
		w.until = w.until.Add(time.Duration(n) * time.Second / stallPace)
		if most := time.Now().Add(w.patience); w.until.After(most) {
			w.until = most
		}
	}
}

func (q *scheduler) unwatchLocked() {
	if w := &q.watch; w.on {
		w.on = false
		w.timer.Stop()
	}
}

// judge runs when until may have come.
func (q *scheduler) judge() {
	q.mu.Lock()
	w := &q.watch
	left := time.Until(w.until)
	behind := w.on && left <= 0
	if w.on && !behind {
		w.timer.Reset(left)
	}
	memory, after := q.memory, time.Since(w.since)
	q.mu.Unlock()
	if behind {
		w.giveUp(memory, after)
	}
}

// patience is how far a child may be behind at the limit. Each level has a second less than the one above, so that a link which takes nothing is given up
// before those that lead to it and stand still because of it.
func (r *Router) patience() time.Duration {
	return max(leastPatience, mostPatience-time.Duration(len(r.cfg.ParentIDs))*time.Second)
}

func errStuck(memory int64, after time.Duration) error {
	return errors.New("takes too little: " + strconv.FormatInt(memory>>20, 10) + " MiB have waited for " +
		strconv.FormatInt(int64(after/time.Second), 10) + " s")
}
