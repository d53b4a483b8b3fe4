package router_test

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"fakessh/router"
	"fakessh/router/routertest"
)

const frameData = 32 << 10

// benchPair is a master and a child over a socket pair.
func benchPair(b *testing.B) (master, child *router.Router) {
	master = router.New(router.Config{})
	child = router.New(router.Config{ID: 1, ParentIDs: []router.ContextID{0}})
	x, y := routertest.SocketPair(b)
	if _, err := child.AddLink(y, router.LinkConfig{Remote: 0, Parent: true}); err != nil {
		b.Fatal(err)
	}
	if _, err := master.AddLink(x, router.LinkConfig{Remote: 1}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { master.Close(); child.Close() })
	return master, child
}

func BenchmarkStreamThroughput(b *testing.B) {
	master, child := benchPair(b)
	near, far := streamBetween(b, master, child)
	block := make([]byte, frameData)
	b.SetBytes(frameData)
	b.ReportAllocs()
	done := make(chan error, 1)
	go func() {
		_, err := far.WriteTo(io.Discard)
		done <- err
	}()
	for b.Loop() {
		if _, err := near.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	near.CloseWrite()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkStreamEcho(b *testing.B) {
	for _, bulk := range []bool{false, true} {
		b.Run(map[bool]string{false: "idle", true: "underBulk"}[bulk], func(b *testing.B) {
			master, child := benchPair(b)
			if bulk {
				near, far := streamBetween(b, master, child)
				go io.Copy(io.Discard, near) // ends with the stream
				go far.ReadFrom(endless{})   // the same
			}
			near, far := streamBetween(b, master, child)
			go io.Copy(far, far) // ends with the stream
			var times []time.Duration
			one := make([]byte, 1)
			for b.Loop() {
				start := time.Now()
				near.Write(one)
				if _, err := near.Read(one); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(times[len(times)-1].Microseconds()), "max-µs")
		})
	}
}

func BenchmarkStreamOpen(b *testing.B) {
	master, child := benchPair(b)
	child.Register("test.open", func(_ context.Context, c *router.Call) (any, error) {
		s, err := c.Stream()
		if err == nil {
			s.CloseWrite()
		}
		return nil, err
	})
	c := master.Context(1)
	b.ReportAllocs()
	for b.Loop() {
		s, _, err := c.Open(context.Background(), "test.open")
		if err != nil {
			b.Fatal(err)
		}
		s.CloseWrite()
		<-s.Done()
		s.Close()
	}
}
