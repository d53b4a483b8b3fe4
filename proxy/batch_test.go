package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gateWriter lets a write through for each value sent to it.
type gateWriter struct {
	open   chan struct{}
	writes [][]byte
	err    error
}

func (g *gateWriter) Write(p []byte) (int, error) {
	<-g.open
	g.writes = append(g.writes, bytes.Clone(p))
	return len(p), g.err
}

func TestBatchWriterJoinsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateWriter{open: make(chan struct{})}
		b := newBatchWriter(g)
		go b.Write([]byte("first")) // whole and small: sent by its writer
		synctest.Wait()
		for _, s := range []string{"second", "third"} { // wait, and do not block
			if n, err := b.Write([]byte(s)); n != len(s) || err != nil {
				t.Fatal(n, err)
			}
		}
		close(g.open)
		b.drain()
		if got := bytes.Join(g.writes, []byte("|")); string(got) != "first|secondthird" {
			t.Errorf("got %q", got)
		}
		if b.buf != nil || b.busy {
			t.Error("an idle writer holds something")
		}
	})
}

func TestBatchWriterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateWriter{open: make(chan struct{})}
		b := newBatchWriter(g)
		done := false
		go func() {
			for range 100 {
				b.Write(make([]byte, 32<<10))
			}
			done = true
		}()
		synctest.Wait()
		if done || len(b.buf) > batchSize {
			t.Errorf("done: %v, %d bytes wait", done, len(b.buf))
		}
		close(g.open)
		synctest.Wait()
		b.drain()
		if n := len(bytes.Join(g.writes, nil)); !done || n != 100*32<<10 {
			t.Errorf("done: %v, %d bytes", done, n)
		}
	})
}

func TestBatchWriterFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken pipe")
		g := &gateWriter{open: make(chan struct{}), err: broken}
		b := newBatchWriter(g)
		errs := make(chan error)
		go func() {
			var err error
			for err == nil {
				_, err = b.Write(make([]byte, 32<<10))
			}
			errs <- err
		}()
		synctest.Wait()
		close(g.open)
		if err := <-errs; !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, broken) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestBatchWriterDrainGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateWriter{open: make(chan struct{})}
		b := newBatchWriter(g)
		b.Write(make([]byte, 32<<10))
		begun := time.Now()
		b.drain()
		if waited := time.Since(begun); waited != flushGrace {
			t.Errorf("waited for %v", waited)
		}
		close(g.open)
	})
}

func TestBatchesCarryEverythingInOrder(t *testing.T) {
	client, server := net.Pipe()
	const size = 4 << 20
	sent := make([]byte, size)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range sent {
		sent[i] = byte(rnd.Uint32())
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := newBatchWriter(client)
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(40<<10))
			if rnd.IntN(4) == 0 {
				n = min(len(rest), pieceSize)
			}
			b.Write(rest[:n])
			rest = rest[n:]
		}
		b.drain()
		client.Close()
	})
	r := &batchReader{r: server}
	var got bytes.Buffer
	for p := make([]byte, 64<<10); ; {
		n, err := r.Read(p[:1+got.Len()%len(p)])
		got.Write(p[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if !bytes.Equal(got.Bytes(), sent) {
		t.Errorf("%d bytes of %d, or others", got.Len(), size)
	}
}

// socketPair is a connection of two sockets, a as a server has it.
func socketPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if b, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if a, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestBatchWriterSendsAPacketAtOnce(t *testing.T) {
	a, b := socketPair(t)
	w, buf := newBatchWriter(a), make([]byte, 64<<10)
	for _, pieces := range [][]int{{100}, {pieceSize, 28 << 10}, {pieceSize, 1}, {pieceSize, pieceSize}} {
		total := 0
		for _, n := range pieces {
			if got, err := w.Write(make([]byte, n)); got != n || err != nil {
				t.Fatal(got, err)
			}
			total += n
		}
		if n, err := b.Read(buf); n != total || err != nil {
			t.Errorf("%v: %d bytes in one read, %v", pieces, n, err)
		}
	}
}

func TestBatchWriterHoldsAPartForAMoment(t *testing.T) {
	a, b := socketPair(t)
	w, buf := newBatchWriter(a), make([]byte, 64<<10)
	for range 3 {
		w.Write(make([]byte, pieceSize)) // a packet that has just this length
		if n, err := b.Read(buf); n != pieceSize || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	w.Write(make([]byte, pieceSize))
	w.drain()
	if n, err := b.Read(buf); n != pieceSize || err != nil {
		t.Errorf("drained: %d bytes, %v", n, err)
	}
}

func TestBatchWriterKeepsWhatTheSocketDoesNotTake(t *testing.T) {
	a, b := socketPair(t)
	w := newBatchWriter(a)
	data := make([]byte, 8<<20)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	go func() {
		for rest := data; len(rest) > 0; {
			n := min(len(rest), pieceSize)
			if rnd.IntN(2) == 0 {
				n = min(len(rest), 1+rnd.IntN(40<<10))
			}
			if _, err := w.Write(rest[:n]); err != nil {
				t.Error(err)
			}
			rest = rest[n:]
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for w.startFlush(); w.busy; {
			w.free.Wait()
		}
		if w.buf != nil {
			t.Error("an idle writer holds something")
		}
		a.Close()
	}()
	if got, err := io.ReadAll(b); !bytes.Equal(got, data) || err != nil {
		t.Errorf("%d bytes of %d arrived in order, %v", len(got), len(data), err)
	}
}
