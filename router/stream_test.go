package router

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// treeOf makes a master and a chain of depth contexts beneath it over in-memory links. Each serves test.ping.
func treeOf(t testing.TB, depth int, cfg Config) []*Router {
	t.Helper()
	ctx := context.Background()
	rs := []*Router{New(cfg)}
	for i := range depth {
		up := rs[i]
		id, err := up.AllocateID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c := cfg
		c.ID, c.ParentIDs = id, append([]ContextID{up.ID()}, up.ParentIDs()...)
		r := New(c)
		r.Register("test.ping", func(context.Context, *Call) (any, error) { return nil, nil })
		connect(t, up, r)
		rs = append(rs, r)
		if i > 0 { // its route has come up before this answer
			if _, err := rs[0].Context(up.ID()).Call(ctx, "test.ping"); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() {
		for _, r := range rs {
			r.Close()
		}
	})
	return rs
}

// connect joins two routers by a pipe and returns its ends: the parent's, the child's.
func connect(t testing.TB, parent, child *Router) (net.Conn, net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	if _, err := child.AddLink(b, LinkConfig{Remote: parent.ID(), Parent: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := parent.AddLink(a, LinkConfig{Remote: child.ID()}); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// streamPair opens a stream from the first to the last router and returns both ends.
func streamPair(t testing.TB, rs []*Router) (near, far *Stream) {
	t.Helper()
	last := rs[len(rs)-1]
	accepted := make(chan *Stream, 1)
	last.Register("test.accept", func(_ context.Context, c *Call) (any, error) {
		s, err := c.Stream()
		accepted <- s
		return "welcome", err
	})
	near, v, err := rs[0].Context(last.ID()).Open(context.Background(), "test.accept")
	if err != nil || v != "welcome" {
		t.Fatalf("open: %v, %v", v, err)
	}
	far = <-accepted
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestStreamCarriesBytesBothWays(t *testing.T) {
	near, far := streamPair(t, treeOf(t, 3, Config{}))
	data := make([]byte, 3<<20+17)
	rand.NewChaCha8([32]byte{}).Read(data)
	want := sha256.Sum256(data)
	type result struct {
		sum [32]byte
		err error
	}
	results := make(chan result, 2)
	for _, s := range []*Stream{near, far} {
		go func() {
			s.ReadFrom(bytes.NewReader(data))
			s.CloseWrite()
		}()
		go func() {
			h := sha256.New()
			_, err := s.WriteTo(h)
			results <- result{[32]byte(h.Sum(nil)), err}
		}()
	}
	for range 2 {
		if r := <-results; r.err != nil || r.sum != want {
			t.Errorf("sum differs or error: %v", r.err)
		}
	}
	for _, s := range []*Stream{near, far} {
		<-s.Done()
		if s.Err() != nil {
			t.Error(s.Err())
		}
	}
}

func TestHalfCloseLeavesTheOtherDirectionOpen(t *testing.T) {
	near, far := streamPair(t, treeOf(t, 1, Config{}))
	near.Write([]byte("question"))
	near.CloseWrite()
	if b, err := io.ReadAll(far); string(b) != "question" || err != nil {
		t.Fatal(string(b), err)
	}
	far.Write([]byte("answer"))
	far.CloseWrite()
	if b, err := io.ReadAll(near); string(b) != "answer" || err != nil {
		t.Fatal(string(b), err)
	}
	if _, err := near.Write([]byte("x")); !errors.Is(err, ErrStreamClosed) {
		t.Error(err)
	}
	<-near.Done()
	<-far.Done()
}

func TestPeersResetReachesWriter(t *testing.T) {
	near, far := streamPair(t, treeOf(t, 1, Config{}))
	far.Reset(errors.New("no thanks"))
	<-near.Done()
	var reset *ResetError
	if _, err := near.Write([]byte("x")); !errors.As(err, &reset) || reset.Reason != "no thanks" {
		t.Error(err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.As(err, &reset) {
		t.Error(err)
	}
}

func TestControlItems(t *testing.T) {
	near, far := streamPair(t, treeOf(t, 1, Config{}))
	near.CloseWrite()
	if err := near.SendControl(Control{'w', []byte("80x24")}); err != nil {
		t.Fatal(err)
	}
	c, err := far.Control(context.Background())
	if err != nil || c.Kind != 'w' || string(c.Data) != "80x24" {
		t.Fatal(c, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := far.Control(ctx); err != context.DeadlineExceeded {
		t.Error(err)
	}
	far.CloseWrite()
	if _, err := far.Control(context.Background()); err != io.EOF {
		t.Error(err)
	}
}
