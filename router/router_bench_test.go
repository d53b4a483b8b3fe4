package router_test

import (
	"context"
	"io"
	"net"
	"testing"

	"fakessh/router"
	"fakessh/router/routertest"
)

// hop is a router between two neighbours joined by socket pairs.
func hop(b *testing.B) (in, out net.Conn) {
	r := newRouter(b, router.Config{})
	var ends [2]net.Conn
	for i := range ends {
		ours, theirs := routertest.SocketPair(b)
		if _, err := r.AddLink(ours, child(router.ContextID(i+1))); err != nil {
			b.Fatal(err)
		}
		ends[i] = theirs
	}
	return ends[0], ends[1]
}

// benchmarkHop sends frames of n bytes of payload through a router, batch of them per write.
func benchmarkHop(b *testing.B, n, batch int) {
	in, out := hop(b)
	one := msg{dst: 2, src: 1, auth: 1, handle: 1000, data: string(make([]byte, n))}.bytes()
	var many []byte
	for range batch {
		many = append(many, one...)
	}
	b.SetBytes(int64(n))
	b.ReportAllocs()
	go func() { // ends after the last frame
		for left := b.N; left > 0; left -= batch {
			in.Write(many[:min(left, batch)*len(one)])
		}
	}()
	total := int64(b.N) * int64(len(one))
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(struct{ io.Reader }{out}, total), make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkHop64B(b *testing.B)        { benchmarkHop(b, 64, 1) }
func BenchmarkHop64BBatched(b *testing.B) { benchmarkHop(b, 64, 512) }
func BenchmarkHop4K(b *testing.B)         { benchmarkHop(b, 4<<10, 1) }
func BenchmarkHop32K(b *testing.B)        { benchmarkHop(b, 32<<10, 1) }
func BenchmarkHop128K(b *testing.B)       { benchmarkHop(b, 128<<10-26, 1) }

// BenchmarkHopLatency is one small frame there and back again.
func BenchmarkHopLatency(b *testing.B) {
	in, out := hop(b)
	there := msg{dst: 2, src: 1, auth: 1, handle: 1000, data: "x"}.bytes()
	back := msg{dst: 1, src: 2, auth: 2, handle: 1000, data: "x"}.bytes()
	buf := make([]byte, len(there))
	for b.Loop() {
		in.Write(there)
		io.ReadFull(out, buf)
		out.Write(back)
		if _, err := io.ReadFull(in, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkCall calls an empty function at the end of a chain of contexts joined by socket pairs.
func benchmarkCall(b *testing.B, hops int) {
	master := newRouter(b, router.Config{})
	last, ids := master, []router.ContextID{0}
	for range hops {
		id, err := last.AllocateID(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		r := newRouter(b, router.Config{ID: id, ParentIDs: ids})
		ids = append([]router.ContextID{id}, ids...)
		above, below := routertest.SocketPair(b)
		if _, err := r.AddLink(below, router.LinkConfig{Remote: last.ID(), Parent: true}); err != nil {
			b.Fatal(err)
		}
		if _, err := last.AddLink(above, child(id)); err != nil {
			b.Fatal(err)
		}
		last = r
	}
	last.Register("t.nothing", func(context.Context, *router.Call) (any, error) { return nil, nil })
	far := master.Context(last.ID())
	for { // until the route is known
		if _, err := far.Call(b.Context(), "t.nothing"); err == nil {
			break
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := far.Call(b.Context(), "t.nothing"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCall1Hop(b *testing.B)  { benchmarkCall(b, 1) }
func BenchmarkCall4Hops(b *testing.B) { benchmarkCall(b, 4) }
