package pickle

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"slices"
	"unicode/utf8"
)

// Append appends the pickle of v to dst. Besides the profile's types it takes
// every Go integer type, []string, []any, map[string]any and map[string]string
// (lists and dicts; a map's keys are sorted). Text that is not UTF-8 is carried as
// described at the profile's types. On error dst is returned as it was.
func Append(dst []byte, v any) ([]byte, error) {
	out, err := appendValue(append(dst, opProto, protocol), v, 0)
	if err != nil {
		return dst, err
	}
	return append(out, opStop), nil
}

// Errors of Append. They are the caller's mistakes, so nobody branches on them.
var (
	errDepth = errors.New("pickle: value nested too deeply")
	errLarge = errors.New("pickle: text, bytes or integer too large")
	errType  = errors.New("pickle: value of a type outside the profile")
	errKey   = errors.New("pickle: keyword argument without a text as its name")
	errRef   = errors.New("pickle: context name or error text too long, or handle 0")
)

// appendValue appends v without frame.
func appendValue(dst []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	if n, ok := smallInt(v); ok {
		return appendInt(dst, n), nil
	}
	switch v := v.(type) {
	case nil:
		return append(dst, opNone), nil
	case bool:
		if v {
			return append(dst, opNewtrue), nil
		}
		return append(dst, opNewfalse), nil
	case uint:
		return appendLong(dst, new(big.Int).SetUint64(uint64(v)))
	case uint64:
		return appendLong(dst, new(big.Int).SetUint64(v))
	case *big.Int:
		return appendBig(dst, v)
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, opBinfloat), math.Float64bits(v)), nil
	case float32:
		return appendValue(dst, float64(v), depth)
	case string:
		return appendText(dst, v)
	case []byte:
		return appendBytes(dst, v)
	}
	if out, ok, err := appendObject(dst, v, depth); ok || err != nil {
		return out, err
	}
	return appendContainer(dst, v, depth)
}

// appendContainer appends tuples, lists and dicts.
func appendContainer(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case Tuple:
		return appendTuple(dst, v, depth)
	case *List:
		if v == nil {
			return append(dst, opEmptyList), nil
		}
		return appendList(dst, v.Items, depth)
	case List:
		return appendList(dst, v.Items, depth)
	case []any:
		return appendList(dst, v, depth)
	case []string:
		return appendList(dst, v, depth)
	case *Dict:
		return appendDict(dst, v, depth)
	case map[string]any:
		return appendMap(dst, v, depth)
	case map[string]string:
		return appendMap(dst, v, depth)
	}
	return nil, errType
}

// appendObject appends the values that are calls of a global.
func appendObject(dst []byte, v any, depth int) (out []byte, ok bool, err error) {
	switch v := v.(type) {
	case Blob:
		out, err = appendBytes(appendGlobal(dst, "Blob"), v)
	case Secret:
		out, err = appendText(appendGlobal(dst, "Secret"), string(v))
	case CallError:
		if utf8.RuneCountInString(string(v)) >= maxErrText {
			return nil, true, errRef
		}
		out, err = appendText(appendGlobal(dst, "_unpickle_call_error"), string(v))
	case Kwargs:
		if !textKeys(v.Dict) {
			return nil, true, errKey
		}
		out, err = appendDict(appendGlobal(dst, "Kwargs"), v.Dict, depth)
	case ContextRef:
		out, err = appendContext(dst, v)
		return out, true, err
	case SenderRef:
		if v.Handle == 0 {
			return nil, true, errRef
		}
		out = appendInt(appendGlobal(dst, "_unpickle_sender"), int64(v.Context))
		return append(appendInt(out, int64(v.Handle)), opTuple2, opReduce), true, nil
	default:
		return nil, false, nil
	}
	return append(out, opTuple1, opReduce), true, err
}

func appendContext(dst []byte, v ContextRef) ([]byte, error) {
	out := appendInt(appendGlobal(dst, "_unpickle_context"), int64(v.ID))
	if v.Name == nil {
		return append(out, opNone, opTuple2, opReduce), nil
	}
	if utf8.RuneCountInString(*v.Name) >= maxName {
		return nil, errRef
	}
	out, err := appendText(out, *v.Name)
	return append(out, opTuple2, opReduce), err
}

func appendGlobal(dst []byte, name string) []byte {
	dst = append(dst, opGlobal)
	dst = append(dst, "mitogen.core\n"...)
	dst = append(dst, name...)
	return append(dst, '\n')
}

