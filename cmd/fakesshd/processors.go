package main

import (
	"os"
	"runtime"
)

// shareProcessors takes half of the processors, unless the environment's GOMAXPROCS says otherwise. What moves here is a chain of processes: a
// client, this one, an ssh or a container's engine, an agent, the program. This one copies and encrypts a piece of some kilobytes and
// waits for the next. With a second thread at hand the runtime wakes it for half of these pieces, which
// costs more than it brings as long as the others of the chain want that processor; and one processor does more than a gigabyte a second.
func shareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	}
}
