package proxy

import (
	"testing"
	"time"
)

func TestSessionGate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	later := now.Add(onTheWay)
	for _, tt := range []struct {
		name string
		does func(g *sessionGate) bool
		want bool
	}{
		{"many without a word", func(g *sessionGate) bool { return g.enter(now) && g.enter(now) && g.enter(later) }, true},
		{"after a session and the word", func(g *sessionGate) bool { g.enter(now); g.shut(now); return g.enter(now) }, false},
		{"overtaken by the word", func(g *sessionGate) bool { g.shut(now); return g.enter(now) }, true},
		{"a second behind that", func(g *sessionGate) bool { g.shut(now); return g.enter(now) && g.enter(now) }, false},
		{"the first, too late", func(g *sessionGate) bool { g.shut(now); return g.enter(later) }, false},
		{"saying it again gains nothing", func(g *sessionGate) bool { g.shut(now); g.shut(later); return g.enter(later) }, false},
	} {
		if got := tt.does(&sessionGate{}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
