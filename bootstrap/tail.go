package bootstrap

import (
	"strings"
	"sync"
)

// Bounds of what is kept of the far side's chatter.
const (
	tailLines = 100
	tailWidth = 512     // bytes of a line
	maxNoise  = 1 << 20 // bytes in all, before the handshake is given up
)

// tail keeps the last lines that the far side printed and passes them on. It may be closed while another
// goroutine adds to it; nothing is passed on after that.
type tail struct {
	mu     sync.Mutex
	lines  []string // a ring once it is full
	next   int
	pass   func(string)
	closed bool
}

// add takes a line without its end. Empty lines are dropped.
func (t *tail) add(line string) {
	line = strings.TrimRight(line, "\r")
	if len(line) > tailWidth {
		line = line[:tailWidth]
	}
	if line == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if len(t.lines) < tailLines {
		t.lines = append(t.lines, line)
	} else {
		t.lines[t.next] = line
		t.next = (t.next + 1) % tailLines
	}
	if t.pass != nil {
		t.pass(line)
	}
}

// close returns the lines in order.
func (t *tail) close() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return append(t.lines[t.next:len(t.lines):len(t.lines)], t.lines[:t.next]...)
}
