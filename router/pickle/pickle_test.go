package pickle

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
)

// p joins the pieces of a pickle: opcodes as runes or bytes, text as it is.
func p(pieces ...any) []byte {
	out := []byte{opProto, protocol}
	for _, piece := range pieces {
		switch piece := piece.(type) {
		case int:
			out = append(out, byte(piece))
		case rune:
			out = append(out, byte(piece))
		case string:
			out = append(out, piece...)
		case []byte:
			out = append(out, piece...)
		}
	}
	return out
}

func repeat(n int, piece string) string { return strings.Repeat(piece, n) }

func TestMalformedPicklesAreRefused(t *testing.T) {
	kwargs := "cmitogen.core\nKwargs\n"
	tests := []struct {
		name   string
		data   []byte
		denied bool
	}{
		{"empty", nil, false},
		{"no stop", p('N'), false},
		{"stop on nothing", p('.'), false},
		{"two values", p('N', 'N', '.'), false},
		{"mark left over", p('N', '(', '.'), false},
		{"protocol 4", []byte{opProto, 4, 'N', '.'}, true},
		{"frame opcode", p(0x95, "\x00\x00\x00\x00\x00\x00\x00\x00", 'N', '.'), true},
		{"build", p('N', '}', 'b', '.'), true},
		{"newobj", p(0x81, '.'), true},
		{"inst", p("(ios\nsystem\n."), true},
		{"obj", p('(', 'N', 'o', '.'), true},
		{"ext1", p(0x82, 1, '.'), true},
		{"persid", p("Pid\n."), true},
		{"binpersid", p('N', 'Q', '.'), true},
		{"dup", p('N', '2', '.'), true},
		{"text long", p("L1L\n."), true},
		{"global never called", p("cos\nsystem\n0N."), true},
		{"global with odd name", p("cmitogen.core\nRouter\n."), true},
		{"global module only", p("c_codecs\nencode"), false},
		{"global line endless", p("c", repeat(1000, "x")), false},
		{"global as a value", p(kwargs, '.'), true},
		{"global inside", p(kwargs, 0x85, '.'), true},
		{"call of a value", p('N', ')', 'R', '.'), true},
		{"call without tuple", p(kwargs, '}', 'R', '.'), false},
		{"kwargs of list", p(kwargs, ']', 0x85, 'R', '.'), true},
		{"kwargs with int key", p(kwargs, "}K\x01Ns", 0x85, 'R', '.'), true},
		{"kwargs filled later", p(kwargs, "}q\x00\x85R", "h\x00K\x01Ns", 0x86, '.'), true},
		{"binget of nothing", p("h\x05."), false},
		{"binget of a gap", p("Nq\x05h\x04\x86."), false},
		{"binput on nothing", p("q\x00."), false},
		{"binput under mark", p("N(q\x00."), false},
		{"pop on nothing", p("0N."), false},
		{"pop through mark", p("N(0N."), false},
		{"pop_mark without", p("1N."), false},
		{"tuple2 of one", p("N\x86."), false},
		{"tuple without mark", p("Nt."), false},
		{"append to none", p("NNa."), false},
		{"append to nothing", p("Na."), false},
		{"appends to dict", p("}(Ne."), false},
		{"setitem to list", p("]NNs."), false},
		{"setitems odd", p("}(Nu."), false},
		{"list as key", p("}]Ns."), true},
		{"dict as key", p("}}Ns."), true},
		{"float as key", p("}G\x00\x00\x00\x00\x00\x00\x00\x00Ns."), true},
		{"tuple with list as key", p("}]\x85Ns."), true},
		{"global as key", p("}", kwargs, "Ns."), true},
		{"binunicode cut", p("X\xff\xff\xff\xffabc."), false},
		{"binunicode not utf-8", p("X\x01\x00\x00\x00\xff."), false},
		{"binunicode overlong", p("X\x02\x00\x00\x00\xc0\x80."), false},
		{"binstring negative", p("T\xff\xff\xff\xffabc."), false},
		{"binstring cut", p("T\x7f\x00\x00\x00abc."), false},
		{"short_binstring cut", p("U\x09abc."), false},
		{"long1 cut", p("\x8a\x05ab."), false},
		{"long4 huge", p("\x8b\xff\xff\xff\x7fab."), false},
		{"long4 negative", p("\x8b\xff\xff\xff\xffab."), false},
		{"float cut", p("G\x00."), false},
		{"int empty", p("I\n."), false},
		{"int text", p("I0x10\n."), false},
		{"int underscore", p("I1_0\n."), false},
		{"int endless", p("I", repeat(5000, "1"), "\n."), false},
		{"bytes of wide text", p("c_codecs\nencode\n", "X\x02\x00\x00\x00\xc4\x80", 0x85, "R."), true},
		{"context negative", p("cmitogen.core\n_unpickle_context\nJ\xff\xff\xff\xffN\x86R."), true},
		{"context named by int", p("cmitogen.core\n_unpickle_context\nK\x01K\x01\x86R."), true},
		{"context with long name", p("cmitogen.core\n_unpickle_context\nK\x01X\x64\x00\x00\x00", repeat(100, "n"), "\x86R."), true},
		{"sender handle 0", p("cmitogen.core\n_unpickle_sender\nK\x01K\x00\x86R."), true},
		{"sender beyond 32 bits", p("cmitogen.core\n_unpickle_sender\nK\x01\x8a\x05\x00\x00\x00\x00\x01\x86R."), true},
		{"call error of bytes", p("cmitogen.core\n_unpickle_call_error\nU\x01a\x85R."), true},
		{"call error too long", p("cmitogen.core\nCallError\nX\x10\x27\x00\x00", repeat(10000, "e"), "\x85R."), true},
		{"blob of text", p("cmitogen.core\nBlob\nX\x01\x00\x00\x00a\x85R."), true},
		{"too deep by tuples", p(')', repeat(100, "\x85"), '.'), false},
		{"too deep by lists", p(repeat(100, "]"), repeat(99, "a"), '.'), false},
		{"list in itself", p("]q\x00h\x00a."), false},
		{"tuple in itself", p("]q\x00h\x00\x85q\x01a0h\x01."), false},
		{"stack too high", p('(', repeat(maxStack+1, "N"), "t."), false},
		{"marks too many", p(repeat(maxStack+1, "("), "N."), false},
		{"memo too large", p('N', repeat(maxMemo+1, "q\x00"), '.'), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, rest, err := Decode(tt.data)
			if err == nil || v != nil || rest != nil {
				t.Fatalf("got %v, %q, %v", v, rest, err)
			}
			if errors.Is(err, ErrDenied) != tt.denied {
				t.Errorf("denied is %v: %v", !tt.denied, err)
			}
			if !strings.HasPrefix(err.Error(), "pickle: ") || len(err.Error()) > 600 {
				t.Errorf("text %q", err)
			}
		})
	}
}

