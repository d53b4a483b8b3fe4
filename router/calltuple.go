package router

import (
	"errors"
	"reflect"
	"strings"

	"fakessh/router/pickle"
)

var errBadCall = errors.New("malformed call")

// parse reads the 6-tuple.
func (d *dispatcher) parse(m *Message) (*Call, error) {
	v, err := m.Value()
	if err != nil {
		return nil, err
	}
	t, ok := v.(pickle.Tuple)
	if !ok || len(t) != 6 {
		return nil, errBadCall
	}
	chainID, ok0 := textOrNone(t[0])
	module, ok1 := t[1].(string)
	class, ok2 := textOrNone(t[2])
	function, ok3 := t[3].(string)
	args, ok4 := t[4].(pickle.Tuple)
	kwargs, ok5 := t[5].(pickle.Kwargs)
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return nil, errBadCall
	}
	c := &Call{Router: d.r, Msg: m, Class: class, Name: module + "." + function, Args: args, Kwargs: kwargs.Dict, chain: chainID}
	if c.Kwargs == nil {
		c.Kwargs = pickle.NewDict()
	}
	if c.key() == forgetChain && len(args) == 1 {
		c.chain, _ = args[0].(string)
	}
	return c, nil
}

func textOrNone(v any) (string, bool) {
	if v == nil {
		return "", true
	}
	s, ok := v.(string)
	return s, ok
}

// key is the name under which the function is registered.
func (c *Call) key() string {
	if c.Class == "" {
		return c.Name
	}
	dot := strings.LastIndexByte(c.Name, '.')
	return c.Name[:dot] + ":" + c.Class + c.Name[dot:]
}

// asCallError gives an error its form for the far side.
func asCallError(err error) *CallError {
	var ce *CallError
	if errors.As(err, &ce) && err.Error() == ce.Error() {
		return ce
	}
	var typed interface{ ErrorType() string }
	typ := ""
	if errors.As(err, &typed) {
		typ = typed.ErrorType()
	} else {
		typ = goTypeName(err)
	}
	text, trace, _ := strings.Cut(err.Error(), "\n")
	return &CallError{Type: typ, Text: text, Trace: trace}
}

// goTypeName names the type as "package.Type"; the nameless types of text errors are "fakessh.Error".
func goTypeName(err error) string {
	name := strings.TrimPrefix(reflect.TypeOf(err).String(), "*")
	switch name {
	case "errors.errorString", "errors.joinError", "fmt.wrapError", "fmt.wrapErrors":
		return "fakessh.Error"
	}
	return name
}

func panicText(p any) string {
	switch p := p.(type) {
	case error:
		return "panic: " + p.Error()
	case string:
		return "panic: " + p
	}
	return "panic: " + reflect.TypeOf(p).String()
}
