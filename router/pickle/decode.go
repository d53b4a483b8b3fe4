package pickle

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Decode reads one pickle from data and returns what follows it. The value does
// not alias data. Errors are *Error, and match ErrDenied when the pickle wants
// something outside the profile; after an error nothing of data is to be used.
func Decode(data []byte) (v any, rest []byte, err error) {
	if len(data) > maxSize {
		return nil, nil, &Error{Text: "too large"}
	}
	d := decoders.Get().(*decoder)
	d.data = data
	if len(data) <= shareText {
		d.text = string(data)
	}
	v, err = d.run()
	n := d.pos
	d.reset()
	decoders.Put(d)
	if err != nil {
		return nil, nil, err
	}
	return v, data[n:], nil
}

// shareText is the size up to which all text of a pickle is cut from one copy
// of it: one allocation for a call instead of one for each name. Beyond it, a short text would keep much alive.
const shareText = 4096

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// keep bounds the slices that go back to the pool, in elements.
const keep = 256

// decoder is the stack machine.
type decoder struct {
	data   []byte
	text   string // data as a string, if that is short
	pos    int
	stack  []any
	marks  []int          // heights of the stack at the marks
	memo   []any          // by number, absent where unset
	sparse map[uint32]any // memo entries with wild numbers
	puts   int
	work   int64 // bytes copied or hashed so far, beyond what reading takes
	shared bool  // a container was fetched from the memo
}

// unset is what an unused place in the memo holds. It never gets on the stack.
type unset struct{}

func (d *decoder) reset() {
	clear(d.stack)
	clear(d.memo)
	if cap(d.stack) > keep || cap(d.memo) > keep || cap(d.marks) > keep {
		*d = decoder{}
		return
	}
	*d = decoder{stack: d.stack[:0], memo: d.memo[:0], marks: d.marks[:0]}
}

func (d *decoder) fail(text string) error { return &Error{Offset: d.pos, Text: text} }

func (d *decoder) deny(text string) error { return &Error{Offset: d.pos, Text: text, Denied: true} }

// limit is the weight that a value may have, and the work it may make.
func (d *decoder) limit() int64 { return max(minWeight, weightFactor*int64(len(d.data))) }

// charge accounts for n bytes of work. Without it a text sent once and fetched
// from the memo ever again would make a short pickle a long job.
func (d *decoder) charge(n int) error {
	if d.work += int64(n); d.work > d.limit() {
		return d.fail("value too large")
	}
	return nil
}

// run executes opcodes until STOP.
func (d *decoder) run() (any, error) {
	for d.pos < len(d.data) {
		op := d.data[d.pos]
		d.pos++
		if op == opStop {
			return d.result()
		}
		if err := d.step(op); err != nil {
			return nil, err
		}
	}
	return nil, d.fail("truncated")
}

// result is the one value left at STOP, checked as a whole.
func (d *decoder) result() (any, error) {
	if len(d.stack) != 1 || len(d.marks) != 0 {
		return nil, d.fail("stop with a stack of " + strconv.Itoa(len(d.stack)) + " values")
	}
	return d.stack[0], d.check(d.stack[0])
}

// step executes one opcode.
func (d *decoder) step(op byte) error {
	switch op {
	case opProto:
		return d.proto()
	case opMark:
		return d.mark()
	case opNone:
		return d.push(nil)
	case opNewtrue:
		return d.push(true)
	case opNewfalse:
		return d.push(false)
	case opBinint, opBinint1, opBinint2, opInt, opLong1, opLong4:
		return d.integer(op)
	case opBinfloat:
		b, err := d.take(8)
		if err != nil {
			return err
		}
		return d.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case opShortBinstring, opBinstring:
		return d.bytes(op)
	case opBinunicode:
		return d.unicode()
	case opEmptyTuple, opTuple1, opTuple2, opTuple3, opTuple:
		return d.tuple(op)
	case opEmptyList:
		return d.push(&List{})
	case opEmptyDict:
		return d.push(&Dict{})
	case opAppend, opAppends:
		return d.append(op)
	case opSetitem, opSetitems:
		return d.setitems(op)
	case opBinput, opLongBinput:
		return d.put(op)
	case opBinget, opLongBinget:
		return d.get(op)
	case opGlobal:
		return d.global()
	case opReduce:
		return d.reduce()
	case opPop:
		_, err := d.pop(1)
		return err
	case opPopMark:
		_, err := d.popMark()
		return err
	}
	d.pos--
	return d.deny("opcode 0x" + strconv.FormatUint(uint64(op), 16))
}

