package router

import (
	"context"
	"errors"
	"math"
	"slices"
	"sort"
	"sync"

	"fakessh/router/pickle"
)

// idSpace hands out context ids. In a master it counts, and begins again at the end: a child may ask for many more than it has contexts.
// Elsewhere it uses up blocks that the master grants. It also knows what it gave to whom, so that a child cannot announce an id that somebody else is about to use.
type idSpace struct {
	r    *Router
	turn chan struct{} // held by whoever asks the master

	mu     sync.Mutex
	next   uint64
	end    uint64      // of the current block; in a master of the id space
	again  bool        // in a master: ids may be in use
	blocks []blockSpan // elsewhere: what the master granted us
	grants []grant     // in a master: what it granted, ascending
}

// blockSpan is [first, last).
type blockSpan struct{ first, last uint64 }

type grant struct {
	blockSpan
	to *Link // behind which the ids were asked for
}

var errNoIDs = errors.New("router: no context ids left")

func (s *idSpace) init(r *Router) {
	s.r, s.turn = r, make(chan struct{}, 1)
	if r.isMaster() {
		s.next, s.end = 1, math.MaxUint32
	}
}

// AllocateID returns a fresh id for a child that is given to this router's AddLink: from the own counter in a
// master, from a block of 1000 asked of the master elsewhere.
func (r *Router) AllocateID(ctx context.Context) (ContextID, error) {
	s := &r.ids
	if id, ok := s.take(); ok || r.isMaster() {
		if !ok {
			return 0, errNoIDs
		}
		return id, nil
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	for {
		if id, ok := s.take(); ok {
			return id, nil
		}
		if err := s.refill(ctx); err != nil {
			return 0, err
		}
	}
}

// take uses the next id. Router.mu is not held.
func (s *idSpace) take() (ContextID, bool) {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.spanLocked(1)
	return ContextID(b.first), ok
}

// spanLocked is the next n ids that nobody has. Router.mu is held, for reading at least.
func (s *idSpace) spanLocked(n uint64) (b blockSpan, ok bool) {
	for rounds := 0; rounds < 2; {
		b = blockSpan{s.next, s.next + n}
		if b.last > s.end {
			if !s.r.isMaster() {
				return b, false
			}
			s.next, s.again = 1, true
			rounds++
			continue
		}
		if used := s.usedLocked(b); used > 0 {
			s.next = used
			continue
		}
		s.next = b.last
		return b, true
	}
	return b, false
}

// usedLocked is one past an id of b, or of a block that b overlaps, that somebody has; 0 if nobody has any.
func (s *idSpace) usedLocked(b blockSpan) uint64 {
	if !s.again {
		return 0
	}
	if i := s.grantAfterLocked(b.first); i < len(s.grants) && s.grants[i].first < b.last {
		return s.grants[i].last
	}
	for id := b.first; id < b.last; id++ {
		if s.r.routes[ContextID(id)] != nil {
			return id + 1
		}
	}
	return 0
}

// grantAfterLocked is the first grant that does not end at or before id.
func (s *idSpace) grantAfterLocked(id uint64) int {
	return sort.Search(len(s.grants), func(i int) bool { return s.grants[i].last > id })
}

// refill asks the master for a block.
func (s *idSpace) refill(ctx context.Context) error {
	v, err := s.r.Context(0).Ask(ctx, HandleAllocateID, nil)
	if err != nil {
		return err
	}
	t, _ := v.(pickle.Tuple)
	if len(t) != 2 {
		return errors.New("allocate ids: malformed answer")
	}
	first, ok1 := t[0].(int64)
	last, ok2 := t[1].(int64)
	if !ok1 || !ok2 || first < 1 || last <= first || last > math.MaxUint32 {
		return errors.New("allocate ids: malformed answer")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next, s.end = uint64(first), uint64(last)
	s.blocks = append(s.blocks, blockSpan{s.next, s.end})
	return nil
}

// grant gives a block to whoever asked by way of l (nil: this context itself). Router.mu is not held.
func (s *idSpace) grant(l *Link) (blockSpan, error) {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	held := 0
	for i := range s.grants {
		if s.grants[i].to == l {
			held++
		}
	}
	if held >= maxBlocks {
		return blockSpan{}, errNoIDs
	}
	b, ok := s.spanLocked(idBlock)
	if !ok {
		return blockSpan{}, errNoIDs
	}
	s.grants = slices.Insert(s.grants, s.grantAfterLocked(b.first), grant{b, l})
	return b, nil
}

// claim marks an id that was chosen by somebody else as used.
func (s *idSpace) claim(id ContextID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r.isMaster() && uint64(id) >= s.next {
		s.next = uint64(id) + 1
	}
}

// mayAnnounce reports whether ids like this one were handed to somebody behind l. A master knows all blocks;
// another context only that its own are not for others to announce.
func (s *idSpace) mayAnnounce(l *Link, id ContextID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := uint64(id)
	if s.r.isMaster() {
		i := s.grantAfterLocked(n)
		return i < len(s.grants) && s.grants[i].first <= n && s.grants[i].to == l
	}
	for _, b := range s.blocks {
		if n >= b.first && n < b.last {
			return false
		}
	}
	return true
}

// linkLost forgets what was granted by way of l: those ids are never announced again.
func (s *idSpace) linkLost(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.grants[:0]
	for _, g := range s.grants {
		if g.to != l {
			kept = append(kept, g)
		}
	}
	clear(s.grants[len(kept):])
	s.grants = kept
}
