package agent

import (
	"runtime/debug"
	"time"
)

// An agent waits most of its life, on machines that are there for something else. So the heap is
// collected early, has a soft ceiling, and goes back to the system when the last session has ended.
const (
	heapCeiling = 48 << 20
	heapGrowth  = 50 // per cent
	idleDelay   = 2 * time.Second
)

func frugal() {
	debug.SetGCPercent(heapGrowth)
	debug.SetMemoryLimit(heapCeiling)
}

// trim gives freed memory back, unless a session has begun since the timer was set.
func (a *Agent) trim() {
	a.mu.Lock()
	idle := a.live == 0
	a.mu.Unlock()
	if idle {
		debug.FreeOSMemory()
	}
}
