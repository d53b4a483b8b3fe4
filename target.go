// Package fakessh runs programs anywhere in a tree of contexts.
package fakessh

// Target is a parsed target name: NAME[+method[.argument]]…, outermost hop first.
type Target struct {
	Name string
	Hops []Hop
}

// Hop is one step inwards.
type Hop struct{ Method, Argument string }

// ParseTarget parses a target name (docs/configuration.md). Errors name the offending part.
func ParseTarget(s string) (Target, error) { panic("unwritten") }

// String is the canonical form.
func (t Target) String() string { panic("unwritten") }
