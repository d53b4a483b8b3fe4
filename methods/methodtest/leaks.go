package methodtest

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leavesNothing fails the test if, after all its other cleanups, it has more descriptors, goroutines or children than now.
func leavesNothing(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe() // the first one makes the poller's own descriptors
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	before := inUse(t)
	t.Cleanup(func() {
		deadline := time.Now().Add(patience / 4)
		after := inUse(t)
		for after.exceeds(before) && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond) // what has been told to end may take a moment
			after = inUse(t)
		}
		if !after.exceeds(before) {
			return
		}
		stacks := make([]byte, 1<<20)
		t.Errorf("left behind: before %+v, after %+v\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	})
}

type usage struct{ files, goroutines, children int }

func (u usage) exceeds(v usage) bool {
	return u.files > v.files || u.goroutines > v.goroutines || u.children > v.children
}

func inUse(t *testing.T) usage {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("the suite looks for leaks in /proc: ", err)
	}
	return usage{len(files), runtime.NumGoroutine(), children()}
}

// children counts the own child processes, zombies too.
func children() (n int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(raw), ") ")
		if field := strings.Fields(rest); len(field) > 1 && field[1] == strconv.Itoa(os.Getpid()) {
			n++
		}
	}
	return n
}
