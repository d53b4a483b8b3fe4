package router_test

import (
	"context"
	"errors"
	"testing"

	"fakessh/router"
)

func mustSelect(t *testing.T, s *router.Select, err error) *router.Select {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keep(t *testing.T, sources ...router.Source) *router.Select {
	t.Helper()
	s, err := router.NewSelect(sources...)
	return mustSelect(t, s, err)
}

func oneshot(t *testing.T, sources ...router.Source) *router.Select {
	t.Helper()
	s, err := router.NewOneshotSelect(sources...)
	return mustSelect(t, s, err)
}

func value(t *testing.T, ev router.Event) any {
	t.Helper()
	if ev.Err != nil {
		t.Fatal(ev.Err)
	}
	v, err := ev.Message.Decode()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSelectGivesEventsOfItsMembers(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, sa := receiver(t, r)
	b, sb := receiver(t, r)
	s := keep(t, a, b)
	send(t, sb, "one")
	send(t, sa, "two")
	for i, want := range []*router.Receiver{b, a} {
		ev, err := s.Get(t.Context())
		if err != nil || ev.Source != want {
			t.Errorf("event %d: %v, %v", i, ev, err)
		}
	}
	if _, err := s.Get(canceled()); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for nothing: %v", err)
	}
	sa.Close()
	ev, err := s.Get(t.Context())
	var dead *router.ChannelError
	if err != nil || !errors.As(ev.Err, &dead) {
		t.Errorf("a dead message: %v, %v", ev, err)
	}
}

func TestOneshotSelectDropsASourceAfterItsEvent(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, sa := receiver(t, r)
	b, sb := receiver(t, r)
	s := oneshot(t, a, b)
	send(t, sa, "a1", "a2")
	send(t, sb, "b1")
	n := 0
	for ev, err := range s.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		value(t, ev)
		n++
	}
	if n != 2 || s.Len() != 0 || a.Len() != 1 {
		t.Errorf("%d events, %d members, %d left", n, s.Len(), a.Len())
	}
	if _, err := s.Get(t.Context()); err != router.ErrSelectEmpty {
		t.Errorf("an empty one: %v", err)
	}
}

func TestWhatIsQueuedCountsWhenAdded(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, sa := receiver(t, r)
	send(t, sa, "x", "y")
	s := keep(t, a)
	for _, want := range []string{"x", "y"} {
		ev, err := s.Get(t.Context())
		if err != nil || value(t, ev) != want {
			t.Errorf("got %v, %v", ev, err)
		}
	}
}

func TestSelectRefusesWhatItMust(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, _ := receiver(t, r)
	s := keep(t, a)
	if err := s.Add(a); err != router.ErrSelectOwned || err.Error() != "Cannot add: Receiver is already owned by another Select" {
		t.Errorf("twice: %v", err)
	}
	if _, err := router.NewSelect(a); err != router.ErrSelectOwned {
		t.Errorf("in another: %v", err)
	}
	other := keep(t)
	if err := other.Remove(a); err != router.ErrSelectUnknown || err.Error() != "Instance is not a member of this Select" {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := other.Get(t.Context()); err != router.ErrSelectEmpty || err.Error() != "Cannot get(), Select instance is empty" {
		t.Errorf("an empty one: %v", err)
	}
	if err := s.Remove(a); err != nil {
		t.Error(err)
	}
	if err := other.Add(a); err != nil {
		t.Errorf("after removal: %v", err)
	}
}

func TestSelectCyclesAreRefused(t *testing.T) {
	a, b, c := keep(t), keep(t), keep(t)
	if err := a.Add(a); err != router.ErrSelectCycle || err.Error() != "Adding this Select instance would create a Select cycle" {
		t.Errorf("itself: %v", err)
	}
	if err := errors.Join(a.Add(b), b.Add(c)); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(a); err != router.ErrSelectCycle {
		t.Errorf("direct: %v", err)
	}
	if err := c.Add(a); err != router.ErrSelectCycle {
		t.Errorf("indirect: %v", err)
	}
}

func TestNestedSelectsPassEventsOn(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, sa := receiver(t, r)
	b, sb := receiver(t, r)
	outer := keep(t, keep(t, keep(t, a)), b)
	send(t, sa, "deep")
	send(t, sb, "flat")
	for _, want := range []string{"deep", "flat"} {
		ev, err := outer.Get(t.Context())
		if err != nil || value(t, ev) != want {
			t.Errorf("got %v, %v", ev, err)
		}
	}
}

func TestClosedSelectWakesWaitersAndFreesMembers(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, _ := receiver(t, r)
	s := keep(t, a)
	got := make(chan error)
	go func() { _, err := s.Get(context.Background()); got <- err }() // ends with Close
	s.Close()
	if err := <-got; err != router.ErrLatchClosed {
		t.Errorf("got %v", err)
	}
	if _, err := s.Get(t.Context()); err != router.ErrLatchClosed {
		t.Errorf("afterwards: %v", err)
	}
	keep(t, a)
}

func TestClosedMemberIsAnEvent(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, _ := receiver(t, r)
	s := oneshot(t, a)
	got := make(chan error)
	go func() {
		ev, err := s.Get(context.Background()) // ends with the Receiver
		got <- errors.Join(err, ev.Err)
	}()
	a.Close()
	if err := <-got; err == nil || err.Error() != "the Receiver has been closed" {
		t.Errorf("got %v", err)
	}
}

func TestSelectAllDecodesInOrderOfArrival(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, sa := receiver(t, r)
	b, sb := receiver(t, r)
	c, sc := receiver(t, r)
	send(t, sb, "b")
	go func() { // ends at once
		sc.Close()
		sa.Send("a")
	}()
	var got []any
	for v, err := range router.SelectAll(t.Context(), b, a, c) {
		if err != nil {
			v = err.Error()
		}
		got = append(got, v)
	}
	if len(got) != 3 || got[0] != "b" {
		t.Errorf("got %v", got)
	}
}