// Each of these is short, and would be gigantic or endless to make, hash or walk.
func TestMemoIsNoAmplifier(t *testing.T) {
	half := 512 << 10
	text := fmt.Sprintf("X%c%c%c%c%s", half&255, half>>8&255, half>>16&255, half>>24, repeat(half, "a"))
	tests := map[string][]byte{
		"doubling":      p(")q\x00", repeat(60, "h\x000h\x00h\x00\x86q\x00"), '.'),
		"doubling keys": p("}K\x01q\x00", repeat(60, "h\x00\x86q\x00"), "Ns."),
		"encode":        p(text, "q\x000c_codecs\nencode\nq\x01(", repeat(50000, "h\x01h\x00\x85R"), "t."),
		"text keys":     p(text, "q\x000}(", repeat(50000, "h\x00N"), "u."),
		"text in tuple": p(text, "q\x000(", repeat(50000, "h\x00"), "t."),
		"text in key":   p(text, "q\x000}(", repeat(60, "h\x00"), "tNs(", repeat(61, "h\x00"), "tNs."),
		"call errors":   p(text, "q\x000cmitogen.core\nSecret\nq\x01(", repeat(50000, "h\x01h\x00\x85R"), "t."),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			if v, _, err := Decode(data); err == nil {
				t.Errorf("accepted as %T", v)
			}
		})
	}
}

func TestDeepestAndSharedValuesAreAccepted(t *testing.T) {
	for name, data := range map[string][]byte{
		"depth":         p(')', repeat(63, "\x85"), '.'),
		"pop":           p("NN0."),
		"pop_mark":      p("N(NN1."),
		"refetched":     p("(]q\x00(K\x01eh\x00h\x00h\x00t."),
		"wild memo":     p("Nr\xff\xff\xff\xffj\xff\xff\xff\xff\x86."),
		"memo replaced": p("Nq\x00K\x01q\x00h\x00\x87."),
		"no proto":      []byte("N."),
	} {
		v, _, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := Append(nil, v); err != nil {
			t.Errorf("%s does not encode again: %v", name, err)
		}
	}
}

