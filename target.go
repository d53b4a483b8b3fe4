package fakessh

import (
	"fmt"
	"strings"
)

// Limits of a target name, in bytes and hops.
const (
	maxTargetName = 255
	maxPart       = 128
	maxHops       = 16
)

// Target is a parsed target name: NAME[+method[.argument]]…, outermost hop first.
type Target struct {
	Name string
	Hops []Hop
}

// Hop is one step inwards. An empty Argument means that the method's defaults hold.
type Hop struct{ Method, Argument string }

// TargetError says what is wrong with a target name.
type TargetError struct {
	Target string // as typed
	Part   string // the offending part
	Reason string
}

func (e *TargetError) Error() string {
	if e.Part == e.Target || e.Part == "" {
		return fmt.Sprintf("target %.300q: %s", e.Target, e.Reason)
	}
	return fmt.Sprintf("target %.300q: %q: %s", e.Target, e.Part, e.Reason)
}

// ParseTarget parses a target name. NAME and methods are lower case, as ssh lower-cases host names; an argument is
// letters of any case, digits and ._- and ends at the next plus. Errors are *TargetError and name the offending part.
func ParseTarget(s string) (Target, error) {
	if len(s) > maxTargetName {
		return Target{}, &TargetError{Target: s, Reason: fmt.Sprintf("longer than %d bytes", maxTargetName)}
	}
	name, rest, more := strings.Cut(s, "+")
	if reason := checkName(name); reason != "" {
		return Target{}, &TargetError{s, name, reason}
	}
	t := Target{Name: name}
	for more {
		var part string
		part, rest, more = strings.Cut(rest, "+")
		hop, reason := parseHop(part)
		if reason != "" {
			return Target{}, &TargetError{s, part, reason}
		}
		if t.Hops = append(t.Hops, hop); len(t.Hops) > maxHops {
			return Target{}, &TargetError{Target: s, Reason: fmt.Sprintf("more than %d hops", maxHops)}
		}
	}
	return t, nil
}

// checkName says what is wrong with the name of an inventory entry; "" if nothing is.
func checkName(name string) string {
	switch {
	case name == "":
		return "no name"
	case len(name) > maxPart:
		return fmt.Sprintf("longer than %d bytes", maxPart)
	case !all(name, func(c byte) bool { return isLower(c) || isDigit(c) || isMark(c) }):
		return "a name is lower-case letters, digits and ._-"
	case isMark(name[0]):
		return "a name begins with a letter or a digit"
	}
	return ""
}

func parseHop(part string) (Hop, string) {
	method, argument, has := strings.Cut(part, ".")
	switch {
	case method == "" || !isLower(method[0]) || !all(method, func(c byte) bool { return isLower(c) || isDigit(c) }):
		return Hop{}, "a hop begins with the name of a method, in lower case"
	case has && argument == "":
		return Hop{}, "no argument after the dot"
	case !all(argument, func(c byte) bool { return isLower(c|0x20) || isDigit(c) || isMark(c) }):
		return Hop{}, "an argument is letters, digits and ._-"
	case has && argument[0] == '-':
		return Hop{}, "an argument does not begin with a dash"
	case len(method) > maxPart || len(argument) > maxPart:
		return Hop{}, fmt.Sprintf("longer than %d bytes", maxPart)
	}
	return Hop{method, argument}, ""
}

// String is the canonical form: ParseTarget gives t back.
func (t Target) String() string {
	var b strings.Builder
	b.WriteString(t.Name)
	for _, h := range t.Hops {
		b.WriteString("+" + h.String())
	}
	return b.String()
}

// String is "method" or "method.argument".
func (h Hop) String() string {
	if h.Argument == "" {
		return h.Method
	}
	return h.Method + "." + h.Argument
}

// outer is the target that t's last hop starts from.
func (t Target) outer() Target {
	return Target{t.Name, t.Hops[:len(t.Hops)-1]}
}

func all(s string, ok func(c byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isMark(c byte) bool  { return c == '.' || c == '_' || c == '-' }
