package pickle

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "vectors", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func ptr[T any](v T) *T { return &v }

func list(items ...any) *List { return &List{Items: items} }

func numbers(n int) *List {
	l := &List{}
	for i := range n {
		l.Items = append(l.Items, int64(i))
	}
	return l
}

func manyTexts() *List {
	l := &List{}
	for i := range 300 {
		l.Items = append(l.Items, strconv.Itoa(i))
	}
	l.Items = append(l.Items, "x", "x")
	return l
}

var (
	binary4   = []byte{0, 0x7f, 0x80, 0xff}
	chainCall = Tuple{"host-1-2-3", "mymod", "Klass", "method", Tuple{int64(1), []byte{0xff}, "s"},
		Kwargs{NewDict("k", Blob("z"))}}
	sharedDict = NewDict("k", "v")
)

// vectors says what each file decodes to.
var vectors = map[string]any{
	"none": nil, "true": true, "false": false,
	"int_0": int64(0), "int_255": int64(255), "int_256": int64(256), "int_65535": int64(65535),
	"int_65536": int64(65536), "int_neg1": int64(-1), "int_2e31": int64(1) << 31,
	"int_2e40": int64(1) << 40, "int_neg_2e40": int64(-1) << 40,
	"float_1_5": 1.5,
	"str_empty": "", "str_ascii": "hello", "str_utf8": "é中\U0001F600",
	"surrogate":   "a\x80b",
	"bytes_empty": []byte{}, "bytes_bin": binary4,
	"list_of_bytes": list([]byte{}, []byte{0, 0xff}),
	"list_empty":    list(), "list_3": list(int64(1), "b", nil), "list_1001": numbers(1001),
	"tuple_0": Tuple{}, "tuple_1": Tuple{int64(1)}, "tuple_2": Tuple{int64(1), int64(2)},
	"tuple_3": Tuple{int64(1), int64(2), int64(3)}, "tuple_4": Tuple{int64(1), int64(2), int64(3), int64(4)},
	"dict_empty": NewDict(), "dict_1": NewDict("a", int64(1)), "dict_2": NewDict("a", int64(1), "b", list(int64(2))),
	"blob": Blob("\x00\xffblob"), "blob_empty": Blob{},
	"secret": Secret("hunter2"),
	"kwargs": Kwargs{NewDict("path", "/x", "n", int64(1))}, "kwargs_empty": Kwargs{NewDict()},
	"context_named":    ContextRef{ID: 1234, Name: ptr("golden")},
	"context_unnamed":  ContextRef{ID: 1234},
	"sender":           SenderRef{Context: 0, Handle: 1007},
	"callerror":        CallError("builtins.ValueError: boom"),
	"call_tuple":       Tuple{nil, "posix", nil, "getpid", Tuple{}, Kwargs{NewDict()}},
	"call_tuple_chain": chainCall,
	"service_tuple": Tuple{"mod.Service", "method", Kwargs{NewDict(
		"sender", SenderRef{Handle: 1007}, "context", ContextRef{ID: 1234, Name: ptr("golden")})}},
	"allocate_reply": Tuple{int64(2), int64(1002)},
	"module_missing": Tuple{"nomod", nil, nil, nil, Tuple{}},
	"shared_refs":    list("same", "same"),
	"shared_list":    Tuple{list(int64(1), int64(2)), list(int64(1), int64(2))},
	"shared_dict":    list(sharedDict, sharedDict, "k", "v"),
	"memo_over_255":  manyTexts(),

	"v033_bytes_empty": []byte{}, "v033_bytes_bin": binary4,

	"py27_bytes_empty": []byte{}, "py27_bytes_bin": binary4,
	"py27_list_of_bytes": list([]byte{}, []byte{0, 0xff}),
	"py27_str_utf8":      "é中\U0001F600",
	"py27_int_2e31":      int64(1) << 31, "py27_int_2e40": int64(1) << 40, "py27_int_neg_2e40": int64(-1) << 40,
	"py27_blob":             Blob("\x00\xffblob"),
	"py27_kwargs":           Kwargs{NewDict("path", "/x", "n", int64(1))},
	"py27_call_tuple_chain": chainCall,
	"py27_callerror":        CallError("builtins.ValueError: boom"),
	"py27_context_named":    ContextRef{ID: 1234, Name: ptr("golden")},
}