func TestIntegers(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 3000)
	big64 := new(big.Int).Lsh(big.NewInt(1), 64)
	tests := []struct{ in, want any }{
		{int8(-128), int64(-128)}, {int16(-129), int64(-129)}, {int32(math.MinInt32), int64(math.MinInt32)},
		{int(-1) << 31, int64(math.MinInt32)}, {int64(math.MinInt32) - 1, int64(math.MinInt32) - 1},
		{int64(math.MaxInt64), int64(math.MaxInt64)}, {int64(math.MinInt64), int64(math.MinInt64)},
		{uint8(255), int64(255)}, {uint16(65535), int64(65535)}, {uint32(math.MaxUint32), int64(math.MaxUint32)},
		{uint(7), int64(7)}, {uint64(math.MaxUint64), new(big.Int).SetUint64(math.MaxUint64)},
		{uint(math.MaxUint), new(big.Int).SetUint64(math.MaxUint)},
		{big.NewInt(-5), int64(-5)}, {big64, big64}, {new(big.Int).Neg(big64), new(big.Int).Neg(big64)},
		{new(big.Int).Lsh(big.NewInt(-1), 63), int64(math.MinInt64)},
		{new(big.Int).Lsh(big.NewInt(-1), 71), new(big.Int).Lsh(big.NewInt(-1), 71)},
		{huge, huge}, {new(big.Int).Neg(huge), new(big.Int).Neg(huge)},
	}
	for _, tt := range tests {
		data, err := Append(nil, tt.in)
		if err != nil {
			t.Errorf("%v: %v", tt.in, err)
			continue
		}
		got, _, err := Decode(data)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want) || fmt.Sprintf("%T", got) != fmt.Sprintf("%T", tt.want) {
			t.Errorf("%v: got %T %v, %v", tt.in, got, got, err)
		}
	}
	for _, line := range []string{"I-9223372036854775809\n.", "I12345678901234567890\n."} {
		if v, _, err := Decode(p(line)); err != nil || fmt.Sprintf("%T", v) != "*big.Int" {
			t.Errorf("%q: %v, %v", line, v, err)
		}
	}
	for line, want := range map[string]any{"I00\n.": false, "I01\n.": true, "I0\n.": int64(0), "I-7\n.": int64(-7)} {
		if v, _, err := Decode(p(line)); err != nil || v != want {
			t.Errorf("%q: %v, %v", line, v, err)
		}
	}
	if v, _, err := Decode(p("\x8a\x00.")); err != nil || v != int64(0) {
		t.Errorf("empty long: %v, %v", v, err)
	}
	if _, err := Append(nil, new(big.Int).Lsh(big.NewInt(1), 8*maxLong)); err == nil {
		t.Error("an integer nobody reads was written")
	}
}

