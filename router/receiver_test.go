package router_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fakessh/router"
)

// receiver makes a Receiver, and a way to send it values from the router itself.
func receiver(t *testing.T, r *router.Router) (*router.Receiver, *router.Sender) {
	t.Helper()
	rcv, err := r.NewReceiver(router.ReceiverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rcv.Close)
	return rcv, rcv.Sender()
}

func send(t *testing.T, s *router.Sender, vs ...any) {
	t.Helper()
	for _, v := range vs {
		if err := s.Send(v); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReceiverQueuesInOrder(t *testing.T) {
	r := newRouter(t, router.Config{})
	rcv, s := receiver(t, r)
	if rcv.Handle() < 1000 {
		t.Errorf("handle %d", rcv.Handle())
	}
	send(t, s, "a", "b")
	if rcv.Len() != 2 {
		t.Errorf("%d waiting", rcv.Len())
	}
	for _, want := range []string{"a", "b"} {
		m, err := rcv.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v, err := m.Decode(); v != want || err != nil {
			t.Errorf("got %v, %v; want %s", v, err, want)
		}
	}
	if _, ok, err := rcv.Try(); ok || err != nil {
		t.Errorf("an empty one gives %v, %v", ok, err)
	}
	if _, err := rcv.Get(canceled()); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for nothing: %v", err)
	}
}

func TestIterationEndsAtTheFirstDeadMessage(t *testing.T) {
	r := newRouter(t, router.Config{})
	rcv, s := receiver(t, r)
	send(t, s, int64(1), int64(2))
	s.Close()
	send(t, s, int64(3))
	var got []int64
	for m, err := range rcv.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		v, _ := m.Decode()
		got = append(got, v.(int64))
	}
	if !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("got %v", got)
	}
	if m, err := rcv.Get(t.Context()); err != nil || string(m.Data) != pickled(t, int64(3)) {
		t.Errorf("after the dead one: %v, %v", m, err)
	}
}

func TestSenderCloseWakesOneWithItsText(t *testing.T) {
	r := newRouter(t, router.Config{})
	rcv, s := receiver(t, r)
	s.Close()
	var dead *router.ChannelError
	if _, err := rcv.Get(t.Context()); !errors.As(err, &dead) || dead.Reason != "Sender was explicitly closed" {
		t.Errorf("got %v", err)
	}
}

func TestReceiverCloseWakesAll(t *testing.T) {
	r := newRouter(t, router.Config{})
	rcv, _ := receiver(t, r)
	got := make(chan error)
	for range 3 {
		go func() { _, err := rcv.Get(context.Background()); got <- err }() // ends with Close
	}
	rcv.Close()
	for range 3 {
		var dead *router.ChannelError
		if err := <-got; !errors.As(err, &dead) || dead.Reason != "the Receiver has been closed" {
			t.Errorf("got %v", err)
		}
	}
	for _, err := range rcv.Messages(t.Context()) {
		if err == nil {
			t.Error("a closed one yields")
		}
	}
	if err := r.RemoveHandler(rcv.Handle()); err == nil {
		t.Error("the handle is still there")
	}
	rcv.Close()
}

func TestReceiverThatOverflowsCloses(t *testing.T) {
	r := newRouter(t, router.Config{})
	rcv, err := r.NewReceiver(router.ReceiverOptions{MaxBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	p := connect(t, r, child(1))
	for range 3 {
		p.send(p.own(0, uint32(rcv.Handle()), 0, "0123456789012345678901234567890123456789"))
	}
	p.fence(0)
	if _, err := rcv.Get(t.Context()); err == nil || err.Error() != "router: receiver is full" {
		t.Errorf("got %v", err)
	}
}

func TestChannelTalksBothWays(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	ch, err := r.NewChannel(1, 1234)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Writer().Write([]byte("bytes")); err != nil {
		t.Fatal(err)
	}
	p.want(msg{dst: 1, handle: 1234, data: pickled(t, []byte("bytes"))})
	want := vector(t, "v033_sender_data")
	p.send(p.own(0, uint32(ch.Handle()), 0, want.data))
	m, err := ch.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := m.Decode(); v != int64(123) {
		t.Errorf("got %v", v)
	}
	ch.Close()
	p.want(dead(1, 0, 1234, vector(t, "head_dead_sender_closed").data))
}

func TestLatchServesWaitersInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l router.Latch[int]
		got := make(chan [2]int, 3)
		for i := range 3 {
			go func() { v, _ := l.Get(context.Background()); got <- [2]int{i, v} }()
			synctest.Wait()
		}
		for i := range 3 {
			l.Put(i * 10)
			if g := <-got; g != [2]int{i, i * 10} {
				t.Errorf("waiter %d got %d; want %d", g[0], g[1], i)
			}
		}
	})
}

func TestLatchTimesOutAndStaysUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l router.Latch[string]
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err := l.Get(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if _, err := l.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no time at all: %v", err)
		}
		l.Put("a")
		if v, err := l.Get(ctx); v != "a" || err != nil {
			t.Errorf("what is there is given even then: %v, %v", v, err)
		}
	})
}

func TestClosedLatchGivesNothing(t *testing.T) {
	var l router.Latch[int]
	l.Put(1)
	l.Put(2)
	if l.Len() != 2 {
		t.Errorf("%d waiting", l.Len())
	}
	l.Close()
	l.Close()
	if _, err := l.Get(context.Background()); err != router.ErrLatchClosed {
		t.Errorf("get: %v", err)
	}
	if err := l.Put(3); err != router.ErrLatchClosed {
		t.Errorf("put: %v", err)
	}
	if _, _, err := l.Try(); err != router.ErrLatchClosed {
		t.Errorf("try: %v", err)
	}
}

func TestLatchCloseWakesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l router.Latch[int]
		got := make(chan error, 3)
		for range 3 {
			go func() { _, err := l.Get(context.Background()); got <- err }()
		}
		synctest.Wait()
		l.Close()
		for range 3 {
			if err := <-got; err != router.ErrLatchClosed {
				t.Errorf("got %v", err)
			}
		}
	})
}
