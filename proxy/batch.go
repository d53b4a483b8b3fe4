package proxy

import (
	"io"
	"sync"
	"syscall"
	"time"

	"fakessh/router"
)

// x/crypto writes a packet of 32 KiB in two pieces, and reads one in two or three: its buffers hold 4 KiB. A batchWriter and a
// batchReader beneath it move as much as there is by one system call. Where the connection is a channel of another one (a virtual
// host), the pieces would even become packets of their own.

const (
	batchSize  = 256 << 10        // bytes that may wait to be sent
	pieceSize  = 4096             // of x/crypto's buffers: a write of so much is a part of a packet
	holdTime   = time.Millisecond // for such a part, until the rest of the packet comes
	flushGrace = time.Second
)

// batches are buffers of batchSize, for readers and writers that are busy; idle connections have none.
var batches = sync.Pool{New: func() any { return new([batchSize]byte) }}

// batchWriter sends what is written in the order of the writes. A write that finds it idle sends what it can without waiting; the rest is
// sent by a goroutine that lives as long as there is something to send. Safe for concurrent use.
type batchWriter struct {
	w    io.Writer
	sock syscall.RawConn // below w; nil: only a small write is sent by its caller

	mu   sync.Mutex
	free *sync.Cond  // signalled when a send has ended
	buf  []byte      // waits to be sent; of an array of batches
	held *time.Timer // sends a part of a packet that nothing follows; nil while none is held
	busy bool        // a send is under way
	err  error       // of a send; sticks
}

func newBatchWriter(w io.Writer) *batchWriter {
	b := &batchWriter{w: w}
	b.free = sync.NewCond(&b.mu)
	if c, ok := w.(syscall.Conn); ok {
		b.sock, _ = c.SyscallConn()
	}
	return b
}

// Write takes p over. An error is that of an earlier send.
func (b *batchWriter) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.busy && b.err == nil && b.sock != nil && len(b.buf)+len(p) <= batchSize {
		b.writeNow(p)
		return len(p), nil
	}
	if !b.busy && b.err == nil && len(p) != pieceSize && len(p) < pieceSize*2 {
		b.send(p)
		b.startFlush()
		return len(p), b.err
	}
	for n := 0; n < len(p); {
		for b.err == nil && len(b.buf) == batchSize {
			b.free.Wait()
		}
		if b.err != nil {
			return n, b.err
		}
		part := p[n:min(len(p), n+batchSize-len(b.buf))]
		b.keep(part)
		n += len(part)
		b.startFlush()
	}
	return len(p), nil
}

// writeNow sends p, behind what is held, as far as that needs no waiting, and keeps the rest. What looks like the beginning of a packet is
// held for a moment.
func (b *batchWriter) writeNow(p []byte) {
	first := len(b.buf) == 0
	switch {
	case first && len(p) == pieceSize:
		b.keep(p)
		if b.held == nil {
			b.held = time.AfterFunc(holdTime, b.release)
		}
		return
	case first:
		p = p[router.TryWriteOwn(b.sock, [][]byte{p}):]
		b.keep(p)
	default:
		b.keep(p)
		n := router.TryWriteOwn(b.sock, [][]byte{b.buf})
		if b.buf = b.buf[:copy(b.buf, b.buf[n:])]; len(b.buf) == 0 {
			batches.Put((*[batchSize]byte)(b.buf[:batchSize]))
			b.buf = nil
		}
	}
	b.startFlush()
}

// release sends what is held. While many packets are written it comes by now and then, and finds nothing or sends a part early.
func (b *batchWriter) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = nil
	b.startFlush()
}

// keep lets p wait to be sent.
func (b *batchWriter) keep(p []byte) {
	if len(p) > 0 && b.buf == nil {
		b.buf = batches.Get().(*[batchSize]byte)[:0]
	}
	b.buf = append(b.buf, p...)
}

// startFlush lets what waits be sent.
func (b *batchWriter) startFlush() {
	if len(b.buf) > 0 && !b.busy {
		b.busy = true
		go b.flush()
	}
}

// send writes p with the lock released. The lock is held before and after.
func (b *batchWriter) send(p []byte) {
	b.busy = true
	b.mu.Unlock()
	_, err := b.w.Write(p)
	b.mu.Lock()
	b.busy = false
	if b.err == nil {
		b.err = err
	}
	b.free.Broadcast()
}

// flush sends until nothing waits. It ends after an error as well, and the connection's close makes one.
func (b *batchWriter) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.buf) > 0 {
		batch := b.buf
		b.buf = nil
		if b.err == nil {
			b.send(batch)
			b.busy = true
		}
		batches.Put((*[batchSize]byte)(batch[:batchSize]))
	}
	b.busy = false
	b.free.Broadcast()
}

// drain waits until everything is sent, for flushGrace at most.
func (b *batchWriter) drain() {
	timer := time.AfterFunc(flushGrace, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.err == nil {
			b.err = io.ErrClosedPipe
		}
		b.free.Broadcast()
	})
	defer timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.startFlush()
	for b.busy && b.err == nil {
		b.free.Wait()
	}
}

// batchReader reads ahead while there is much to read. One goroutine uses it.
type batchReader struct {
	r    io.Reader
	buf  []byte // read and not yet taken; of an array of batches
	base *[batchSize]byte
	much bool // the last read found all that it asked for
}

// littleRead is a read after which a connection no longer counts as busy, bytes.
const littleRead = 16 << 10

func (b *batchReader) Read(p []byte) (int, error) {
	if len(b.buf) == 0 && !b.much {
		n, err := b.r.Read(p)
		b.much = n == len(p) && n >= pieceSize
		return n, err
	}
	if len(b.buf) == 0 {
		if b.base == nil {
			b.base = batches.Get().(*[batchSize]byte)
		}
		n, err := b.r.Read(b.base[:])
		b.much = n >= littleRead
		if b.buf = b.base[:n]; n == 0 {
			b.release()
			return 0, err
		}
	}
	n := copy(p, b.buf)
	if b.buf = b.buf[n:]; len(b.buf) == 0 && !b.much {
		b.release()
	}
	return n, nil
}

func (b *batchReader) release() {
	if b.base != nil {
		batches.Put(b.base)
		b.base, b.buf = nil, nil
	}
}
