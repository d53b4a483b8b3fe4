package methods

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Secret is a text that prints as [secret].
type Secret string

func (Secret) String() string   { return "[secret]" }
func (Secret) GoString() string { return "[secret]" }

// MarshalText keeps secrets out of JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Params are a method's parameters by Mitogen's names. Values are string, bool, int64, float64, []string or Secret;
// what a YAML decoder gives for these (int, []any, …) is understood too.
type Params map[string]any

// Param describes one parameter.
type Param struct {
	Name     string
	Kind     string // one of the Kind constants
	Default  any    // nil: not set
	Required bool
	Help     string
	Choices  []string // the only texts allowed; empty: any
	Min, Max int64    // bounds of a KindInt; both 0: none
	// Operand marks a text that a tool takes for a name: not empty, one line without blanks, no dash in front.
	Operand bool
}

// Kinds of parameters.
const (
	KindString  = "string"
	KindBool    = "bool"
	KindInt     = "int"
	KindSeconds = "seconds" // number, more than 0
	KindList    = "list"    // of texts
	KindSecret  = "secret"  // P; also given as P_file, P_command or P_env
)

// CommonParams are those that every method takes.
func CommonParams() []Param { return slices.Clone(commonParams) }

var commonParams = []Param{
	{Name: "connect_timeout", Kind: KindSeconds, Default: DefaultTimeout.Seconds(), Help: "seconds until the agent has to be up"},
	{Name: "cache", Kind: KindBool, Default: true, Help: "let the shipped program stay for the next start; false: nothing stays"},
	{Name: "debug", Kind: KindBool, Default: false, Help: "let the agent log at debug level"},
	{Name: "remote_name", Kind: KindString, Help: "label of the agent in process listings"},
}

// Param finds the parameter that name sets, one of the method's own, a common one, or a source of a secret.
func (m *Method) Param(name string) (Param, bool) {
	for _, list := range [][]Param{m.Params, commonParams} {
		for _, p := range list {
			if p.Name == name {
				return p, true
			}
		}
	}
	if secret, source := secretSource(m, name); source != "" {
		return Param{Name: name, Kind: KindString, Help: "where " + secret + " comes from"}, true
	}
	return Param{}, false
}

// values are checked parameters with the defaults in place. Methods read them by the getters; what is not set reads as zero.
type values map[string]any

func (v values) text(name string) string { s, _ := v[name].(string); return s }
func (v values) flag(name string) bool   { b, _ := v[name].(bool); return b }
func (v values) list(name string) []string {
	l, _ := v[name].([]string)
	return l
}

// number reads an integer; ok is false when it is not set.
func (v values) number(name string) (n int64, ok bool) { n, ok = v[name].(int64); return n, ok }

// secret reads a secret; ok is false when it is not set.
func (v values) secret(name string) (s Secret, ok bool) { s, ok = v[name].(Secret); return s, ok }

func (v values) duration(name string) time.Duration {
	f, _ := v[name].(float64)
	return time.Duration(min(f*float64(time.Second), float64(math.MaxInt64/2)))
}

// values checks p and completes it.
func (m *Method) values(p Params) (values, error) {
	v := values{}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if p[name] == nil {
			continue // YAML's null: as if not there
		}
		param, ok := m.Param(name)
		if !ok {
			return nil, errors.New(m.Name + ": unknown parameter " + quoted(name))
		}
		value, err := param.value(p[name])
		if err != nil {
			return nil, errors.New(m.Name + ": " + name + ": " + err.Error())
		}
		v[name] = value
	}
	if m.merge != nil {
		if err := m.merge(m, v); err != nil {
			return nil, err
		}
	}
	return v, m.complete(v)
}

// complete adds the defaults, and misses what is required.
func (m *Method) complete(v values) error {
	for _, list := range [][]Param{m.Params, commonParams} {
		for _, p := range list {
			x, ok := v[p.Name]
			if ok && (!p.Required || !isEmpty(x)) {
				continue
			}
			if p.Required {
				return errors.New(m.Name + ": " + p.Name + " is required")
			}
			if p.Default != nil {
				v[p.Name] = p.Default
			}
		}
	}
	return nil
}

func isEmpty(x any) bool {
	switch x := x.(type) {
	case string:
		return x == ""
	case []string:
		return len(x) == 0
	}
	return false
}

// value brings x into the form of p's kind and checks it.
func (p Param) value(x any) (any, error) {
	switch p.Kind {
	case KindBool:
		if b, ok := x.(bool); ok {
			return b, nil
		}
		return nil, errors.New("want true or false")
	case KindInt:
		return p.integer(x)
	case KindSeconds:
		return seconds(x)
	case KindList:
		return p.texts(x)
	case KindSecret:
		return secretValue(x)
	}
	s, ok := x.(string)
	if !ok {
		return nil, errors.New("want a text")
	}
	return s, p.checkText(s)
}

func (p Param) integer(x any) (any, error) {
	n, ok := wholeNumber(x)
	if !ok {
		return nil, errors.New("want a whole number")
	}
	if (p.Min != 0 || p.Max != 0) && (n < p.Min || n > p.Max) {
		return nil, errors.New("want " + strconv.FormatInt(p.Min, 10) + " to " + strconv.FormatInt(p.Max, 10))
	}
	return n, nil
}

func wholeNumber(x any) (int64, bool) {
	switch n := x.(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= math.MaxInt64
	case float64:
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	}
	return 0, false
}

func seconds(x any) (any, error) {
	f, ok := x.(float64)
	if n, whole := wholeNumber(x); whole {
		f, ok = float64(n), true
	}
	if !ok || !(f > 0) || math.IsInf(f, 0) {
		return nil, errors.New("want a number of seconds, more than 0")
	}
	return f, nil
}

func (p Param) texts(x any) (any, error) {
	list, ok := x.([]string)
	if anys, isAny := x.([]any); isAny {
		list, ok = make([]string, len(anys)), true
		for i := range anys {
			s, isText := anys[i].(string)
			ok = ok && isText
			list[i] = s
		}
	}
	if !ok {
		return nil, errors.New("want a list of texts")
	}
	for _, s := range list {
		if err := noNUL(s); err != nil {
			return nil, err
		}
	}
	return slices.Clone(list), nil
}

func secretValue(x any) (any, error) {
	s, ok := x.(Secret)
	if text, isText := x.(string); isText {
		s, ok = Secret(text), true
	}
	if !ok {
		return nil, errors.New("want a text")
	}
	return s, checkSecret(s)
}

func (p Param) checkText(s string) error {
	if err := noNUL(s); err != nil {
		return err
	}
	if len(p.Choices) > 0 && !slices.Contains(p.Choices, s) {
		return errors.New("must be set to " + orList(p.Choices))
	}
	if !p.Operand {
		return nil
	}
	switch {
	case s == "":
		return errors.New("is empty")
	case s[0] == '-':
		return errors.New("begins with a dash: " + quoted(s))
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("has a blank or control character: " + quoted(s))
	}
	return nil
}

func noNUL(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return errors.New("has a zero byte")
	}
	return nil
}

// orList is "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func quoted(s string) string { return strconv.Quote(s) }