func (d *decoder) proto() error {
	b, err := d.take(1)
	if err != nil {
		return err
	}
	if b[0] > protocol {
		return d.deny("protocol " + strconv.Itoa(int(b[0])))
	}
	return nil
}

// take consumes n bytes of input.
func (d *decoder) take(n int) ([]byte, error) {
	if n > len(d.data)-d.pos {
		return nil, d.fail("truncated")
	}
	b := d.data[d.pos : d.pos+n]
	d.pos += n
	return b, nil
}

// line consumes a line, and returns it without its end.
func (d *decoder) line() ([]byte, error) {
	left := d.data[d.pos:]
	for i := 0; i < len(left) && i <= maxLine; i++ {
		if left[i] == '\n' {
			d.pos += i + 1
			return left[:i], nil
		}
	}
	if len(left) <= maxLine {
		return nil, d.fail("truncated")
	}
	return nil, d.fail("line too long")
}

// number consumes a little-endian unsigned number of size bytes, 1, 2 or 4.
func (d *decoder) number(size int) (uint32, error) {
	b, err := d.take(size)
	if err != nil {
		return 0, err
	}
	var n uint32
	for i := size - 1; i >= 0; i-- {
		n = n<<8 | uint32(b[i])
	}
	return n, nil
}

// push puts v on the stack.
func (d *decoder) push(v any) error {
	if len(d.stack) >= maxStack {
		return d.fail("stack too high")
	}
	d.stack = append(d.stack, v)
	return nil
}

// above counts the values over the last mark: those an opcode may touch.
func (d *decoder) above() int {
	if n := len(d.marks); n > 0 {
		return len(d.stack) - d.marks[n-1]
	}
	return len(d.stack)
}

// pop takes the last n values off the stack. They are valid until the next push.
func (d *decoder) pop(n int) ([]any, error) {
	if d.above() < n {
		return nil, d.fail("stack underflow")
	}
	at := len(d.stack) - n
	values := d.stack[at:]
	d.stack = d.stack[:at]
	return values, nil
}

func (d *decoder) mark() error {
	if len(d.marks) >= maxStack {
		return d.fail("too many marks")
	}
	d.marks = append(d.marks, len(d.stack))
	return nil
}

// popMark takes off everything over the last mark, and the mark.
func (d *decoder) popMark() ([]any, error) {
	if len(d.marks) == 0 {
		return nil, d.fail("no mark")
	}
	values, err := d.pop(d.above())
	d.marks = d.marks[:len(d.marks)-1]
	return values, err
}

