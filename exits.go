package fakessh

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Exits says inside which target a connection to a host that is no target is made. A pattern is a host name or an address, in
// which a star stands for any text, or a range of addresses ("10.0.0.0/8"). It never changes.
type Exits struct {
	exits []exit // most specific first
}

type exit struct {
	pattern string
	prefix  netip.Prefix // valid for ranges
	target  string
}

// NewExits checks the patterns; the targets' names are left to the inventory.
func NewExits(exits map[string]string) (*Exits, error) {
	e := &Exits{}
	for _, pattern := range slices.Sorted(maps.Keys(exits)) {
		x, err := newExit(pattern, exits[pattern])
		if err != nil {
			return nil, err
		}
		e.exits = append(e.exits, x)
	}
	slices.SortStableFunc(e.exits, func(a, b exit) int { return b.specific() - a.specific() })
	return e, nil
}

func newExit(pattern, target string) (exit, error) {
	if _, err := ParseTarget(target); err != nil {
		return exit{}, fmt.Errorf("exit %q: %w", pattern, err)
	}
	if p, err := netip.ParsePrefix(pattern); err == nil {
		return exit{pattern, p.Masked(), target}, nil
	}
	host := hostName(pattern)
	if host == "" || !all(host, func(c byte) bool { return isLower(c) || isDigit(c) || isMark(c) || c == ':' || c == '*' }) {
		return exit{}, fmt.Errorf("exit %q: want a host name, an address or a range, with * for any text", pattern)
	}
	return exit{pattern: host, target: target}, nil
}

// specific orders patterns: names without a star, ranges by their length, then the longer text outside the stars.
func (x exit) specific() int {
	switch {
	case x.prefix.IsValid():
		return 1000 + x.prefix.Bits()
	case !strings.Contains(x.pattern, "*"):
		return 2000
	}
	return len(x.pattern) - strings.Count(x.pattern, "*")
}

// Match finds the target for host; "" when there is no exit to it.
func (e *Exits) Match(host string) string {
	if e == nil {
		return ""
	}
	host = hostName(host)
	addr, err := netip.ParseAddr(host)
	isAddr := err == nil
	for _, x := range e.exits {
		if x.prefix.IsValid() {
			if isAddr && x.prefix.Contains(addr.Unmap()) {
				return x.target
			}
			continue
		}
		if ok, _ := path.Match(x.pattern, host); ok {
			return x.target
		}
	}
	return ""
}

// hostName takes the trailing dot and the capitals off. A slash matches nothing, as path.Match would treat it apart.
func hostName(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
