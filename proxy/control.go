package proxy

import (
	"sync"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// control carries what goes to the program beside its input. What comes before the program exists is kept: the last size, and
// the signals in their order.
type control struct {
	mu      sync.Mutex
	program Session
	over    bool
	size    *session.Size
	backlog []func(Session) error
}

// maxBacklog bounds the signals that wait for the program.
const maxBacklog = 16

// attach gives the program what has waited for it.
func (c *control) attach(p Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.program = p
	if c.size != nil {
		_ = p.Resize(*c.size) // a program that is lost says so elsewhere
	}
	for _, send := range c.backlog {
		_ = send(p)
	}
	c.size, c.backlog = nil, nil
}

// detach forgets the program, which is about to be closed.
func (c *control) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.program, c.over = nil, true
}

func (c *control) resize(size session.Size) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return false
	case c.program == nil:
		c.size = &size
		return true
	}
	return c.program.Resize(size) == nil
}

func (c *control) signal(name string) bool {
	return c.send(func(p Session) error { return p.Signal(name) })
}

func (c *control) sendBreak(ms uint32) bool {
	return c.send(func(p Session) error { return p.Break(ms) })
}

// stopOutput says that the client does not read what the program writes to its stdout any more.
func (c *control) stopOutput() bool {
	return c.send(func(p Session) error { return p.StopOutput(router.Main) })
}

func (c *control) send(item func(Session) error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.program != nil {
		return item(c.program) == nil
	}
	if c.over || len(c.backlog) >= maxBacklog {
		return false
	}
	c.backlog = append(c.backlog, item)
	return true
}
