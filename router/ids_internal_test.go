package router

import (
	"math"
	"testing"
)

// TestIdsBeginAgainWhereNobodyHasThem: a child that asks for blocks of them, ends and comes back must not use them up for everybody.
func TestIdsBeginAgainWhereNobodyHasThem(t *testing.T) {
	r, links := still(t, Config{}, 1, 3, 1500)
	s := &r.ids
	s.mu.Lock()
	s.next = math.MaxUint32 - 500
	s.grants = []grant{{blockSpan{4000, 5000}, links[0]}}
	s.mu.Unlock()
	want := []blockSpan{{4, 1004}, {1501, 2501}, {2501, 3501}, {5000, 6000}} // 1, 3 and 1500 are there, 4000 to 5000 are granted
	for _, w := range want {
		if b, err := s.grant(links[1]); b != w || err != nil {
			t.Errorf("block %v, %v, want %v", b, err, w)
		}
	}
	for i := 1; i < len(s.grants); i++ {
		if s.grants[i-1].last > s.grants[i].first {
			t.Errorf("grants out of order: %v", s.grants)
		}
	}
	if !s.mayAnnounce(links[1], 2600) || !s.mayAnnounce(links[0], 4500) || s.mayAnnounce(links[1], 4500) {
		t.Error("who may announce what")
	}
	s.mu.Lock()
	s.next = math.MaxUint32
	s.mu.Unlock()
	if id, err := r.AllocateID(t.Context()); id != 2 || err != nil {
		t.Errorf("own id %d, %v", id, err)
	}
}

func TestIdsThatAreAllInUseAreNotGiven(t *testing.T) {
	r, links := still(t, Config{}, 1)
	r.ids.grants = []grant{{blockSpan{1, math.MaxUint32}, links[0]}}
	r.ids.next = math.MaxUint32
	if _, err := r.AllocateID(t.Context()); err == nil {
		t.Error("an id was given twice")
	}
}
