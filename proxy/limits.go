package proxy

import "sync"

// What one principal may have open at once, by whatever number of connections. A session that waits for its program, or for the request of
// one, holds what the client has sent already: a channel's window, 2 MiB, at most. So does every channel whose far side takes nothing.
const (
	maxConnections = 1000
	maxOpen        = 2000 // channels
	maxUnbegun     = 256
)

// tally counts by principal.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

// enter counts one more, unless there are limit of them.
func (t *tally) enter(principal string, limit int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n[principal] >= limit {
		return false
	}
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[principal]++
	return true
}

func (t *tally) leave(principal string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n[principal]--; t.n[principal] == 0 {
		delete(t.n, principal)
	}
}
