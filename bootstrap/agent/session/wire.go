package session

import (
	"errors"
	"strconv"
	"strings"

	"fakessh/router/pickle"
)

// Limits of what a Spec may hold, in bytes or entries. They are wide enough for
// whatever the kernel would execute, and narrow enough that no request is a burden.
const (
	maxCommand = 1 << 20
	maxArgs    = 4096
	maxEnv     = 1024
	maxValue   = 128 << 10
	maxPath    = 4096
	maxName    = 255
	maxModes   = 4096
	maxAddr    = 128
)

func texts(list []string) *pickle.List {
	l := &pickle.List{}
	for _, s := range list {
		l.Items = append(l.Items, s)
	}
	return l
}

// fields reads a dict field by field and keeps the first error.
type fields struct {
	what string
	dict *pickle.Dict
	err  error
}

func newFields(what string, v any) *fields {
	f := &fields{what: what}
	switch d := v.(type) {
	case *pickle.Dict:
		f.dict = d
	case pickle.Kwargs:
		f.dict = d.Dict
	default:
		f.err = errors.New(what + ": not a dict")
	}
	return f
}

func (f *fields) fail(key, why string) {
	if f.err == nil {
		f.err = errors.New(f.what + ": " + key + " " + why)
	}
}

// get returns the value of key; absent and None are the same.
func (f *fields) get(key string) (any, bool) {
	if f.err != nil {
		return nil, false
	}
	v, ok := f.dict.Get(key)
	return v, ok && v != nil
}

func (f *fields) text(key string, limit int) string {
	v, ok := f.get(key)
	if !ok {
		return ""
	}
	return f.asText(key, v, limit)
}

func (f *fields) asText(key string, v any, limit int) string {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case []byte:
		s = string(v)
	default:
		f.fail(key, "is not text")
	}
	f.checkText(key, s, limit)
	return s
}

func (f *fields) checkText(key, s string, limit int) {
	if len(s) > limit {
		f.fail(key, "is longer than "+strconv.Itoa(limit)+" bytes")
	}
	if strings.IndexByte(s, 0) >= 0 {
		f.fail(key, "holds a NUL byte")
	}
}

func (f *fields) bytes(key string, limit int) []byte {
	v, ok := f.get(key)
	if !ok {
		return nil
	}
	b, isBytes := v.([]byte)
	if blob, ok := v.(pickle.Blob); ok {
		b, isBytes = blob, true
	}
	if !isBytes {
		f.fail(key, "is not bytes")
	}
	if len(b) > limit {
		f.fail(key, "is longer than "+strconv.Itoa(limit)+" bytes")
	}
	return b
}

func (f *fields) bool(key string) bool {
	v, ok := f.get(key)
	if !ok {
		return false
	}
	b, isBool := v.(bool)
	if !isBool {
		f.fail(key, "is not a bool")
	}
	return b
}

func (f *fields) int(key string, low, high int64) int64 {
	v, ok := f.get(key)
	if !ok {
		return 0
	}
	return f.asInt(key, v, low, high)
}

func (f *fields) asInt(key string, v any, low, high int64) int64 {
	n, isInt := v.(int64)
	if !isInt {
		f.fail(key, "is not an integer")
	} else if n < low || n > high {
		f.fail(key, "is out of range")
	}
	return n
}

// items returns a list's or a tuple's values.
func (f *fields) items(key string, limit int) []any {
	v, ok := f.get(key)
	if !ok {
		return nil
	}
	var items []any
	switch v := v.(type) {
	case *pickle.List:
		items = v.Items
	case pickle.Tuple:
		items = v
	default:
		f.fail(key, "is not a list")
	}
	if len(items) > limit {
		f.fail(key, "has more than "+strconv.Itoa(limit)+" entries")
		return nil
	}
	return items
}

func (f *fields) texts(key string, count, total int) []string {
	items := f.items(key, count)
	list := make([]string, 0, len(items))
	for _, v := range items {
		s := f.asText(key, v, total)
		total -= len(s)
		list = append(list, s)
	}
	if f.err != nil || len(list) == 0 {
		return nil
	}
	return list
}
