package agent

import (
	"runtime"
	"runtime/debug"
	"time"
)

// An agent waits most of its life, on machines that are there for something else. So the heap is
// collected early, has a soft ceiling, and goes back to the system when the last session has ended; and it takes half of the
// processors at most, since what it does is copying: on one of two it needs a quarter less time for a GiB, as no thread is woken to look for work.
const (
	maxProcs    = 4
	heapCeiling = 48 << 20
	heapGrowth  = 50 // per cent
	idleDelay   = 2 * time.Second
)

func frugal() {
	runtime.GOMAXPROCS(max(1, min(maxProcs, runtime.NumCPU()/2)))
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
