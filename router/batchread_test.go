package router

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"testing"
)

// vectorPipe is a pipe's reading end as a VectorReader.
type vectorPipe struct {
	*os.File
	conn    syscall.RawConn
	vectors int // reads of several buffers
}

func (p *vectorPipe) ReadVector(bufs [][]byte) (int, error) {
	p.vectors++
	n, err := ReadVector(p.conn, bufs)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func TestBatchReaderFollowsItsSource(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	conn, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	src := &vectorPipe{File: r, conn: conn}
	in := newBatchReader(Extended, src)
	defer in.release()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		w.Write(data)
		w.Write([]byte("x"))
		w.Close()
	}()
	var got []byte
	for err = nil; err == nil; {
		var frames []frame
		frames, err = in.read()
		for i, f := range frames {
			if len(f.buf) == frameSpace || kind(f.buf[headerLen]) != kindExtended || i > 0 && len(frames[i-1].buf) != frameSpace+maxData {
				t.Fatalf("frame %d of %d has %d bytes", i, len(frames), len(f.buf))
			}
			got = append(got, f.buf[frameSpace:]...)
			putBuf(f.buf)
		}
	}
	if err != io.EOF || !bytes.Equal(got, append(data, 'x')) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if src.vectors == 0 {
		t.Error("a source that gives much is never read in batches")
	}
}

func TestBatchReaderRefusesImpossibleReads(t *testing.T) {
	in := newBatchReader(Main, impossible{})
	defer in.release()
	if frames, err := in.read(); len(frames) > 0 || err == nil {
		t.Errorf("%d frames, %v", len(frames), err)
	}
}

type impossible struct{}

func (impossible) Read(p []byte) (int, error) { return len(p) + 1, nil }

// What an offer leaves stays in front of what has come after it, and the first of that is cut.
func TestOfferLeavesTheRestInOrder(t *testing.T) {
	s := &Stream{}
	b := budget{limit: 1 << 30}
	s.recv.budget = &b
	for _, c := range []kind{kindData, kindData, kindExtended} {
		s.in.put(frame{newStreamFrame(c, 10)})
	}
	s.canRead.L = &s.mu
	s.offer = func(_ Class, pieces [][]byte) int {
		if len(pieces) != 2 {
			t.Errorf("%d pieces, two of one class are there", len(pieces))
		}
		return 13
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offerLocked()
	first := s.takeLocked()
	second := s.takeLocked()
	if first.Class != Main || len(first.Data) != 7 || second.Class != Extended || len(second.Data) != 10 || s.in.count != 0 {
		t.Errorf("left: %d of class %d, %d of class %d, %d more", len(first.Data), first.Class, len(second.Data), second.Class, s.in.count)
	}
}
