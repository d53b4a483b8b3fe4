// Package pickle is the profile of Python's pickle protocol 2 that Mitogen
// peers exchange: an allow-list of types, enforced while decoding.
package pickle

import "errors"

// The Go types of the profile. None is nil; text is string; bytes are []byte;
// int is int64, or *big.Int beyond 64 bits; float is float64; bool is bool.
type (
	// Tuple is a Python tuple.
	Tuple []any
	// List is a Python list. It has identity: a list fetched twice from the memo is one *List.
	List struct{ Items []any }
	// Blob is mitogen.core.Blob: bytes whose printed form hides the content.
	Blob []byte
	// Secret is mitogen.core.Secret: text that prints as [secret].
	Secret string
	// Kwargs is mitogen.core.Kwargs: keyword arguments, keys are text.
	Kwargs struct{ *Dict }
	// ContextRef is a mitogen.core.Context on the wire. Name is nil for None.
	ContextRef struct {
		ID   uint32
		Name *string
	}
	// SenderRef is a mitogen.core.Sender on the wire.
	SenderRef struct{ Context, Handle uint32 }
	// CallError is a mitogen.core.CallError on the wire: "type: text\ntraceback".
	CallError string
)

// Dict is a Python dict: ordered by insertion, last value of a key wins.
// Keys are nil, bool, int64, string, []byte or Tuple.
type Dict struct{}

// NewDict makes a Dict of key, value, key, value….
func NewDict(pairs ...any) *Dict { panic("unwritten") }

// Set stores value under key.
func (d *Dict) Set(key, value any) { panic("unwritten") }

// Get returns the value under key. A nil *Dict is empty.
func (d *Dict) Get(key any) (value any, ok bool) { panic("unwritten") }

// Len counts the entries.
func (d *Dict) Len() int { panic("unwritten") }

// All yields the entries in order of insertion.
func (d *Dict) All() func(yield func(key, value any) bool) { panic("unwritten") }

// Append appends the pickle of v to dst. Besides the profile's types it takes
// every Go integer type, []string, []any, map[string]any and map[string]string.
func Append(dst []byte, v any) ([]byte, error) { panic("unwritten") }

// Decode reads one pickle from data and returns what follows it.
func Decode(data []byte) (v any, rest []byte, err error) { panic("unwritten") }

// ErrDenied is matched by errors about a global, opcode or value outside the profile.
var ErrDenied = errors.New("pickle: denied")
