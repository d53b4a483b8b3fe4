//go:build unix

package session

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair makes two ends that are joined: what is written to one is read from the other.
type pair struct {
	name string
	open func(t *testing.T) (r, w int)
}

func pairs() []pair {
	return []pair{
		{"pipe", func(t *testing.T) (int, int) {
			var p [2]int
			if err := unix.Pipe(p[:]); err != nil {
				t.Fatal(err)
			}
			return p[0], p[1]
		}},
		{"socket", func(t *testing.T) (int, int) {
			p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			return p[0], p[1]
		}},
	}
}

// makers are NewDescriptor, and the same where a pipe cannot be opened anew.
var makers = map[string]func(fd int) *Descriptor{
	"": NewDescriptor,
	" of another user": func(fd int) *Descriptor {
		d := &Descriptor{fd: fd, kind: kindPipe}
		if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			d.kind = kindSocket
		}
		return d
	},
}

// eachKind runs test with both ends of every kind of pair.
func eachKind(t *testing.T, test func(t *testing.T, r, w int, open func(fd int) *Descriptor)) {
	for _, p := range pairs() {
		for suffix, open := range makers {
			t.Run(p.name+suffix, func(t *testing.T) {
				r, w := p.open(t)
				test(t, r, w, open)
			})
		}
	}
}

func flagsOf(t *testing.T, fd int) int {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDescriptorsCarryBytesAndKeepFlags(t *testing.T) {
	eachKind(t, func(t *testing.T, r, w int, open func(int) *Descriptor) {
		rBefore, wBefore := flagsOf(t, r), flagsOf(t, w)
		from, to := open(dup(t, r)), open(dup(t, w))
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() {
			if n, err := to.Write(data); n != len(data) || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
		}()
		got := make([]byte, len(data))
		if n, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", n, err)
		}
		if flagsOf(t, r) != rBefore || flagsOf(t, w) != wBefore {
			t.Error("the flags of what is shared have changed")
		}
		to.Close()
		unix.Close(w)
		if n, err := from.Read(got); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
		from.Close()
		unix.Close(r)
	})
}

func TestClosingADescriptorWakesItsReaderAndWriter(t *testing.T) {
	eachKind(t, func(t *testing.T, r, w int, open func(int) *Descriptor) {
		from, to := open(dup(t, r)), open(dup(t, w))
		errs := make(chan error, 2)
		go func() {
			_, err := from.Read(make([]byte, 1))
			errs <- err
		}()
		time.Sleep(time.Millisecond) // it is right without, but then tests nothing
		from.Close()
		if err := <-errs; !errors.Is(err, os.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		go func() {
			_, err := to.Write(make([]byte, 16<<20))
			errs <- err
		}()
		time.Sleep(time.Millisecond)
		to.Close()
		if err := <-errs; !errors.Is(err, os.ErrClosed) {
			t.Errorf("write: %v", err)
		}
		unix.Close(r)
		unix.Close(w)
	})
}

func TestWritingWhereNobodyReads(t *testing.T) {
	eachKind(t, func(t *testing.T, r, w int, open func(int) *Descriptor) {
		to := open(w)
		defer to.Close()
		unix.Close(r)
		if _, err := to.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Error(err)
		}
	})
}

func TestCloseWriteOfASocket(t *testing.T) {
	r, w := pairs()[1].open(t)
	to := NewDescriptor(w)
	defer to.Close()
	to.CloseWrite()
	if n, err := unix.Read(r, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	unix.Close(r)
}

func TestDescriptorsOfFilesAndDevices(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := NewDescriptor(dup(t, int(f.Fd())))
	if _, err := d.Write([]byte("text")); err != nil {
		t.Error(err)
	}
	d.Close()
	if _, err := d.Write([]byte("text")); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	d = NewDescriptor(dup(t, int(f.Fd())))
	if got, err := io.ReadAll(d); string(got) != "text" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	d.Close()
	null, err := unix.Open(os.DevNull, unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	d = NewDescriptor(null)
	defer d.Close()
	if got, err := io.ReadAll(d); len(got) != 0 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if d.Terminal() {
		t.Error("/dev/null is no terminal")
	}
}

func TestFilesThatHangTakeABoundedNumberOfThreads(t *testing.T) {
	was := plainCalls
	defer func() { plainCalls = was }()
	plainCalls = make(chan struct{}, 1)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := NewDescriptor(dup(t, int(f.Fd())))
	defer d.Close()
	plainCalls <- struct{}{} // a call on a file that hangs
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, errPlainCalls) {
		t.Errorf("one call too many: %v", err)
	}
	<-plainCalls
	if _, err := d.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("afterwards: %v", err)
	}
	if len(plainCalls) > 0 {
		t.Error("a call that is over counts")
	}
}
