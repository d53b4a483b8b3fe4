package methods

import (
	"sync"
	"time"
)

// Bounds of what is kept of a tool's words.
const (
	tailLines    = 100
	tailLineSize = 1024 // bytes
)

// tail keeps the last lines, made harmless. It is safe for concurrent use.
type tail struct {
	mu    sync.Mutex
	lines []tailLine
}

type tailLine struct {
	at   time.Time
	text string
}

func (t *tail) add(text string) {
	if text = printable(text); text == "" {
		return
	}
	line := tailLine{time.Now(), text[:min(len(text), tailLineSize)]}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
}

// since are the lines that came at that time or later.
func (t *tail) since(at time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var texts []string
	for _, line := range t.lines {
		if !line.at.Before(at) {
			texts = append(texts, line.text)
		}
	}
	return texts
}

func (t *tail) all() []string { return t.since(time.Time{}) }
