package pickle

import "errors"

// The Go types of the profile. None is nil; text is string; bytes are []byte;
// int is int64, or *big.Int beyond 64 bits; float is float64; bool is bool.
//
// Text need not be UTF-8 in Go: a byte that is not part of any character travels as
// U+DC80 to U+DCFF, as Python's surrogateescape has it, and is that byte again after Decode.
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

func (Blob) String() string     { return "[blob]" }
func (Blob) GoString() string   { return "[blob]" }
func (Secret) String() string   { return "[secret]" }
func (Secret) GoString() string { return "[secret]" }

// ErrDenied is matched by errors about a global, opcode or value outside the profile.
var ErrDenied = errors.New("pickle: denied")

// Limits of what Decode accepts and Append writes.
const (
	maxSize     = 128 << 20 // bytes of one pickle
	maxDepth    = 64        // containers inside containers
	maxStack    = 1 << 20   // values waiting to become part of a container
	maxMemo     = 1 << 20   // memo entries
	maxLong     = 4096      // bytes of an integer
	maxLine     = 256       // bytes of a line: a module, a name, a decimal integer
	maxName     = 100       // characters of a context's name, exclusive (spec 4.2)
	maxErrText  = 10000     // characters of a CallError, exclusive (spec 4.2)
	maxKeyNodes = 64        // values inside one dict key

	// A value's weight is what it would take with all sharing undone: nodeWeight for
	// each value and the length of each text. It may be weightFactor times the pickle, or minWeight.
	nodeWeight   = 16
	weightFactor = 64
	minWeight    = 1 << 20
)

// Opcodes of the profile (spec 4.1).
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opBinfloat       = 'G'
	opInt            = 'I'
	opBinint         = 'J'
	opBinint1        = 'K'
	opBinint2        = 'M'
	opNone           = 'N'
	opReduce         = 'R'
	opBinstring      = 'T'
	opShortBinstring = 'U'
	opBinunicode     = 'X'
	opAppend         = 'a'
	opGlobal         = 'c'
	opAppends        = 'e'
	opBinget         = 'h'
	opLongBinget     = 'j'
	opBinput         = 'q'
	opLongBinput     = 'r'
	opSetitem        = 's'
	opTuple          = 't'
	opSetitems       = 'u'
	opEmptyTuple     = ')'
	opEmptyList      = ']'
	opEmptyDict      = '}'
	opProto          = 0x80
	opTuple1         = 0x85
	opTuple2         = 0x86
	opTuple3         = 0x87
	opNewtrue        = 0x88
	opNewfalse       = 0x89
	opLong1          = 0x8a
	opLong4          = 0x8b
)

// protocol is the pickle protocol that is written, and the highest that is read.
const protocol = 2

// Error says what is wrong with a pickle, and where. Those about things outside the profile match ErrDenied.
type Error struct {
	Offset int // bytes from the start of the pickle
	Text   string
	Denied bool
}

func (e *Error) Error() string { return "pickle: " + e.Text }

// Is matches ErrDenied.
func (e *Error) Is(target error) bool { return e.Denied && target == ErrDenied }