// integer reads the opcodes that push an int, or with INT a bool.
func (d *decoder) integer(op byte) error {
	switch op {
	case opBinint1, opBinint2:
		n, err := d.number(1 + b2i(op == opBinint2))
		if err != nil {
			return err
		}
		return d.push(int64(n))
	case opBinint:
		n, err := d.number(4)
		if err != nil {
			return err
		}
		return d.push(int64(int32(n)))
	case opInt:
		return d.decimal()
	}
	size, err := d.number(1 + 3*b2i(op == opLong4))
	if err != nil {
		return err
	}
	if size > maxLong {
		return d.fail("integer too long")
	}
	b, err := d.take(int(size))
	if err != nil {
		return err
	}
	return d.push(longValue(b))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// decimal reads INT's line.
func (d *decoder) decimal() error {
	line, err := d.line()
	if err != nil {
		return err
	}
	s := string(line)
	if s == "00" || s == "01" {
		return d.push(s == "01")
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return d.push(n)
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return d.fail("bad integer " + strconv.Quote(s))
	}
	return d.push(n)
}

// longValue is the little-endian two's complement number b: int64 if it fits, else *big.Int.
func longValue(b []byte) any {
	negative := len(b) > 0 && b[len(b)-1]&0x80 != 0
	if len(b) <= 8 {
		var n uint64
		if negative {
			n = ^uint64(0)
		}
		for i := len(b) - 1; i >= 0; i-- {
			n = n<<8 | uint64(b[i])
		}
		return int64(n)
	}
	be := make([]byte, len(b))
	for i, c := range b {
		be[len(b)-1-i] = c
	}
	n := new(big.Int).SetBytes(be)
	if negative {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

// bytes reads BINSTRING and SHORT_BINSTRING: bytes, whoever wrote them (spec 4.1 rule 1).
func (d *decoder) bytes(op byte) error {
	size, err := d.number(1 + 3*b2i(op == opBinstring))
	if err != nil {
		return err
	}
	if size > math.MaxInt32 {
		return d.fail("negative length")
	}
	b, err := d.take(int(size))
	if err != nil {
		return err
	}
	return d.push(append(make([]byte, 0, len(b)), b...))
}

// unicode reads BINUNICODE.
func (d *decoder) unicode() error {
	size, err := d.number(4)
	if err != nil {
		return err
	}
	if size > maxSize {
		return d.fail("truncated")
	}
	b, err := d.take(int(size))
	if err != nil {
		return err
	}
	switch {
	case !utf8.Valid(b):
		s, ok := unescapeText(b)
		if !ok {
			return d.fail("text is not UTF-8")
		}
		return d.push(s)
	case d.text != "":
		return d.push(d.text[d.pos-len(b) : d.pos])
	}
	return d.push(string(b))
}

// emptyTuple is the one value of EMPTY_TUPLE, which every second call carries.
var emptyTuple any = Tuple{}

func (d *decoder) tuple(op byte) error {
	var items []any
	var err error
	switch op {
	case opEmptyTuple:
		return d.push(emptyTuple)
	case opTuple:
		items, err = d.popMark()
	default:
		items, err = d.pop(int(op-opTuple1) + 1)
	}
	if err != nil {
		return err
	}
	return d.push(append(make(Tuple, 0, len(items)), items...))
}

// items takes what one of the two forms of a filling opcode adds: n values, or all over the mark.
func (d *decoder) items(marked bool, n int) ([]any, error) {
	if marked {
		return d.popMark()
	}
	return d.pop(n)
}

// append reads APPEND and APPENDS.
func (d *decoder) append(op byte) error {
	items, err := d.items(op == opAppends, 1)
	if err != nil {
		return err
	}
	if d.above() == 0 {
		return d.fail("stack underflow")
	}
	list, ok := d.stack[len(d.stack)-1].(*List)
	if !ok {
		return d.fail("append to no list")
	}
	list.Items = append(list.Items, items...)
	return nil
}

// setitems reads SETITEM and SETITEMS.
func (d *decoder) setitems(op byte) error {
	items, err := d.items(op == opSetitems, 2)
	if err != nil {
		return err
	}
	if d.above() == 0 {
		return d.fail("stack underflow")
	}
	dict, ok := d.stack[len(d.stack)-1].(*Dict)
	if !ok || len(items)%2 != 0 {
		return d.fail("setitems without dict or value")
	}
	for i := 0; i < len(items); i += 2 {
		h, ok := dict.set(items[i], items[i+1])
		if !ok {
			return d.deny("unhashable dict key")
		}
		if err := d.charge(len(h.text)); err != nil {
			return err
		}
	}
	return nil
}

// memoGap is how far a memo number may run ahead of the dense part.
const memoGap = 16

// put reads BINPUT and LONG_BINPUT. Numbers are dense in all that real picklers write, but may be any.
func (d *decoder) put(op byte) error {
	number, err := d.number(1 + 3*b2i(op == opLongBinput))
	if err != nil {
		return err
	}
	if d.above() == 0 {
		return d.fail("stack underflow")
	}
	if d.puts++; d.puts > maxMemo {
		return d.fail("memo too large")
	}
	v := d.stack[len(d.stack)-1]
	if uint64(number) > uint64(len(d.memo)+memoGap) {
		if d.sparse == nil {
			d.sparse = make(map[uint32]any)
		}
		d.sparse[number] = v
		return nil
	}
	for uint64(number) >= uint64(len(d.memo)) {
		d.memo = append(d.memo, unset{})
	}
	d.memo[number] = v
	delete(d.sparse, number)
	return nil
}

// get reads BINGET and LONG_BINGET.
func (d *decoder) get(op byte) error {
	number, err := d.number(1 + 3*b2i(op == opLongBinget))
	if err != nil {
		return err
	}
	v, ok := d.sparse[number]
	if !ok {
		if uint64(number) >= uint64(len(d.memo)) || d.memo[number] == any(unset{}) {
			return d.fail("no memo entry " + strconv.FormatUint(uint64(number), 10))
		}
		v = d.memo[number]
	}
	switch v.(type) {
	case Tuple, *List, *Dict, Kwargs:
		d.shared = true
	}
	return d.push(v)
}
