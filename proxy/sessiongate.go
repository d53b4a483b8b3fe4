package proxy

import (
	"sync"
	"time"
)

// sessionGate holds a client to its word that it will open no more sessions (no-more-sessions@openssh.com). A client says so right behind the
// opening of its session, and the two are served by different goroutines, either of which may come first: so where none has been
// opened, one may still come, for a moment.
type sessionGate struct {
	mu     sync.Mutex
	opened bool      // a session has been
	since  time.Time // when the client said so; zero: it has not
}

// onTheWay is how long a session may take that was opened before: from one goroutine of ours to another.
const onTheWay = time.Second

func (g *sessionGate) shut(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.since.IsZero() {
		g.since = now
	}
}

// enter reports whether a session may be opened.
func (g *sessionGate) enter(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ok := g.since.IsZero() || !g.opened && now.Sub(g.since) < onTheWay
	g.opened = true
	return ok
}
