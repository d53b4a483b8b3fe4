package pickle

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// reader is the least Python that reads the profile as Mitogen does, and prints what it read.
const reader = `
import sys, io, pickle, codecs
class Blob(bytes): pass
class Secret(str): pass
class Kwargs(dict): pass
def tagged(tag):
    return lambda *args: (tag,) + args
ALLOWED = {
    ('mitogen.core', 'Blob'): Blob, ('mitogen.core', 'Secret'): Secret, ('mitogen.core', 'Kwargs'): Kwargs,
    ('mitogen.core', '_unpickle_context'): tagged('Context'), ('mitogen.core', '_unpickle_sender'): tagged('Sender'),
    ('mitogen.core', '_unpickle_call_error'): tagged('CallError'),
    ('_codecs', 'encode'): lambda s, e: s.encode('latin1'), ('__builtin__', 'bytes'): bytes,
}
class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        return ALLOWED[module, name]
def show(v):
    if isinstance(v, (Blob, Secret, Kwargs)):
        base = {Blob: bytes, Secret: str, Kwargs: dict}[type(v)]
        return type(v).__name__ + '(' + show(base(v)) + ')'
    if isinstance(v, dict):
        return '{' + ', '.join(show(k) + ': ' + show(x) for k, x in v.items()) + '}'
    if isinstance(v, list):
        return '[' + ', '.join(map(show, v)) + ']'
    if isinstance(v, tuple):
        return '(' + ', '.join(map(show, v)) + ')'
    return ascii(v)
for line in sys.stdin:
    print(show(Reader(io.BytesIO(bytes.fromhex(line)), encoding='bytes').load()))
`

func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("python3 is missing")
	}
	t.Skip("python3 is missing")
	return ""
}

// readByPython returns what Python makes of each pickle, one line each.
func readByPython(t *testing.T, pickles [][]byte) []string {
	t.Helper()
	var in bytes.Buffer
	for _, data := range pickles {
		in.WriteString(hex.EncodeToString(data) + "\n")
	}
	cmd := exec.Command(python(t), "-ISc", reader)
	cmd.Stdin = &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, &stderr)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// What we write for each vector's value reads in Python as the vector itself does.
func TestPythonReadsWhatWeWrite(t *testing.T) {
	var names []string
	var pickles [][]byte
	for name, v := range vectors {
		data, err := Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		pickles = append(pickles, vector(t, "pickle_"+name), data)
	}
	lines := readByPython(t, pickles)
	if len(lines) != len(pickles) {
		t.Fatalf("%d lines for %d pickles", len(lines), len(pickles))
	}
	for i, name := range names {
		if lines[2*i] != lines[2*i+1] {
			t.Errorf("%s: original %.200s, ours %.200s", name, lines[2*i], lines[2*i+1])
		}
	}
}

func TestPythonReadsGoValues(t *testing.T) {
	tests := []struct {
		in   any
		want string
	}{
		{[]string{"a", "é"}, `['a', '\xe9']`},
		{map[string]any{"n": int64(1) << 33, "b": []byte("\x00\xff")}, `{'b': b'\x00\xff', 'n': 8589934592}`},
		{int64(-1) << 40, `-1099511627776`},
		{-128, `-128`}, {-32769, `-32769`}, {-1 << 31, `-2147483648`}, {int64(-1)<<31 - 1, `-2147483649`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{"caf\xe9", `'caf\udce9'`},
		{Tuple{nil, true, false, 2.5}, `(None, True, False, 2.5)`},
		{NewDict(Tuple{1, "a"}, list(), nil, 0), `{(1, 'a'): [], None: 0}`},
	}
	var pickles [][]byte
	for _, tt := range tests {
		data, err := Append(nil, tt.in)
		if err != nil {
			t.Fatal(err)
		}
		pickles = append(pickles, data)
	}
	for i, line := range readByPython(t, pickles) {
		if line != tests[i].want {
			t.Errorf("%v: got %s, want %s", tests[i].in, line, tests[i].want)
		}
	}
}
