package router

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// socketLink returns both ends of a small socket.
func socketLink(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
		f := os.NewFile(uintptr(fd), "link")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

func wireFrame(h Handle, payload []byte) []byte {
	return newFrame(&header{magic: EncodingLegacy, handle: h, length: uint32(len(payload))}, payload)
}

// A batch that the socket takes in many parts, and that is read in others, arrives as it was.
func TestBatchesReachASlowReaderWhole(t *testing.T) {
	a, b := socketLink(t)
	var batch []frame
	var want [][]byte
	for i := range 100 { // more than one call takes, small ones and large ones
		f := wireFrame(Handle(i), bytes.Repeat([]byte{byte(i)}, i*i*5))
		batch, want = append(batch, frame{f}), append(want, bytes.Clone(f))
	}
	failed := make(chan error, 1)
	go func() { // ends when all is read, or a is closed
		_, err := newBatchWriter(a).write(batch)
		failed <- err
	}()
	in := newFrameReader(b, masterMessage)
	var h header
	for i, w := range want {
		got, err := in.next(&h)
		if err != nil || !bytes.Equal(got, w) {
			t.Fatalf("frame %d: %d bytes of %d, %v", i, len(got), len(w), err)
		}
		putBuf(got)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if in.raw == nil {
		t.Error("the socket is not read directly")
	}
	a.Close()
	if _, err := in.next(&h); err != io.EOF {
		t.Errorf("the end reads as %v", err)
	}
}

// early is a link with bytes that its descriptor does not have any more.
type early struct {
	*net.UnixConn
	left []byte
}

func (e *early) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		return e.UnixConn.Read(p)
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}

func (e *early) ReadConn() syscall.RawConn {
	if len(e.left) > 0 {
		return nil
	}
	c, _ := e.SyscallConn()
	return c
}

func TestEarlyBytesComeBeforeTheDescriptors(t *testing.T) {
	a, b := socketLink(t)
	first := wireFrame(1, []byte("early"))
	second := wireFrame(2, []byte("late"))
	wire := append(bytes.Clone(first), second...)
	if _, err := a.Write(wire[40:]); err != nil {
		t.Fatal(err)
	}
	in := newFrameReader(&early{b, wire[:40]}, masterMessage)
	var h header
	for _, want := range [][]byte{first, second} {
		got, err := in.next(&h)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q, %v", got, err)
		}
		putBuf(got)
	}
}

// A reader that is woken by a close sees the cause that Read gives.
func TestClosingADirectLinkEndsItsReader(t *testing.T) {
	_, b := socketLink(t)
	in := newFrameReader(b, masterMessage)
	failed := make(chan error, 1)
	go func() { // ends when b is closed
		var h header
		_, err := in.next(&h)
		failed <- err
	}()
	b.Close()
	if err := <-failed; err == nil {
		t.Error("reading goes on")
	}
}
