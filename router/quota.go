package router

import (
	"sync"
	"time"
)

// Quota bounds what somebody hostile can have logged: Burst records at once, and then PerSecond. Safe for concurrent use; the fields
// are set before the first Take.
type Quota struct {
	Burst, PerSecond int

	mu      sync.Mutex
	spent   float64   // of Burst
	at      time.Time // of the last Take
	skipped int
}

// Take says whether one more record may be logged. skipped counts those that might not since the last that might: 1 without ok is the first of
// them, and with ok it is how many are missing before this one.
func (q *Quota) Take() (ok bool, skipped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if !q.at.IsZero() {
		q.spent = max(0, q.spent-now.Sub(q.at).Seconds()*float64(q.PerSecond))
	}
	q.at = now
	if q.spent+1 > float64(q.Burst) {
		q.skipped++
		return false, q.skipped
	}
	q.spent++
	skipped, q.skipped = q.skipped, 0
	return true, skipped
}
