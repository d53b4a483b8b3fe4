package router

import (
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
)

// Direct is a link whose bytes may be read from a descriptor as well as by Read. ReadConn gives the descriptor; nil as long as Read has
// something that is not there. Where reading that fails, or ends, Read says how.
type Direct interface{ ReadConn() syscall.RawConn }

// frameReader cuts a byte stream into frames. Its buffer grows while reads fill it.
type frameReader struct {
	r      io.Reader
	direct Direct          // r, if it is one and has not given raw yet
	raw    syscall.RawConn // of r, in non-blocking mode
	max    int
	buf    []byte
	lo, hi int
	idle   int // reads that needed little of the buffer
}

func newFrameReader(r io.Reader, max int) *frameReader {
	f := &frameReader{r: r, max: max}
	switch r := r.(type) {
	case Direct:
		f.direct = r
	case *net.UnixConn:
		f.direct = plain{r}
	}
	return f
}

// plain is a descriptor of which Read reads just what is there.
type plain struct{ syscall.Conn }

func (p plain) ReadConn() syscall.RawConn {
	c, err := p.SyscallConn()
	if err != nil {
		return nil
	}
	return c
}

// next reads one frame into h and a buffer that the caller has to put back or hand on.
// io.EOF comes only between frames.
func (f *frameReader) next(h *header) ([]byte, error) {
	for f.hi-f.lo < headerLen {
		if err := f.fill(); err != nil {
			if errors.Is(err, io.EOF) && f.hi > f.lo {
				err = errCutShort
			}
			return nil, err
		}
	}
	if !parseHeader(f.buf[f.lo:], h) {
		return nil, ErrCorrupt
	}
	if int64(h.length) > int64(f.max) {
		return nil, &sizeError{announced: h.length, max: f.max}
	}
	return f.take(headerLen + int(h.length))
}

// complete reports whether the next frame has been read whole.
func (f *frameReader) complete() bool {
	var h header
	have := f.buf[f.lo:f.hi]
	return len(have) >= headerLen && parseHeader(have, &h) && len(have)-headerLen >= int(h.length)
}

// take moves n bytes into a buffer of their own.
func (f *frameReader) take(n int) ([]byte, error) {
	b := getBuf(min(n, trustedSize+headerLen))
	for have := 0; ; {
		c := copy(b[have:], f.buf[f.lo:f.hi])
		f.lo += c
		if have += c; have == n {
			return b, nil
		}
		if have == len(b) {
			b = append(b, make([]byte, min(n-have, have))...)
			continue
		}
		c, err := f.more(b[have:])
		if have += c; err != nil {
			putBuf(b)
			if errors.Is(err, io.EOF) {
				err = errCutShort
			}
			return nil, err
		}
	}
}

// more reads into the buffer, or straight into a long rest.
func (f *frameReader) more(rest []byte) (int, error) {
	if len(rest) < directRead {
		return 0, f.fill()
	}
	return io.ReadFull(f.r, rest)
}

// fill makes one read. What is unread is shorter than a header when it is called, or empty.
func (f *frameReader) fill() error {
	f.resize()
	for range 100 {
		n, err := f.read(f.buf[f.hi:])
		f.hi += n
		if f.idle++; n >= len(f.buf)/4 {
			f.idle = 0
		}
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// read is one read of r.
func (f *frameReader) read(p []byte) (int, error) {
	if f.direct != nil {
		if raw := f.direct.ReadConn(); raw != nil {
			f.direct, f.raw = nil, nonBlocking(raw)
		}
	}
	if f.raw != nil {
		if n, err := ReadOwn(f.raw, [][]byte{p}); n > 0 && err == nil {
			return n, nil
		}
	}
	return f.r.Read(p)
}

// resize moves what is unread to the front of the buffer: of a longer one when the last read has filled it, of a shorter one
// when that would have been enough for long.
func (f *frameReader) resize() {
	buf := f.buf
	switch {
	case f.hi == len(buf) && len(buf) < readBuffer:
		buf = make([]byte, max(readStart, 4*len(buf)))
	case f.idle >= readIdle && len(buf) > readStart:
		buf = make([]byte, len(buf)/4)
	case f.lo == 0:
		return
	}
	f.hi = copy(buf, f.buf[f.lo:f.hi])
	f.buf, f.lo = buf, 0
	f.idle %= readIdle
}

// sizeError ends a link whose peer announced more than is allowed. It matches ErrTooLarge.
type sizeError struct {
	announced uint32
	max       int
}

func (e *sizeError) Error() string {
	return "message too large: " + strconv.FormatUint(uint64(e.announced), 10) + " bytes announced, " + strconv.Itoa(e.max) + " allowed"
}

func (e *sizeError) Is(target error) bool { return target == ErrTooLarge }

// batchWriter writes frames with few system calls: small neighbours are copied together, long ones go from where they
// are, and all of them in one writev where there is a descriptor below.
type batchWriter struct {
	w      io.Writer
	raw    syscall.RawConn // of w, in non-blocking mode; nil where w has none
	joined []byte          // copies of small frames
	pieces [][]byte        // what to write, in order
}

func newBatchWriter(w io.Writer) *batchWriter {
	b := &batchWriter{w: w}
	if below, ok := w.(syscall.Conn); ok {
		if raw, err := below.SyscallConn(); err == nil {
			b.raw = nonBlocking(raw)
		}
	}
	return b
}

// nonBlocking is c, or nil if a call on it could wait.
func nonBlocking(c syscall.RawConn) syscall.RawConn {
	ok := false
	_ = c.Control(func(fd uintptr) { ok = isNonBlocking(fd) })
	if !ok {
		return nil
	}
	return c
}

func (b *batchWriter) write(frames []frame) (int64, error) {
	b.gather(frames)
	defer clear(b.pieces)
	if b.raw != nil {
		return writeOwn(b.raw, b.pieces)
	}
	var total int64
	for _, p := range b.pieces {
		n, err := b.w.Write(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// gather lays the frames out in pieces. joined must not move while pieces point into it.
func (b *batchWriter) gather(frames []frame) {
	small := 0
	for _, f := range frames {
		if len(f.buf) <= smallFrame {
			small += len(f.buf)
		}
	}
	if cap(b.joined) < small {
		b.joined = make([]byte, 0, small)
	}
	b.joined, b.pieces = b.joined[:0], b.pieces[:0]
	open := -1 // where the run of small frames began
	flush := func() {
		if open >= 0 {
			b.pieces = append(b.pieces, b.joined[open:])
			open = -1
		}
	}
	for _, f := range frames {
		if len(f.buf) > smallFrame {
			flush()
			b.pieces = append(b.pieces, f.buf)
			continue
		}
		if open < 0 {
			open = len(b.joined)
		}
		b.joined = append(b.joined, f.buf...)
	}
	flush()
}
