package authz

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/cedar-policy/cedar-go"
)

// Limits of a policy file. They are far above what a person writes and keep the parser, which recurses, from exhausting the stack.
const (
	maxPolicyBytes   = 256 << 10
	maxPolicyNesting = 100
)

// PolicyError says where a policy file is wrong.
type PolicyError struct {
	File string
	Line int // 0 when the file as a whole is meant
	Err  error
}

func (e *PolicyError) Error() string {
	if e.Line == 0 {
		return "policy " + e.File + ": " + e.Err.Error()
	}
	return "policy " + e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Err.Error()
}

func (e *PolicyError) Unwrap() error { return e.Err }

// LoadPolicy reads a policy file, which only root and the running user may be able to change (see OpenTrusted). Errors are *PolicyError.
func LoadPolicy(path string) (*Policy, error) {
	f, err := openTrusted(path, nil)
	if err != nil {
		return nil, &PolicyError{File: path, Err: bare(err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPolicyBytes+1))
	if err != nil {
		return nil, &PolicyError{File: path, Err: bare(err)}
	}
	return ParsePolicy(path, data)
}

// ParsePolicy parses Cedar text. A rule's id is its @id annotation, or else "FILE:LINE". Errors are *PolicyError.
func ParsePolicy(name string, text []byte) (*Policy, error) {
	if len(text) > maxPolicyBytes {
		return nil, &PolicyError{File: name, Err: fmt.Errorf("larger than %d bytes", maxPolicyBytes)}
	}
	if line := tooDeep(text); line > 0 {
		return nil, &PolicyError{File: name, Line: line, Err: fmt.Errorf("brackets nested deeper than %d", maxPolicyNesting)}
	}
	list, err := cedar.NewPolicyListFromBytes(name, text)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	set := cedar.NewPolicySet()
	for _, rule := range list {
		id := ruleID(name, rule)
		if other := set.Get(id); other != nil {
			return nil, &PolicyError{File: name, Line: rule.Position().Line,
				Err: fmt.Errorf("id %q is taken by the rule in line %d", id, other.Position().Line)}
		}
		set.Add(id, rule)
	}
	return &Policy{name: name, set: set}, nil
}

// ruleID uses the column too where several rules share a line.
func ruleID(file string, rule *cedar.Policy) cedar.PolicyID {
	if id, ok := rule.Annotations()["id"]; ok && id != "" {
		return cedar.PolicyID(id)
	}
	pos := rule.Position()
	id := filepath.Base(file) + ":" + strconv.Itoa(pos.Line)
	if pos.Column > 1 {
		id += ":" + strconv.Itoa(pos.Column)
	}
	return cedar.PolicyID(id)
}

// The parser's errors carry their place only as text: `… parse error at <input>:3:14 "permt": …`.
var parseErrorText = regexp.MustCompile(`(?s)^(?:parser error: )?(?:parse error at )?(?:<input>|[^\s:]*):(\d+):\d+:? ?(.*)$`)

func syntaxError(name string, err error) error {
	m := parseErrorText.FindStringSubmatch(err.Error())
	if m == nil {
		return &PolicyError{File: name, Err: err}
	}
	line, _ := strconv.Atoi(m[1])
	return &PolicyError{File: name, Line: line, Err: errors.New(m[2])}
}

// tooDeep finds the line where brackets are nested too deeply, outside of strings and comments; 0 if none is.
func tooDeep(text []byte) int {
	line, depth := 1, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\n':
			line++
		case '(', '[', '{':
			if depth++; depth > maxPolicyNesting {
				return line
			}
		case ')', ']', '}':
			depth--
		case '"':
			i = skipString(text, i)
		case '/':
			i = skipComment(text, i)
		}
	}
	return 0
}

// skipString returns the index of the closing quote of the string that opens at i; strings hold no newline.
func skipString(text []byte, i int) int {
	for j := i + 1; j < len(text); j++ {
		switch text[j] {
		case '\\':
			j++
		case '"':
			return j
		case '\n':
			return i // unterminated: the parser will say so
		}
	}
	return i
}

// skipComment returns the index of the last byte before the end of a line comment at i.
func skipComment(text []byte, i int) int {
	if i+1 >= len(text) || text[i+1] != '/' {
		return i
	}
	for j := i; j < len(text); j++ {
		if text[j] == '\n' {
			return j - 1
		}
	}
	return len(text)
}

// bare takes operation and path off, which the caller's error has already.
func bare(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
