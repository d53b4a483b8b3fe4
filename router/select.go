package router

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
)

// Errors of Select; the texts are Mitogen's.
var (
	ErrSelectOwned   = errors.New("Cannot add: Receiver is already owned by another Select") //nolint:staticcheck // Mitogen's text
	ErrSelectCycle   = errors.New("Adding this Select instance would create a Select cycle") //nolint:staticcheck // Mitogen's text
	ErrSelectUnknown = errors.New("Instance is not a member of this Select")                 //nolint:staticcheck // Mitogen's text
	ErrSelectEmpty   = errors.New("Cannot get(), Select instance is empty")                  //nolint:staticcheck // Mitogen's text
)

// Source is what a Select waits on: a *Receiver or another *Select.
type Source interface {
	owner() *Select
	// setOwner changes the owner from what is expected, or refuses.
	setOwner(from, to *Select) bool
	// waiting counts what is there to get.
	waiting() int
	// event takes one thing, if there is one.
	event() (Event, bool)
}

// Event is one message and the Receiver it came by. Err is that of Receiver.Get: a dead message, or a closed Receiver.
type Event struct {
	Source  *Receiver
	Message *Message
	Err     error
}

// Select waits for messages of many Receivers at once, a set that may change. A oneshot Select drops each source after its
// first event.
type Select struct {
	oneshot bool
	latch   Latch[Source]

	mu      sync.Mutex
	sources []Source
	parent  *Select
}

// NewSelect makes a Select that keeps its sources.
func NewSelect(sources ...Source) (*Select, error) { return newSelect(false, sources) }

// NewOneshotSelect makes a Select that drops each source after one event: Mitogen's default.
func NewOneshotSelect(sources ...Source) (*Select, error) { return newSelect(true, sources) }

func newSelect(oneshot bool, sources []Source) (*Select, error) {
	s := &Select{oneshot: oneshot}
	for _, src := range sources {
		if err := s.Add(src); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Add makes src a member. What is queued in it already counts.
func (s *Select) Add(src Source) error {
	if inner, ok := src.(*Select); ok && inner.contains(s) {
		return ErrSelectCycle
	}
	if !src.setOwner(nil, s) {
		return ErrSelectOwned
	}
	s.mu.Lock()
	s.sources = append(s.sources, src)
	s.mu.Unlock()
	for range src.waiting() {
		s.put(src)
	}
	return nil
}

// contains reports whether x is s or beneath it.
func (s *Select) contains(x *Select) bool {
	if s == x {
		return true
	}
	for _, src := range s.members() {
		if inner, ok := src.(*Select); ok && inner.contains(x) {
			return true
		}
	}
	return false
}

func (s *Select) members() []Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sources)
}

// Remove ends src's membership.
func (s *Select) Remove(src Source) error {
	if !src.setOwner(s, nil) {
		return ErrSelectUnknown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources = slices.DeleteFunc(s.sources, func(x Source) bool { return x == src })
	return nil
}

// Len counts the members.
func (s *Select) Len() int { return len(s.members()) }

// Get waits for the next event of any member. A dead message is an Event with Err; the error is the Select's own:
// ErrSelectEmpty, ErrLatchClosed, ctx's.
func (s *Select) Get(ctx context.Context) (Event, error) {
	for {
		if s.Len() == 0 {
			return Event{}, s.emptyError()
		}
		src, err := s.latch.Get(ctx)
		if err != nil {
			return Event{}, err
		}
		if ev, ok := s.take(src); ok {
			return ev, nil
		}
	}
}

func (s *Select) emptyError() error {
	if _, _, err := s.latch.Try(); err != nil {
		return err
	}
	return ErrSelectEmpty
}

// take gets one thing from a member; it may have left, or somebody else may have been there before.
func (s *Select) take(src Source) (Event, bool) {
	if src.owner() != s {
		return Event{}, false
	}
	ev, ok := src.event()
	if ok && s.oneshot {
		_ = s.Remove(src) // somebody else may have been faster
	}
	return ev, ok
}

// Events yields until no member is left.
func (s *Select) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for s.Len() > 0 {
			ev, err := s.Get(ctx)
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

// SelectAll yields one decoded value of each Receiver, in order of arrival.
func SelectAll(ctx context.Context, receivers ...*Receiver) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		s := &Select{oneshot: true}
		defer s.Close()
		for _, rcv := range receivers {
			if err := s.Add(rcv); err != nil {
				yield(nil, err)
				return
			}
		}
		for ev, err := range s.Events(ctx) {
			if err == nil {
				err = ev.Err
			}
			var v any
			if err == nil {
				v, err = ev.Message.Decode()
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// Close lets all members go and wakes everybody who waits, with ErrLatchClosed.
func (s *Select) Close() {
	for _, src := range s.members() {
		_ = s.Remove(src)
	}
	s.latch.Close()
}

// put notes that src has something. A Select passes it on to the one it is a member of.
func (s *Select) put(src Source) {
	if s.latch.Put(src) != nil {
		return
	}
	if outer := s.owner(); outer != nil {
		outer.put(s)
	}
}

func (s *Select) owner() *Select {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parent
}

func (s *Select) setOwner(from, to *Select) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parent != from {
		return false
	}
	s.parent = to
	return true
}

func (s *Select) waiting() int { return s.latch.Len() }

func (s *Select) event() (Event, bool) {
	for {
		src, ok, err := s.latch.Try()
		if err != nil || !ok {
			return Event{}, false
		}
		if ev, ok := s.take(src); ok {
			return ev, true
		}
	}
}

func (rcv *Receiver) owner() *Select {
	rcv.mu.Lock()
	defer rcv.mu.Unlock()
	return rcv.notify
}

func (rcv *Receiver) setOwner(from, to *Select) bool {
	rcv.mu.Lock()
	defer rcv.mu.Unlock()
	if rcv.notify != from {
		return false
	}
	rcv.notify = to
	return true
}

func (rcv *Receiver) waiting() int {
	rcv.mu.Lock()
	defer rcv.mu.Unlock()
	if rcv.err != nil { // its being closed is an event too
		return 1
	}
	return rcv.latch.Len()
}

func (rcv *Receiver) event() (Event, bool) {
	m, ok, err := rcv.Try()
	return Event{Source: rcv, Message: m, Err: err}, ok
}
