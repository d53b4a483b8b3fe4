package pickle

import (
	"encoding/binary"
	"iter"
)

// Dict is a Python dict: ordered by insertion, last value of a key wins.
// Keys are nil, bool, int64 (any Go integer is taken), string, []byte or a Tuple of these.
// The zero value is an empty Dict.
type Dict struct {
	entries []entry
	index   map[hashKey]int // only once there are more than linear entries
}

type entry struct {
	hash       hashKey
	key, value any
}

// linear is how many entries are searched one by one.
const linear = 8

// hashKey is a key's comparable form.
type hashKey struct {
	kind keyKind
	num  int64
	text string // text, bytes, or the canonical form of a tuple
}

type keyKind uint8

const (
	keyNone keyKind = iota
	keyBool
	keyInt
	keyText
	keyBytes
	keyTuple
)

// NewDict makes a Dict of key, value, key, value…. It panics like Set, and on an odd number.
func NewDict(pairs ...any) *Dict {
	if len(pairs)%2 != 0 {
		panic("pickle: NewDict wants key, value, key, value")
	}
	d := &Dict{entries: make([]entry, 0, len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		d.Set(pairs[i], pairs[i+1])
	}
	return d
}

// Set stores value under key. It panics when key is of no type that can be one.
func (d *Dict) Set(key, value any) {
	if _, ok := d.set(key, value); !ok {
		panic("pickle: unhashable dict key")
	}
}

// set also returns the key's comparable form; ok is false when there is none.
func (d *Dict) set(key, value any) (h hashKey, ok bool) {
	if h, ok = hashOf(key); !ok {
		return h, false
	}
	if i := d.find(h); i >= 0 {
		d.entries[i].value = value
		return h, true
	}
	if d.index != nil {
		d.index[h] = len(d.entries)
	}
	d.entries = append(d.entries, entry{h, key, value})
	if d.index == nil && len(d.entries) > linear {
		d.index = make(map[hashKey]int, 2*linear)
		for i := range d.entries {
			d.index[d.entries[i].hash] = i
		}
	}
	return h, true
}

// Get returns the value under key. A nil *Dict is empty.
func (d *Dict) Get(key any) (value any, ok bool) {
	if d == nil {
		return nil, false
	}
	h, ok := hashOf(key)
	if !ok {
		return nil, false
	}
	i := d.find(h)
	if i < 0 {
		return nil, false
	}
	return d.entries[i].value, true
}

func (d *Dict) find(h hashKey) int {
	if d.index != nil {
		if i, ok := d.index[h]; ok {
			return i
		}
		return -1
	}
	for i := range d.entries {
		if d.entries[i].hash == h {
			return i
		}
	}
	return -1
}

// Len counts the entries.
func (d *Dict) Len() int {
	if d == nil {
		return 0
	}
	return len(d.entries)
}

// All yields the entries in order of insertion.
func (d *Dict) All() iter.Seq2[any, any] {
	return func(yield func(key, value any) bool) {
		if d == nil {
			return
		}
		for i := range d.entries {
			if !yield(d.entries[i].key, d.entries[i].value) {
				return
			}
		}
	}
}

// hashOf returns the comparable form of key, or false when key is of no type that can be one.
func hashOf(key any) (hashKey, bool) {
	switch k := key.(type) {
	case nil:
		return hashKey{kind: keyNone}, true
	case bool:
		if k {
			return hashKey{kind: keyBool, num: 1}, true
		}
		return hashKey{kind: keyBool}, true
	case string:
		return hashKey{kind: keyText, text: k}, true
	case []byte:
		return hashKey{kind: keyBytes, text: string(k)}, true
	case Tuple:
		nodes := maxKeyNodes
		b, ok := appendKey(nil, k, &nodes)
		return hashKey{kind: keyTuple, text: string(b)}, ok
	}
	if n, ok := smallInt(key); ok {
		return hashKey{kind: keyInt, num: n}, true
	}
	return hashKey{}, false
}

// appendKey appends an unambiguous form of key. nodes counts down the values
// in it: sharing could make a short pickle's key enormous.
func appendKey(dst []byte, key any, nodes *int) ([]byte, bool) {
	if *nodes--; *nodes < 0 {
		return nil, false
	}
	if t, ok := key.(Tuple); ok {
		dst = append(dst, byte(keyTuple))
		dst = binary.AppendUvarint(dst, uint64(len(t)))
		for _, item := range t {
			if dst, ok = appendKey(dst, item, nodes); !ok {
				return nil, false
			}
		}
		return dst, true
	}
	h, ok := hashOf(key)
	if !ok {
		return nil, false
	}
	dst = append(dst, byte(h.kind))
	dst = binary.AppendVarint(dst, h.num)
	dst = binary.AppendUvarint(dst, uint64(len(h.text)))
	return append(dst, h.text...), true
}

// smallInt returns v as an int64 if it is a Go integer that fits.
func smallInt(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case int32:
		return int64(n), true
	case int16:
		return int64(n), true
	case int8:
		return int64(n), true
	case uint8:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint32:
		return int64(n), true
	case uint:
		return int64(n), uint64(n) <= 1<<63-1
	case uint64:
		return int64(n), n <= 1<<63-1
	}
	return 0, false
}
