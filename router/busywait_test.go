package router

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestBusyReaderReadsAsItsReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		defer w.Close()
		for rest := data; len(rest) > 0; { // in large pieces and small ones, with pauses longer than it lingers
			n := min(len(rest), 300<<10)
			w.Write(rest[:n/2])
			w.Write(rest[n/2 : n])
			rest = rest[n:]
			time.Sleep(2 * linger)
		}
	}()
	got, err := io.ReadAll(BusyReader(r))
	if !bytes.Equal(got, data) || err != nil {
		t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
	}
}

func TestBusyReaderIsWokenByClose(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b := BusyReader(r)
	buf := make([]byte, 64<<10)
	w.Write(buf[:32<<10])
	for n := 0; n < 32<<10; {
		c, err := b.Read(buf)
		if n += c; err != nil {
			t.Fatal(err)
		}
	}
	if !b.(*busyReader).busy {
		t.Error("after much it is not busy")
	}
	time.AfterFunc(linger/4, func() { r.Close() })
	if _, err := b.Read(buf); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

func TestBusyReaderNeedsADescriptor(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if BusyReader(a) != io.Reader(a) {
		t.Error("a pipe in memory cannot be waited for")
	}
}
