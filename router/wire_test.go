package router

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vector reads one captured byte string.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "vectors", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryHeaderFieldRoundTrips(t *testing.T) {
	want := header{
		magic: EncodingBinary, dst: 0x01020304, src: 0x05060708, auth: 0x090a0b0c,
		handle: 0x0d0e0f10, replyTo: 0x11121314, length: 0x15161718,
	}
	var b [headerLen]byte
	putHeader(b[:], &want)
	if got := hex.EncodeToString(b[:]); got != "4d4b0102030405060708090a0b0c0d0e0f101112131415161718" {
		t.Errorf("header is %s", got)
	}
	var got header
	if !parseHeader(b[:], &got) || got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOnlyThreeMagicsAreFrames(t *testing.T) {
	var b [headerLen]byte
	var h header
	for magic := range 1 << 16 {
		setMagic(b[:], uint16(magic))
		want := magic == 0x4d49 || magic == 0x4d4a || magic == 0x4d4b
		if parseHeader(b[:], &h) != want {
			t.Errorf("magic %#x accepted: %v", magic, !want)
		}
	}
}

func TestCapturedFramesParse(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.hex")
	if err != nil || len(files) < 90 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".hex")
		if name == "head_stream_up" {
			continue
		}
		b := vector(t, name)
		var h header
		if !parseHeader(b, &h) || int(h.length) != len(b)-headerLen {
			t.Errorf("%s: %+v for %d bytes", name, h, len(b))
		}
		again := make([]byte, headerLen)
		putHeader(again, &h)
		if string(again) != string(b[:headerLen]) {
			t.Errorf("%s: header comes back as %x", name, again)
		}
	}
}

func TestReservedHandlesAreNamedAndDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for h, name := range handleNames {
		if h.String() != name {
			t.Errorf("handle %d prints as %s", uint32(h), h)
		}
		if h != deadMark && !strings.Contains(string(page), "| "+h.number()+" | "+name+" |") {
			t.Errorf("docs/protocol.md has no row for %d %s", uint32(h), name)
		}
	}
	if Handle(1000).String() != "1000" {
		t.Errorf("a dynamic handle prints as %s", Handle(1000))
	}
}

func (h Handle) number() string { return ContextID(h).String() }

func TestStreamsAreFlowsOfTheirOwn(t *testing.T) {
	data := header{src: 7, handle: streamBit | 1, replyTo: streamBit | 2}
	if got := flowOf(&data); got != (flowKey{Src: 7, Handle: streamBit | 2}) {
		t.Errorf("a stream frame is in flow %v", got)
	}
	dead := header{src: 7, handle: streamBit | 1, replyTo: deadMark}
	call := header{src: 7, handle: HandleCallFunction, replyTo: 1000}
	if flowOf(&dead) != (flowKey{}) || flowOf(&call) != (flowKey{}) {
		t.Error("a message that is no stream frame has a flow of its own")
	}
}