// denied are the vectors that must be refused, with the text of the refusal.
var denied = map[string]string{
	"denied_set":       `pickle: cannot unpickle '__builtin__'/'set'`,
	"denied_complex":   `pickle: cannot unpickle '__builtin__'/'complex'`,
	"denied_bytearray": `pickle: cannot unpickle '__builtin__'/'bytearray'`,
}

func TestVectorsAreAllInTheTable(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/pickle_*.hex")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "pickle_"), ".hex")
		_, good := vectors[name]
		_, bad := denied[name]
		if !good && !bad && name != "two_streams" {
			t.Errorf("%s is tested nowhere", name)
		}
	}
}

func TestVectorsDecode(t *testing.T) {
	for name, want := range vectors {
		t.Run(name, func(t *testing.T) {
			data := vector(t, "pickle_"+name)
			got, rest, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if len(rest) != 0 {
				t.Errorf("%d bytes left over", len(rest))
			}
			if !equal(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
			clear(data)
			if !equal(got, want) {
				t.Error("the value aliases the input")
			}
		})
	}
}

func TestVectorsSurviveEncoding(t *testing.T) {
	for name, want := range vectors {
		data, err := Append([]byte("before"), want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, rest, err := Decode(append(data, "after"...)[len("before"):])
		if err != nil || string(rest) != "after" || !equal(got, want) {
			t.Errorf("%s: got %#v, rest %q, %v", name, got, rest, err)
		}
	}
}

func TestVectorsDenied(t *testing.T) {
	for name, text := range denied {
		_, _, err := Decode(vector(t, "pickle_"+name))
		if !errors.Is(err, ErrDenied) || err.Error() != text {
			t.Errorf("%s: got %v, want %s", name, err, text)
		}
	}
}

func TestTwoPicklesInOnePayload(t *testing.T) {
	first, rest, err := Decode(vector(t, "pickle_two_streams"))
	if err != nil || !equal(first, Tuple{"pkg", "data.txt"}) {
		t.Fatalf("first: %#v, %v", first, err)
	}
	second, rest, err := Decode(rest)
	if err != nil || !equal(second, []byte("hello")) || len(rest) != 0 {
		t.Fatalf("second: %#v, rest %q, %v", second, rest, err)
	}
}

func TestSharedListIsOneList(t *testing.T) {
	v, _, err := Decode(vector(t, "pickle_shared_list"))
	if err != nil {
		t.Fatal(err)
	}
	pair := v.(Tuple)
	if pair[0].(*List) != pair[1].(*List) {
		t.Error("two lists where the pickle has one")
	}
}

// equal compares values of the profile; dicts by content, whatever their order.
func equal(a, b any) bool {
	switch a := a.(type) {
	case *Dict:
		b, ok := b.(*Dict)
		return ok && equalDict(a, b)
	case Kwargs:
		b, ok := b.(Kwargs)
		return ok && equalDict(a.Dict, b.Dict)
	case *List:
		b, ok := b.(*List)
		return ok && equalItems(a.Items, b.Items)
	case Tuple:
		b, ok := b.(Tuple)
		return ok && equalItems(a, b)
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	}
	return reflect.DeepEqual(a, b)
}

func equalItems(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalDict(a, b *Dict) bool {
	if a.Len() != b.Len() {
		return false
	}
	for key, value := range a.All() {
		if other, ok := b.Get(key); !ok || !equal(value, other) {
			return false
		}
	}
	return true
}
