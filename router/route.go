package router

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// inbound handles one frame that came in by l. It owns buf. It runs on l's reading goroutine, and blocks
// only while the queue of the link that the frame goes on to is at its bound.
func (r *Router) inbound(l *Link, h *header, buf []byte) {
	p := r.paths(l, h)
	if why := p.forged(h); why != "" {
		l.logPeer(LevelError, why, "src", h.src.String(), "auth", h.auth.String(), "dst", h.dst.String(), "handle", h.handle.String())
		putBuf(buf)
		return
	}
	if h.magic != EncodingLegacy && l.old.Load() {
		l.old.Store(false)
	}
	if l.auth != nil {
		h.auth = *l.auth
		setAuth(buf, h.auth)
	}
	l.noteEgress(h.dst)
	if l.auth != nil && p.out != nil {
		l.noteEgress(p.out.remote)
	}
	switch {
	case h.dst == r.cfg.ID && h.isStream():
		r.streamFrame(l, h, buf)
	case h.dst == r.cfg.ID:
		l.deliver() // nothing held waits for what may take its time
		r.deliver(&Message{
			Dst: h.dst, Src: h.src, Auth: h.auth, Handle: h.handle, ReplyTo: h.replyTo, Encoding: h.magic,
			Data: buf[headerLen:], link: l, r: r,
		})
	default:
		l.deliver()
		r.pass(&p, h, buf)
	}
}

// paths looks up what decides about a frame. The own id is behind no link, so no neighbour can speak for it.
func (r *Router) paths(in *Link, h *header) paths {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := paths{in: in, auth: r.towards(h.auth)}
	p.src = p.auth
	if h.src != h.auth {
		p.src = r.towards(h.src)
	}
	// A message from above for an unknown id must not bounce upward.
	if p.out = r.routes[h.dst]; p.out == nil && in != r.parent {
		p.out = r.parent
	}
	return p
}

// towards is the link by which id is reached; r.mu is held.
func (r *Router) towards(id ContextID) *Link {
	if l := r.routes[id]; l != nil {
		return l
	}
	if id == r.cfg.ID {
		return nil
	}
	return r.parent
}

// linkTo is the link that own messages to dst take; nil when there is none.
func (r *Router) linkTo(dst ContextID) *Link {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.towards(dst)
}

// pass forwards a frame unchanged, or answers why not.
func (r *Router) pass(p *paths, h *header, buf []byte) {
	switch {
	case p.out == nil:
		putBuf(buf)
		r.undeliverable(h, reasonNoRoute(h.dst, r.cfg.ID), true)
	case r.cfg.Unidirectional && p.sideways(h):
		putBuf(buf)
		p.in.logPeer(LevelWarn, "sideways message refused", "src", h.src.String(), "dst", h.dst.String(), "handle", h.handle.String())
		r.undeliverable(h, reasonUnidirectional(p.in.remote, p.out.remote, r.cfg.ID), true)
	case len(buf)-headerLen > p.out.max:
		putBuf(buf)
		r.undeliverable(h, reasonTooLarge(p.out.max), true)
	default:
		if r.send(context.Background(), p.out, h, buf) != nil {
			r.undeliverable(h, reasonNoRoute(h.dst, r.cfg.ID), true)
		}
	}
}

// send queues a frame on a link, when that has room or else until ctx is done. It owns buf.
func (r *Router) send(ctx context.Context, l *Link, h *header, buf []byte) error {
	if h.magic != EncodingLegacy && l.old.Load() {
		buf = downgrade(h, buf)
	}
	return l.q.pushUntil(ctx, flowOf(h), frame{buf: buf})
}

// Route sends a message of this context, or delivers it here: Src and Auth become the own id. It blocks while
// the link's queue is full. What cannot be delivered is answered by a dead message to m.ReplyTo.
func (r *Router) Route(m *Message) { _ = r.routeUntil(context.Background(), m) }

// routeUntil is Route that gives up when ctx is done: the message is not sent then, and the cause is returned.
func (r *Router) routeUntil(ctx context.Context, m *Message) error {
	if err := checkEncoding(m.Encoding); err != nil {
		r.log(LevelError, "message not sent", "err", err.Error())
		return nil
	}
	m.Src, m.Auth = r.cfg.ID, r.cfg.ID
	h := m.header()
	if m.Dst == r.cfg.ID {
		r.routeHere(m, &h)
		return nil
	}
	l := r.linkTo(m.Dst)
	switch {
	case l == nil:
		r.undeliverable(&h, reasonNoRoute(m.Dst, r.cfg.ID), true)
		return nil
	case len(m.Data) > l.max:
		r.log(LevelError, "message too large", "dst", m.Dst.String(), "handle", m.Handle.String())
		r.undeliverable(&h, reasonTooLarge(l.max), false)
		return nil
	}
	err := r.send(ctx, l, &h, newFrame(&h, m.Data))
	if errors.Is(err, ErrClosed) { // of the queue
		r.undeliverable(&h, reasonNoRoute(m.Dst, r.cfg.ID), true)
		return nil
	}
	return err
}

func (r *Router) routeHere(m *Message, h *header) {
	if len(m.Data) > r.cfg.MaxMessage {
		r.undeliverable(h, reasonTooLarge(r.cfg.MaxMessage), false)
		return
	}
	own := *m
	own.r, own.link = r, nil
	own.Encoding = h.magic
	r.deliver(&own)
}

// newFrame makes a frame of a header and a payload.
func newFrame(h *header, payload []byte) []byte {
	buf := getBuf(headerLen + len(payload))
	putHeader(buf, h)
	copy(buf[headerLen:], payload)
	return buf
}