// appendInt appends n in the shortest form, as Python does.
func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0 && n <= math.MaxUint8:
		return append(dst, opBinint1, byte(n))
	case n >= 0 && n <= math.MaxUint16:
		return append(dst, opBinint2, byte(n), byte(n>>8))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		return binary.LittleEndian.AppendUint32(append(dst, opBinint), uint32(n))
	}
	size := 8
	for size > 1 && n>>(8*size-9) == n>>63 { // the byte in front says only the sign
		size--
	}
	dst = append(dst, opLong1, byte(size))
	for i := range size {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

func appendBig(dst []byte, n *big.Int) ([]byte, error) {
	if n == nil {
		return nil, errType
	}
	if n.IsInt64() {
		return appendInt(dst, n.Int64()), nil
	}
	return appendLong(dst, n)
}

// appendLong appends n as little-endian two's complement.
func appendLong(dst []byte, n *big.Int) ([]byte, error) {
	size := n.BitLen()/8 + 1
	if n.Sign() < 0 { // -128 takes one byte, 128 two
		size = new(big.Int).Not(n).BitLen()/8 + 1
	}
	if size > maxLong {
		return nil, errLarge
	}
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	if size <= math.MaxUint8 {
		dst = append(dst, opLong1, byte(size))
	} else {
		dst = binary.LittleEndian.AppendUint32(append(dst, opLong4), uint32(size))
	}
	be := n.FillBytes(make([]byte, size))
	slices.Reverse(be)
	return append(dst, be...), nil
}

// appendBytes appends bytes as BINSTRING, which Mitogen reads as bytes everywhere (spec 4.1).
func appendBytes(dst, b []byte) ([]byte, error) {
	if len(b) > maxSize {
		return nil, errLarge
	}
	if len(b) <= math.MaxUint8 {
		dst = append(dst, opShortBinstring, byte(len(b)))
	} else {
		dst = binary.LittleEndian.AppendUint32(append(dst, opBinstring), uint32(len(b)))
	}
	return append(dst, b...), nil
}

func appendText(dst []byte, s string) ([]byte, error) {
	if len(s) > maxSize/3 { // each byte may become three
		return nil, errLarge
	}
	dst = append(dst, opBinunicode, 0, 0, 0, 0)
	at := len(dst)
	if utf8.ValidString(s) {
		dst = append(dst, s...)
	} else {
		dst = appendEscaped(dst, s)
	}
	binary.LittleEndian.PutUint32(dst[at-4:], uint32(len(dst)-at))
	return dst, nil
}

func appendTuple(dst []byte, t Tuple, depth int) ([]byte, error) {
	if len(t) == 0 {
		return append(dst, opEmptyTuple), nil
	}
	if len(t) > 3 {
		dst = append(dst, opMark)
	}
	var err error
	for _, v := range t {
		if dst, err = appendValue(dst, v, depth+1); err != nil {
			return nil, err
		}
	}
	if len(t) > 3 {
		return append(dst, opTuple), nil
	}
	return append(dst, opTuple1+byte(len(t)-1)), nil
}

// batch is how many items one APPENDS or SETITEMS adds, as in Python: a reader's stack stays low.
const batch = 1000

func appendList[T any](dst []byte, items []T, depth int) ([]byte, error) {
	dst = append(dst, opEmptyList)
	var err error
	for chunk := range slices.Chunk(items, batch) {
		dst = append(dst, opMark)
		for _, v := range chunk {
			if dst, err = appendValue(dst, v, depth+1); err != nil {
				return nil, err
			}
		}
		dst = append(dst, opAppends)
	}
	return dst, nil
}

// appendDict appends d; a nil d is an empty one.
func appendDict(dst []byte, d *Dict, depth int) ([]byte, error) {
	dst = append(dst, opEmptyDict)
	n := 0
	var err error
	for key, value := range d.All() {
		if n%batch == 0 {
			if n > 0 {
				dst = append(dst, opSetitems)
			}
			dst = append(dst, opMark)
		}
		n++
		if dst, err = appendValue(dst, key, depth+1); err != nil {
			return nil, err
		}
		if dst, err = appendValue(dst, value, depth+1); err != nil {
			return nil, err
		}
	}
	if n > 0 {
		dst = append(dst, opSetitems)
	}
	return dst, nil
}

func appendMap[V any](dst []byte, m map[string]V, depth int) ([]byte, error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	d := &Dict{entries: make([]entry, 0, len(m))}
	for _, k := range keys {
		d.entries = append(d.entries, entry{key: k, value: m[k]})
	}
	return appendDict(dst, d, depth)
}
