package router_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"fakessh/router"
	"fakessh/router/routertest"
)

func TestMasterCountsAndChildrenTakeBlocksFromTheSameCounter(t *testing.T) {
	master, below := routertest.Pair(t)
	for want := router.ContextID(2); want <= 1001; want++ {
		if id, err := below.AllocateID(t.Context()); id != want || err != nil {
			t.Fatalf("child got %d, %v; want %d", id, err, want)
		}
	}
	if id, err := master.AllocateID(t.Context()); id != 1002 || err != nil {
		t.Errorf("master got %d, %v", id, err)
	}
	if id, err := below.AllocateID(t.Context()); id != 1003 || err != nil {
		t.Errorf("child's second block begins with %d, %v", id, err)
	}
}

func TestAllocationTakesMitogensForm(t *testing.T) {
	r, above := middle(t, false)
	got := make(chan router.ContextID)
	go func() {
		id, err := r.AllocateID(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- id
	}()
	want := vector(t, "head_allocate_id")
	m := above.next()
	if m.dst != want.dst || m.src != want.src || m.handle != want.handle || m.data != want.data || m.magic != want.magic {
		t.Errorf("asked %v, want %v", m, want)
	}
	answer := vector(t, "head_allocate_id_reply")
	answer.handle = m.reply
	above.send(answer)
	if id := <-got; id != 3 {
		t.Errorf("got %d", id)
	}
}

func TestManyWhoNeedIdsAtOnceGetDifferentOnes(t *testing.T) {
	_, below := routertest.Pair(t)
	seen := make(chan router.ContextID, 3000)
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			for range 100 {
				id, err := below.AllocateID(t.Context())
				if err != nil {
					t.Error(err)
				}
				seen <- id
			}
		})
	}
	all.Wait()
	close(seen)
	once := map[router.ContextID]bool{}
	for id := range seen {
		if once[id] {
			t.Fatalf("%d was given twice", id)
		}
		once[id] = true
	}
}

func TestAllocationFailsWithItsContextOrTheMastersNonsense(t *testing.T) {
	r, above := middle(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error)
	go func() { _, err := r.AllocateID(ctx); given <- err }()
	above.next()
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	for _, v := range []any{nil, "x", tuple(), tuple(1), tuple("a", "b"), tuple(5, 5), tuple(9, 3), tuple(0, 10), tuple(1, int64(1)<<40)} {
		done := make(chan error)
		go func() { _, err := r.AllocateID(t.Context()); done <- err }()
		m := above.next()
		above.send(above.own(1, m.reply, 0, pickled(t, v)))
		if err := <-done; err == nil {
			t.Errorf("answer %v gives an id", v)
		}
	}
}