// undeliverable answers a message that has come to its end. Who waits for a reply is told; else, if the
// addressee itself could be reached (it is only this message that could not), it is told instead: the lost message was
// a reply or an item of a stream, and somebody waits for it there.
func (r *Router) undeliverable(h *header, reason string, unreachable bool) {
	switch {
	case h.isDead():
	case h.replyTo != 0:
		r.Route(NewDead(h.src, h.replyTo, reason))
	case !unreachable:
		r.Route(NewDead(h.dst, h.handle, reason))
	}
}

// tell sends a control message to the neighbour itself, past the bound of the queue: these are few and small. A link that is
// closed already needs no telling.
func (r *Router) tell(l *Link, to Handle, payload []byte) {
	h := header{magic: EncodingLegacy, dst: l.remote, src: r.cfg.ID, auth: r.cfg.ID, handle: to, length: uint32(len(payload))}
	_ = l.q.push(flowKey{}, frame{buf: newFrame(&h, payload)}, false)
}

// announce tells the parent of a new context; r.mu is held.
func (r *Router) announce(id ContextID, name string) {
	if r.parent == nil {
		return
	}
	payload := id.String()
	if name != "" {
		payload += ":" + name
	}
	r.tell(r.parent, HandleAddRoute, []byte(payload))
}

// Refusals of ADD_ROUTE.
var (
	errRouteTaken  = errors.New("the id is taken")
	errRouteUs     = errors.New("the id is ours or an ancestor's")
	errRouteAbove  = errors.New("a parent announces nothing downward")
	errRouteMany   = errors.New("too many contexts behind one link")
	errRouteForged = errors.New("the id was not allocated there")
)

// addRoute records that id is behind the child's link l, and tells the parent.
func (r *Router) addRoute(l *Link, id ContextID, name string) error {
	if hasAuthority(id, r.cfg.ID, r.cfg.ParentIDs) {
		return errRouteUs
	}
	if !r.ids.mayAnnounce(l, id) {
		return errRouteForged
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.routes[id]; known != nil {
		return errRouteTaken
	}
	if _, live := r.links[l]; !live || len(l.routes) >= maxRoutes {
		return errRouteMany
	}
	r.routes[id], l.routes[id] = l, struct{}{}
	if name != "" {
		r.contextLocked(id).setName(name)
	}
	r.announce(id, name)
	return nil
}

// delRoute honours a neighbour's word that id has gone: a child's about what is behind its link, the parent's about the rest.
func (r *Router) delRoute(l *Link, id ContextID) {
	r.mu.Lock()
	if id == l.remote || r.towards(id) != l {
		r.mu.Unlock()
		return
	}
	delete(r.routes, id)
	delete(l.routes, id)
	r.mu.Unlock()
	r.contextGone(l, id, &reportedError{by: describe(l.remote, l.name)})
}

// reportedError is the cause of a loss that a neighbour reported; the wire has no room for a reason.
type reportedError struct{ by string }

func (e *reportedError) Error() string { return "its route was withdrawn by " + e.by }

// Is matches ErrWithdrawn.
func (e *reportedError) Is(target error) bool { return target == ErrWithdrawn }

// linkLost takes away all that was behind l. It runs last on l's reading goroutine: everything that came in has been handled.
func (r *Router) linkLost(l *Link) {
	cause := l.lossCause()
	r.mu.Lock()
	delete(r.links, l)
	ids := slices.Sorted(maps.Keys(l.routes))
	for _, id := range ids {
		delete(r.routes, id)
	}
	if l.parent {
		r.parent = nil
		ids = r.aboveLocked()
	}
	r.mu.Unlock()
	r.log(LevelInfo, "link closed", "link", describe(l.remote, l.name), "err", cause.Error())
	lost := &LostError{ID: l.remote, Name: r.nameOf(l.remote), Cause: cause}
	if r.cfg.ChildLost != nil && !l.parent {
		r.cfg.ChildLost(l.remote, cause)
	}
	for _, id := range ids {
		if id == l.remote {
			r.contextGone(l, id, cause)
		} else {
			r.contextGone(l, id, lost)
		}
	}
	r.ids.linkLost(l)
	if l.parent {
		r.calls.stop()
		r.cancel(lost)
	}
}

// aboveLocked lists the contexts that anybody here knows of and that were only reachable by the parent.
func (r *Router) aboveLocked() []ContextID {
	known := r.handles.respondents()
	for id := range r.contexts {
		known[id] = struct{}{}
	}
	for _, id := range r.cfg.ParentIDs {
		known[id] = struct{}{}
	}
	delete(known, r.cfg.ID)
	for id := range r.routes {
		delete(known, id)
	}
	return slices.Sorted(maps.Keys(known))
}

// contextGone tells everybody who can be waiting for id: the parent, neighbours that have written to it, and our own.
func (r *Router) contextGone(via *Link, id ContextID, cause error) {
	for _, l := range r.someLinks(func(l *Link) bool { return l != via }) {
		if !l.parent && !l.takeEgress(id) || r.cfg.Unidirectional && !via.privileged && !l.privileged {
			continue // it has not written there, or what it wrote was refused
		}
		h := header{magic: EncodingLegacy, dst: l.remote, src: r.cfg.ID, auth: r.cfg.ID, handle: HandleDelRoute}
		payload := []byte(id.String())
		h.length = uint32(len(payload))
		// What id sent before it went stands in other flows of the queue, and goes out first.
		_ = l.q.pushAfter(id, frame{buf: newFrame(&h, payload)})
	}
	r.mu.Lock()
	c := r.contexts[id]
	delete(r.contexts, id)
	r.mu.Unlock()
	lost := &LostError{ID: id, Cause: cause}
	if c != nil {
		lost.Name = c.Name()
		c.lose(lost)
	}
	r.streamsLost(id, lost)
	r.handles.respondentLost(r, id)
}
