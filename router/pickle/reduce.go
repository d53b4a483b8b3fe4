package pickle

import (
	"unicode/utf8"
)

// global is an allowed GLOBAL (spec 4.2) between being read and being called. It is never part of a result.
type global uint8

const (
	globalEncode global = iota
	globalBytes
	globalBlob
	globalSecret
	globalKwargs
	globalContext
	globalSender
	globalCallError
)

// globalOf looks a global up. Written as a switch, so that the names in the input are not copied.
func globalOf(module, name []byte) (global, bool) {
	switch string(module) {
	case "_codecs":
		return globalEncode, string(name) == "encode"
	case "__builtin__":
		return globalBytes, string(name) == "bytes"
	case "mitogen.core":
	default:
		return 0, false
	}
	switch string(name) {
	case "Blob":
		return globalBlob, true
	case "Secret":
		return globalSecret, true
	case "Kwargs":
		return globalKwargs, true
	case "_unpickle_context":
		return globalContext, true
	case "_unpickle_sender":
		return globalSender, true
	case "_unpickle_call_error", "CallError":
		return globalCallError, true
	}
	return 0, false
}

// global reads GLOBAL, and refuses it here rather than where it would be called.
func (d *decoder) global() error {
	module, err := d.line()
	if err != nil {
		return err
	}
	name, err := d.line()
	if err != nil {
		return err
	}
	g, ok := globalOf(module, name)
	if !ok {
		return d.deny("cannot unpickle " + repr(module) + "/" + repr(name))
	}
	return d.push(g)
}

// repr quotes as Python would, and keeps to printable ASCII.
func repr(b []byte) string {
	const hex = "0123456789abcdef"
	out := []byte{'\''}
	for _, c := range b {
		switch {
		case c == '\'' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ' || c > '~':
			out = append(out, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return string(append(out, '\''))
}

// reduce reads REDUCE: an allowed global applied to a tuple.
func (d *decoder) reduce() error {
	values, err := d.pop(2)
	if err != nil {
		return err
	}
	g, ok := values[0].(global)
	if !ok {
		return d.deny("call of something that is no global")
	}
	args, ok := values[1].(Tuple)
	if !ok {
		return d.fail("arguments are no tuple")
	}
	if err := d.charge(cost(args)); err != nil {
		return err
	}
	v, problem := g.call(args)
	if problem != "" {
		return d.deny("cannot unpickle " + problem)
	}
	return d.push(v)
}

// cost is how much work a call with args can make.
func cost(args Tuple) int {
	if len(args) == 0 {
		return 0
	}
	switch arg := args[0].(type) {
	case string:
		return len(arg)
	case *Dict:
		return nodeWeight * arg.Len()
	}
	return 0
}

// call makes the value, or says what cannot be made.
func (g global) call(args Tuple) (v any, problem string) {
	switch {
	case g == globalEncode && (len(args) == 1 || len(args) == 2):
		if text, ok := args[0].(string); ok {
			if b, ok := latin1(text); ok {
				return b, ""
			}
		}
		return nil, "bytes: bad input"
	case g == globalBytes && len(args) == 0:
		return []byte{}, ""
	case g == globalContext && len(args) == 2:
		return newContext(args[0], args[1])
	case g == globalSender && len(args) == 2:
		return newSender(args[0], args[1])
	case len(args) == 1:
		return g.wrap(args[0])
	}
	return nil, g.String() + ": bad input"
}

// wrap makes the values that are another value under a type of their own.
func (g global) wrap(arg any) (v any, problem string) {
	switch arg := arg.(type) {
	case []byte:
		if g == globalBlob {
			return Blob(arg), ""
		}
	case string:
		if g == globalSecret {
			return Secret(arg), ""
		}
		if g == globalCallError && utf8.RuneCountInString(arg) < maxErrText {
			return CallError(arg), ""
		}
	case *Dict:
		if g == globalKwargs {
			return newKwargs(arg)
		}
	}
	return nil, g.String() + ": bad input"
}

func (g global) String() string {
	switch g {
	case globalBlob:
		return "Blob"
	case globalSecret:
		return "Secret"
	case globalKwargs:
		return "Kwargs"
	case globalContext:
		return "Context"
	case globalSender:
		return "Sender"
	case globalCallError:
		return "CallError"
	}
	return "bytes"
}

// newKwargs turns keys that are bytes, as Python 2 writes them, into text.
func newKwargs(d *Dict) (v any, problem string) {
	if textKeys(d) {
		return Kwargs{d}, ""
	}
	out := &Dict{entries: make([]entry, 0, len(d.entries))}
	for key, value := range d.All() {
		switch k := key.(type) {
		case string:
			out.set(k, value)
		case []byte:
			out.set(string(k), value)
		default:
			return nil, "Kwargs: bad input"
		}
	}
	return Kwargs{out}, ""
}

func textKeys(d *Dict) bool {
	for key := range d.All() {
		if _, ok := key.(string); !ok {
			return false
		}
	}
	return true
}

func newContext(id, name any) (v any, problem string) {
	n, ok := id.(int64)
	ref := ContextRef{ID: uint32(n)}
	switch name := name.(type) {
	case nil:
	case string:
		ref.Name = &name
		ok = ok && utf8.RuneCountInString(name) < maxName
	default:
		ok = false
	}
	if !ok || n < 0 || n > 1<<32-1 {
		return nil, "Context: bad input"
	}
	return ref, ""
}

func newSender(context, handle any) (v any, problem string) {
	c, ok1 := context.(int64)
	h, ok2 := handle.(int64)
	if !ok1 || !ok2 || c < 0 || c > 1<<32-1 || h <= 0 || h > 1<<32-1 {
		return nil, "Sender: bad input or missing router"
	}
	return SenderRef{Context: uint32(c), Handle: uint32(h)}, ""
}
