package bootstrap

import (
	"bytes"
	"context"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func FuzzParseMarker(f *testing.F) {
	for _, line := range []string{
		"motd", marker, marker + "hello Linux x86_64 cached\r", marker + "hello Linux aarch64 need 123 gzip",
		marker + "hello Linux x86_64 none", marker + "hello  none", marker + "again 5 raw", marker + "fail no place",
		marker + "ready 1 -", marker + "ready 1 a,b", marker + "ready 1", marker + "hello a b need -1 raw",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		switch m := parseMarker(line); m.kind {
		case noMarker:
			if strings.HasPrefix(line, marker) {
				t.Error("marker not seen")
			}
		case helloNeed, again:
			if m.size <= 0 {
				t.Errorf("size %d", m.size)
			}
		case announced:
			var b bytes.Buffer
			if Announce(&b, m.text, m.caps) != nil {
				return // empty words between commas
			}
			if again := parseMarker(strings.TrimSpace(b.String())); !reflect.DeepEqual(again, m) {
				t.Errorf("%+v, again %+v", m, again)
			}
		}
	})
}

func FuzzParseAgentArgs(f *testing.F) {
	for _, c := range []Config{{}, {ID: 1<<32 - 1, ParentIDs: []uint32{1, 0}, Unidirectional: true, MaxMessage: 1 << 20, RemoteName: "it's=me\x00ü", NoCache: true, Debug: true, Offer: true}} {
		a := c.agentArgs()
		f.Add(a[0], a[1], a[2], a[3])
	}
	f.Add("01", "-,", "m=0", "n:=0")
	f.Fuzz(func(t *testing.T, id, parents, flags, name string) {
		c, err := ParseAgentArgs([]string{id, parents, flags, name})
		if err != nil {
			return
		}
		again, err := ParseAgentArgs(c.agentArgs())
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("%+v, again %+v, %v", c, again, err)
		}
	})
}

func FuzzRemoteName(f *testing.F) {
	f.Add("it's me@host:123")
	f.Add("=3D\n\\!$(x)\xff")
	f.Fuzz(func(t *testing.T, name string) {
		word := escape(name)
		if strings.Trim(word, plainBytes+"=") != "" {
			t.Errorf("escaped as %q", word)
		}
		if again, ok := unescape(word); !ok || again != name {
			t.Errorf("%q came back as %q", name, again)
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	f.Add("linux/amd64 " + strings.Repeat("a", 64) + " 5 " + strings.Repeat("0", 64) + " 3\n")
	f.Add("\n\n")
	f.Add("linux/amd64 x 5 y 3")
	f.Fuzz(func(t *testing.T, text string) {
		index, err := parseIndex(text)
		if err != nil {
			return
		}
		for p, l := range index {
			if q, again, ok := parseIndexLine(strings.TrimSuffix(l.format(p), "\n")); !ok || q != p || again != l {
				t.Errorf("%v %v, again %v %v", p, l, q, again)
			}
		}
	})
}

// Whatever the far side prints, Start ends with it, and keeps little of it.
func FuzzStart(f *testing.F) {
	hello := marker + "hello Linux x86_64 "
	f.Add([]byte("motd\n"+hello+"cached\n"+marker+"ready 1 a,b\nframes"), true)
	f.Add([]byte(hello+"need 9 raw\n"+marker+"again 9 raw\n"+marker+"ready 1 -\n"), false)
	f.Add([]byte(hello+"need 9 raw\n"+marker+"fail no\n"), false)
	f.Add([]byte(strings.Repeat("x\n", 300)+strings.Repeat("y", 5000)), true)
	f.Fuzz(func(t *testing.T, printed []byte, pty bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		passed := 0
		opt := Options{PTY: pty, Noise: func(line string) { passed++ }}
		rw := readWriter{bytes.NewReader(printed), io.Discard}
		r, err := Start(ctx, rw, tiny, Config{}, opt)
		if err == nil {
			rest, err := io.ReadAll(afterReady(r, rw))
			if err != nil || !bytes.HasSuffix(printed, rest) {
				t.Errorf("rest %q, %v", rest, err)
			}
			return
		}
		e, ok := err.(*StageError)
		if !ok || ctx.Err() != nil {
			t.Fatalf("%T %v", err, err)
		}
		if len(e.Tail) != min(passed, tailLines) {
			t.Errorf("tail has %d lines of %d", len(e.Tail), passed)
		}
		for _, line := range e.Tail {
			if len(line) > tailWidth || line == "" {
				t.Errorf("line of %d bytes in the tail", len(line))
			}
		}
		for _, r := range err.Error() {
			if r < ' ' || r == 0x7f {
				t.Errorf("control character in %q", err.Error())
			}
		}
	})
}
