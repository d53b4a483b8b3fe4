package router

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/iotest"

	"fakessh/router/pickle"
)

// makeFrame is a frame of n payload bytes that tell it apart.
func makeFrame(mark byte, n int) []byte {
	h := header{magic: EncodingLegacy, dst: 1, handle: 1000, length: uint32(n)}
	return newFrame(&h, bytes.Repeat([]byte{mark}, n))
}

// someFrames covers the borders: empty, a header's length, the read buffer's sizes, larger than anything pooled.
func someFrames() (frames [][]byte, wire []byte) {
	for i, n := range []int{0, 1, 25, 26, 27, 4 << 10, readStart - headerLen, readStart, 32768, directRead - 1, directRead, 131046, readBuffer, readBuffer + 1, trustedSize, trustedSize + 1, 3 * trustedSize, 0} {
		f := makeFrame(byte(i), n)
		frames, wire = append(frames, f), append(wire, f...)
	}
	return frames, wire
}

func TestFramesSurviveAnyCutting(t *testing.T) {
	frames, wire := someFrames()
	readers := map[string]func(io.Reader) io.Reader{
		"whole":          func(r io.Reader) io.Reader { return r },
		"halves":         iotest.HalfReader,
		"error with end": iotest.DataErrReader,
		"pipe":           func(r io.Reader) io.Reader { return &chunkReader{r: r, n: 65536} },
		"odd":            func(r io.Reader) io.Reader { return &chunkReader{r: r, n: 1021} },
	}
	for name, cut := range readers {
		in := frameReader{r: cut(bytes.NewReader(wire)), max: 1 << 30}
		var h header
		for i, want := range frames {
			got, err := in.next(&h)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: frame %d of %d bytes: %d bytes, %v", name, i, len(want), len(got), err)
			}
			putBuf(got)
		}
		if _, err := in.next(&h); err != io.EOF {
			t.Errorf("%s: after the last frame: %v", name, err)
		}
	}
}

// chunkReader gives at most n bytes at once.
type chunkReader struct {
	r io.Reader
	n int
}

func (c *chunkReader) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func TestStreamCutInsideOfAMessageIsTold(t *testing.T) {
	f := makeFrame(1, 100)
	for _, n := range []int{1, headerLen - 1, headerLen, headerLen + 1, len(f) - 1} {
		in := frameReader{r: bytes.NewReader(f[:n]), max: 1000}
		if _, err := in.next(&header{}); err != errCutShort {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestJunkIsCorruption(t *testing.T) {
	in := frameReader{r: bytes.NewReader(bytes.Repeat([]byte("x"), headerLen)), max: 1000}
	if _, err := in.next(&header{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("junk of header length: %v", err)
	}
}

func TestHeaderThatAnnouncesTooMuchIsRefused(t *testing.T) {
	f := makeFrame(1, 1001)
	in := frameReader{r: bytes.NewReader(f), max: 1000}
	_, err := in.next(&header{})
	if !errors.Is(err, ErrTooLarge) || err.Error() != "message too large: 1001 bytes announced, 1000 allowed" {
		t.Errorf("1001 of 1000 bytes: %v", err)
	}
}

func TestAnnouncedSizeAloneTakesNoMemory(t *testing.T) {
	h := header{magic: EncodingLegacy, length: 1 << 30}
	b := make([]byte, headerLen)
	putHeader(b, &h)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in := frameReader{r: bytes.NewReader(b), max: 1 << 30}
	if _, err := in.next(&header{}); err != errCutShort {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2*trustedSize {
		t.Errorf("a header alone cost %d bytes", got)
	}
}

func TestReaderThatGivesNothingEnds(t *testing.T) {
	in := frameReader{r: emptyReader{}, max: 1000}
	if _, err := in.next(&header{}); err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// recorder counts writes.
type recorder struct {
	bytes.Buffer
	writes int
	fail   error
}

func (r *recorder) Write(p []byte) (int, error) {
	r.writes++
	if r.fail != nil {
		return 0, r.fail
	}
	return r.Buffer.Write(p)
}

func TestWriterKeepsOrderAndJoinsSmallFrames(t *testing.T) {
	var frames []frame
	var want []byte
	for i, n := range []int{10, 20, 30, 40000, 50, 60, 5000, 70000, 1, 2} {
		f := makeFrame(byte(i), n)
		frames, want = append(frames, frame{f}), append(want, f...)
	}
	var out recorder
	w := newBatchWriter(&out)
	for range 2 {
		out.Reset()
		out.writes = 0
		n, err := w.write(frames)
		if err != nil || n != int64(len(want)) || !bytes.Equal(out.Bytes(), want) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if out.writes != 6 {
			t.Errorf("%d writes, want 6", out.writes)
		}
	}
}

func TestVectoredWriteKeepsOrder(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	frames, wire := someFrames()
	got := make([]byte, len(wire))
	done := make(chan error)
	go func() { _, err := io.ReadFull(b, got); done <- err }()
	batch := make([]frame, len(frames))
	for i := range frames {
		batch[i] = frame{frames[i]}
	}
	n, err := newBatchWriter(a).write(batch)
	if err != nil || n != int64(len(wire)) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if err := <-done; err != nil || !bytes.Equal(got, wire) {
		t.Errorf("other bytes arrived, %v", err)
	}
}

func TestCapturedConversationReadsThrough(t *testing.T) {
	b := vector(t, "head_stream_up")
	start := bytes.Index(b, []byte("MITO002\n"))
	if start < 0 {
		t.Fatal("no ready marker in the capture")
	}
	in := frameReader{r: &chunkReader{r: bytes.NewReader(b[start+len("MITO002\n"):]), n: 100}, max: masterMessage}
	seen := map[Handle]int{}
	for {
		var h header
		buf, err := in.next(&h)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[h.handle]++
		putBuf(buf)
	}
	for _, h := range []Handle{HandleForwardLog, HandleAddRoute, HandleGetModule, HandleAllocateID} {
		if seen[h] == 0 {
			t.Errorf("no %s in the capture: %v", h, seen)
		}
	}
}

func TestOldPeersGetOnlyTheLegacyMagic(t *testing.T) {
	h := header{magic: EncodingPickle, handle: 1000}
	buf := downgrade(&h, newFrame(&h, nil))
	if h.magic != EncodingLegacy || buf[1] != 0x49 {
		t.Errorf("a pickle goes out as %x", buf[:2])
	}
	want := vector(t, "v033_file_chunk")
	chunk := vector(t, "head_file_chunk")
	if !parseHeader(chunk, &h) {
		t.Fatal("capture")
	}
	got := downgrade(&h, bytes.Clone(chunk))
	gotValue, err := (&Message{Data: got[headerLen:]}).Value()
	if err != nil {
		t.Fatal(err)
	}
	wantValue, err := (&Message{Data: want[headerLen:]}).Value()
	if err != nil {
		t.Fatal(err)
	}
	if string(blobBytes(t, gotValue)) != string(blobBytes(t, wantValue)) || int(h.length) != len(got)-headerLen {
		t.Errorf("a raw chunk goes out as %v", gotValue)
	}
}

func blobBytes(t *testing.T, v any) []byte {
	t.Helper()
	b, ok := v.(pickle.Blob)
	if !ok {
		t.Fatalf("%T is no Blob", v)
	}
	return b
}
