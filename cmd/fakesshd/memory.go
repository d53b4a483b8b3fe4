package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A flood, of a hostile target or of a thousand sessions that end at once, leaves a large heap with nothing in it. Where little is allocated
// afterwards the runtime looks only every two minutes, and then gives the memory back slowly. So the gateway looks by itself, now and then.
const (
	trimEvery = 10 * time.Second
	trimWorth = 64 << 20 // bytes to gain that are worth a collection; less than that is allocated between two looks while it is quiet
)

// heapUse is a look at the heap, in bytes.
type heapUse struct {
	held      uint64 // of the system's memory
	idle      uint64 // of these, what the last collection has found to hold nothing
	allocated uint64 // since the start
}

func readHeap() heapUse {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	idle := s[0].Value.Uint64() + s[1].Value.Uint64()
	return heapUse{held: idle + s[2].Value.Uint64(), idle: idle, allocated: s[3].Value.Uint64()}
}

// trimmer decides when to give memory back.
type trimmer struct {
	last  heapUse
	floor uint64 // what was still held after the last collection of ours, or less
}

// worth reports whether it is quiet, and much may be gained: it is known to be idle, or has come since and may be garbage by now.
func (t *trimmer) worth(now heapUse) bool {
	quiet := now.allocated-t.last.allocated < trimWorth
	t.last, t.floor = now, min(t.floor, now.held)
	return quiet && (now.idle > trimWorth || now.held > t.floor+trimWorth)
}

// trim gives memory back.
func (t *trimmer) trim() {
	debug.FreeOSMemory()
	t.last = readHeap()
	t.floor = t.last.held
}

// trimMemory gives idle memory back to the system until ctx is done.
func trimMemory(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	t := trimmer{last: readHeap()}
	t.floor = t.last.held
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if t.worth(readHeap()) {
			t.trim()
		}
	}
}
