package router

import (
	"errors"
	"sync"
)

// Handler takes one message, on the reading goroutine of the link it came by (on the sender's, if that
// is this context): it must not block. It may keep the message. A panic in it is logged.
type Handler func(m *Message)

// HandleOptions qualify a handle.
type HandleOptions struct {
	// OneShot removes the handle before its first message is delivered.
	OneShot bool
	// Policy refuses messages ("refused by policy"); nil admits all. It sees dead messages too.
	Policy func(m *Message) bool
	// Respondent, if set, is the only context whose messages are accepted; its loss gives a local dead message.
	Respondent *ContextID
	// Overwrite permits to replace an existing handler.
	Overwrite bool
}

var (
	errHandleTaken   = errors.New("cannot register a handle that already exists")
	errHandleUnknown = errors.New("cannot remove a handle that does not exist")
)

type handler struct {
	fn  Handler
	opt HandleOptions
}

// handleTable is the context's mailboxes.
type handleTable struct {
	mu     sync.RWMutex
	m      map[Handle]*handler
	next   Handle
	closed bool
	// waiting indexes the handles that have a respondent.
	waiting map[ContextID]map[Handle]struct{}
}

func (t *handleTable) init() {
	t.m, t.waiting, t.next = map[Handle]*handler{}, map[ContextID]map[Handle]struct{}{}, firstDynamic
}

// AddHandler registers fn at h, or at a fresh dynamic handle (from 1000 up) when h is 0.
func (r *Router) AddHandler(h Handle, fn Handler, opt HandleOptions) (Handle, error) {
	return r.handles.add(h, fn, opt)
}

// RemoveHandler forgets h.
func (r *Router) RemoveHandler(h Handle) error {
	r.handles.mu.Lock()
	defer r.handles.mu.Unlock()
	if r.handles.removeLocked(h) == nil {
		return errHandleUnknown
	}
	return nil
}

func (t *handleTable) add(h Handle, fn Handler, opt HandleOptions) (Handle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, ErrClosed
	}
	if h == deadMark || h&streamBit != 0 {
		return 0, errHandleTaken
	}
	if h == 0 {
		h = t.freshLocked()
	}
	if t.m[h] != nil && !opt.Overwrite {
		return 0, errHandleTaken
	}
	t.removeLocked(h)
	t.m[h] = &handler{fn: fn, opt: opt}
	if opt.Respondent != nil {
		id := *opt.Respondent
		if t.waiting[id] == nil {
			t.waiting[id] = map[Handle]struct{}{}
		}
		t.waiting[id][h] = struct{}{}
	}
	return h, nil
}

// set registers one of the context's own services, in place of any other.
func (t *handleTable) set(h Handle, fn Handler, opt HandleOptions) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.m[h] = &handler{fn: fn, opt: opt}
	}
}

func (t *handleTable) freshLocked() Handle {
	for {
		h := t.next
		if t.next++; t.next >= streamBit {
			t.next = firstDynamic
		}
		if t.m[h] == nil {
			return h
		}
	}
}

func (t *handleTable) removeLocked(h Handle) *handler {
	e := t.m[h]
	if e == nil {
		return nil
	}
	delete(t.m, h)
	if e.opt.Respondent != nil {
		id := *e.opt.Respondent
		delete(t.waiting[id], h)
		if len(t.waiting[id]) == 0 {
			delete(t.waiting, id)
		}
	}
	return e
}

func (t *handleTable) get(h Handle) *handler {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.m[h]
}

// claim removes a one-shot handler; false when another message was first.
func (t *handleTable) claim(h Handle, e *handler) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[h] != e {
		return false
	}
	t.removeLocked(h)
	return true
}

// respondents is the set of contexts that some handle waits for.
func (t *handleTable) respondents() map[ContextID]struct{} {
	t.mu.RLock()
	defer t.mu.RUnlock()
	set := map[ContextID]struct{}{}
	for id := range t.waiting {
		set[id] = struct{}{}
	}
	return set
}

// respondentLost gives each handle that waits for id its dead message, and removes it.
func (t *handleTable) respondentLost(r *Router, id ContextID) {
	t.mu.Lock()
	gone := map[Handle]*handler{}
	for h := range t.waiting[id] {
		gone[h] = t.m[h]
	}
	for h := range gone {
		t.removeLocked(h)
	}
	t.mu.Unlock()
	t.kill(r, gone, reasonDisconnected)
}

// closeAll gives every handle its dead message. None can be added afterwards.
func (t *handleTable) closeAll(r *Router) {
	t.mu.Lock()
	gone := t.m
	t.m, t.closed = map[Handle]*handler{}, true
	clear(t.waiting)
	t.mu.Unlock()
	t.kill(r, gone, reasonExited)
}

func (t *handleTable) kill(r *Router, gone map[Handle]*handler, reason string) {
	for h, e := range gone {
		m := NewDead(r.cfg.ID, h, reason)
		m.Src, m.Auth, m.Encoding, m.r = r.cfg.ID, r.cfg.ID, EncodingLegacy, r
		r.invoke(e, m)
	}
}

// deliver hands a message for this context to its handler, or answers why not.
func (r *Router) deliver(m *Message) {
	e := r.handles.get(m.Handle)
	h := m.header()
	switch {
	case e == nil:
		r.undeliverable(&h, reasonInvalidHandle, true)
	case !r.fromRespondent(e, m):
		r.undeliverable(&h, reasonRespondent, true)
	case !r.admits(e, m):
		r.logMessage(m, LevelError, "refused by policy")
		r.undeliverable(&h, reasonRefused, true)
	case e.opt.OneShot && !r.handles.claim(m.Handle, e):
		r.undeliverable(&h, reasonInvalidHandle, true)
	default:
		r.invoke(e, m)
	}
}

// fromRespondent checks who answers. A dead message may also come from a context on the way to the respondent; from
// anywhere else it would let a stranger end other people's calls.
func (r *Router) fromRespondent(e *handler, m *Message) bool {
	if e.opt.Respondent == nil || m.Src == *e.opt.Respondent {
		return true
	}
	return m.IsDead() && (m.link == nil || m.link == r.linkTo(*e.opt.Respondent))
}

// admits asks the policy; one that panics refuses.
func (r *Router) admits(e *handler, m *Message) (ok bool) {
	if e.opt.Policy == nil {
		return true
	}
	defer r.logPanic("policy", m)
	return e.opt.Policy(m)
}

func (r *Router) invoke(e *handler, m *Message) {
	defer r.logPanic("handler", m)
	e.fn(m)
}

func (r *Router) logPanic(what string, m *Message) {
	if p := recover(); p != nil {
		r.log(LevelError, what+" panicked", "handle", m.Handle.String(), "err", panicText(p))
	}
}

// HasParentAuthority is the policy "acts for this context or an ancestor".
func (r *Router) HasParentAuthority(m *Message) bool {
	return hasAuthority(m.Auth, r.cfg.ID, r.cfg.ParentIDs)
}

// IsImmediateChild is the policy "was written by the neighbour it came from". In spite of its
// name it admits the parent's own messages too.
func (r *Router) IsImmediateChild(m *Message) bool {
	return m.link != nil && m.Src == m.link.remote
}