func TestTextOfAnyBytesSurvives(t *testing.T) {
	for _, s := range []string{
		"", "plain", "é中\U0001F600", "caf\xe9", "\xff\xfe\x80", "a\x00b",
		"\xed\xb2\x80",         // U+DC80 spelled out: three raw bytes
		"\xed\xa0\x80",         // U+D800, a surrogate that is no escape
		"\xed\xa0\x80\xe9\xed", // mixed and cut off
		"\xf0\x9f\x98",         // a cut character
	} {
		data, err := Append(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := Decode(data)
		if err != nil || got != s {
			t.Errorf("%q came back as %q, %v", s, got, err)
		}
	}
}

func TestAppendTakesGoValues(t *testing.T) {
	tests := []struct{ in, want any }{
		{[]string{"a", "b"}, list("a", "b")},
		{[]any{1, nil}, list(int64(1), nil)},
		{List{Items: []any{true}}, list(true)},
		{(*List)(nil), list()},
		{(*Dict)(nil), NewDict()},
		{Kwargs{}, Kwargs{NewDict()}},
		{Tuple(nil), Tuple{}},
		{[]byte(nil), []byte{}},
		{float32(0.5), 0.5},
		{map[string]string{"b": "2", "a": "1"}, NewDict("a", "1", "b", "2")},
		{map[string]any{"z": []string{}, "y": 1}, NewDict("y", int64(1), "z", list())},
		{bytes.Repeat([]byte("x"), 300), bytes.Repeat([]byte("x"), 300)},
		{numbers(2500), numbers(2500)},
	}
	for _, tt := range tests {
		data, err := Append(nil, tt.in)
		if err != nil {
			t.Errorf("%T: %v", tt.in, err)
			continue
		}
		if got, _, err := Decode(data); err != nil || !equal(got, tt.want) {
			t.Errorf("%T: got %#v, %v", tt.in, got, err)
		}
	}
}

func TestAppendRefusesWhatReadersWould(t *testing.T) {
	loop := list()
	loop.Items = append(loop.Items, Tuple{loop})
	for name, v := range map[string]any{
		"struct":          struct{}{},
		"channel inside":  list(make(chan int)),
		"nil big":         (*big.Int)(nil),
		"loop":            loop,
		"long name":       ContextRef{ID: 1, Name: ptr(repeat(100, "n"))},
		"handle 0":        SenderRef{Context: 1},
		"long error":      CallError(repeat(10000, "e")),
		"kwargs by int":   Kwargs{NewDict(1, 2)},
		"kwargs by bytes": Kwargs{NewDict([]byte("k"), 2)},
	} {
		before := []byte("before")
		if got, err := Append(before, v); err == nil || string(got) != "before" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestDict(t *testing.T) {
	d := NewDict("a", 1, "b", 2, "a", 3)
	d.Set(Tuple{1, "x", nil, []byte("y")}, "tuple")
	d.Set([]byte("a"), "bytes")
	d.Set(nil, "none")
	d.Set(true, "true")
	d.Set(uint16(1), "one")
	for i := range 100 {
		d.Set(1000+i, i)
	}
	for _, tt := range []struct{ key, want any }{
		{"a", 3}, {"b", 2}, {Tuple{int64(1), "x", nil, []byte("y")}, "tuple"}, {[]byte("a"), "bytes"},
		{nil, "none"}, {true, "true"}, {1, "one"}, {int64(1050), 50},
	} {
		if got, ok := d.Get(tt.key); !ok || got != tt.want {
			t.Errorf("%v: got %v, %v", tt.key, got, ok)
		}
	}
	for _, key := range []any{"c", false, 2, Tuple{1, "x"}, Tuple{"1", "x"}, 1.5, list(), []byte("b")} {
		if got, ok := d.Get(key); ok {
			t.Errorf("%v: got %v", key, got)
		}
	}
	if d.Len() != 107 {
		t.Errorf("%d entries", d.Len())
	}
	var keys []any
	for key := range d.All() {
		if keys = append(keys, key); len(keys) == 2 {
			break
		}
	}
	if keys[0] != "a" || keys[1] != "b" {
		t.Errorf("order %v", keys)
	}
	var none *Dict
	if _, ok := none.Get("a"); ok || none.Len() != 0 {
		t.Error("a nil dict is not empty")
	}
	for range none.All() {
		t.Error("a nil dict has entries")
	}
}

func TestDictPanicsOnWhatIsNoKey(t *testing.T) {
	for name, f := range map[string]func(){
		"list": func() { NewDict().Set(list(), 1) },
		"odd":  func() { NewDict("a") }, //nolint:staticcheck // on purpose
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	for _, format := range []string{"%v", "%s", "%#v", "%+v"} {
		out := fmt.Sprintf(format, []any{Secret("hunter2"), Blob("hunter2"), list(Secret("hunter2")).Items})
		if strings.Contains(out, "hunter2") {
			t.Errorf("%s: %s", format, out)
		}
	}
}

func TestCallTakesFewAllocations(t *testing.T) {
	data := vector(t, "pickle_call_tuple")
	n := leastAllocs(func() {
		if _, _, err := Decode(data); err != nil {
			t.Fatal(err)
		}
	})
	if n > 10 {
		t.Errorf("decoding a call takes %v allocations", n)
	}
	buf := make([]byte, 0, 512)
	call := Tuple{nil, "posix", nil, "getpid", Tuple{}, Kwargs{}}
	n = leastAllocs(func() { _, _ = Append(buf, call) })
	if n > 1 {
		t.Errorf("encoding a call takes %v allocations", n)
	}
}

// leastAllocs is what f allocates. testing counts the whole process, in which a collection may allocate as well.
func leastAllocs(f func()) float64 {
	least := testing.AllocsPerRun(20, f)
	for range 9 {
		least = min(least, testing.AllocsPerRun(20, f))
	}
	return least
}

func BenchmarkDecodeCall(b *testing.B) {
	data := vector(b, "pickle_call_tuple_chain")
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = Decode(data)
	}
}

func FuzzDecode(f *testing.F) {
	for name := range vectors {
		f.Add(vector(f, "pickle_"+name))
	}
	for name := range denied {
		f.Add(vector(f, "pickle_"+name))
	}
	f.Add(p("]q\x00h\x00a."))
	f.Add(p(")q\x00", repeat(60, "h\x000h\x00h\x00\x86q\x00"), '.'))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, rest, err := Decode(data)
		if err != nil {
			if v != nil || rest != nil {
				t.Fatal("an error and a value")
			}
			return
		}
		again, err := Append(nil, v)
		if err != nil {
			t.Fatalf("decoded value does not encode: %v", err)
		}
		w, rest, err := Decode(again)
		if err != nil || len(rest) != 0 {
			t.Fatalf("encoded value does not decode: %v", err)
		}
		third, err := Append(nil, w)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("not stable: %q, %q, %v", again, third, err)
		}
	})
}
