package router

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"

	"fakessh/router/pickle"
)

// addControlHandlers registers what every context serves (docs/protocol.md section 1.3).
func (r *Router) addControlHandlers() {
	neighbour := HandleOptions{Policy: r.IsImmediateChild}
	above := HandleOptions{Policy: r.HasParentAuthority}
	r.control(HandleAddRoute, r.onAddRoute, neighbour)
	r.control(HandleDelRoute, r.onDelRoute, neighbour)
	r.control(HandleGetModule, r.onGetModule, r.moduleOptions())
	r.control(HandleGetResource, r.onGetResource, r.moduleOptions())
	r.control(HandleDetaching, r.onDetaching, HandleOptions{})
	if r.isMaster() {
		r.control(HandleForwardLog, r.onForwardLog, HandleOptions{})
		r.control(HandleAllocateID, r.onAllocateID, HandleOptions{})
		return
	}
	r.control(HandleShutdown, r.beginShutdown, above)
	// Sent unasked by parents that serve Python modules: nothing to do with them here.
	r.control(HandleLoadModule, func(*Message) {}, above)
	r.control(HandleForwardModule, func(*Message) {}, above)
	r.control(HandleLoadResource, func(*Message) {}, above)
}

// control registers a handler that never sees dead messages.
func (r *Router) control(h Handle, fn Handler, opt HandleOptions) {
	r.handles.set(h, func(m *Message) {
		if !m.IsDead() {
			fn(m)
		}
	}, opt)
}

func (r *Router) moduleOptions() HandleOptions {
	if r.isMaster() {
		return HandleOptions{}
	}
	return HandleOptions{Policy: r.IsImmediateChild}
}

var errMalformed = errors.New("malformed")

// parseRoute reads "id" or "id:name".
func parseRoute(payload []byte) (ContextID, string, error) {
	text, name, _ := strings.Cut(string(payload[:min(len(payload), maxName+16)]), ":")
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || len(name) > maxName {
		return 0, "", errMalformed
	}
	return ContextID(id), strings.ToValidUTF8(name, "\ufffd"), nil
}

// awaitParent makes the sender of news wait while the queue to the parent, who hears of them too, is at its bound.
func (r *Router) awaitParent(m *Message) {
	r.mu.RLock()
	parent := r.parent
	r.mu.RUnlock()
	if parent != nil && parent != m.link {
		parent.q.awaitSpace()
	}
}

func (r *Router) onAddRoute(m *Message) {
	r.awaitParent(m)
	id, name, err := parseRoute(m.Data)
	if err == nil && m.link.parent {
		err = errRouteAbove
	}
	if err == nil {
		err = r.addRoute(m.link, id, name)
	}
	if err != nil {
		m.link.logPeer(LevelError, "Cannot add route", "id", id.String(), "name", name, "err", err.Error())
	}
}

func (r *Router) onDelRoute(m *Message) {
	r.awaitParent(m)
	id, _, err := parseRoute(m.Data)
	if err != nil {
		m.link.logPeer(LevelError, "Cannot delete route", "err", err.Error())
		return
	}
	r.delRoute(m.link, id)
}

func (r *Router) onAllocateID(m *Message) {
	b, err := r.ids.grant(m.link)
	if err != nil {
		r.logMessage(m, LevelError, "ids refused")
		h := m.header()
		r.undeliverable(&h, reasonRefused, true)
		return
	}
	r.reply(m, pickle.Tuple{int64(b.first), int64(b.last)})
}

// onGetModule answers "absent": no Python modules are served. The answer goes hop by hop, not to the asker.
func (r *Router) onGetModule(m *Message) {
	if m.link == nil {
		return
	}
	name := cutText(string(m.Data), maxName)
	r.tellPickles(m.link, HandleLoadModule, pickle.Tuple{name, nil, nil, nil, pickle.Tuple{}})
}

// onGetResource answers "absent" in the form that the asker's version reads.
func (r *Router) onGetResource(m *Message) {
	v, err := m.Value()
	t, _ := v.(pickle.Tuple)
	if err != nil || len(t) != 2 || m.link == nil {
		return
	}
	if m.link.old.Load() {
		r.tellPickles(m.link, HandleLoadResource, pickle.Tuple{t[0], t[1], nil})
		return
	}
	r.tellPickles(m.link, HandleLoadResource, t, nil)
}

// reply answers with what is known to encode.
func (r *Router) reply(m *Message, v any) {
	if err := m.Reply(v); err != nil {
		r.log(LevelError, "message not answered", "handle", m.Handle.String(), "err", err.Error())
	}
}

func (r *Router) tellPickles(l *Link, h Handle, values ...any) {
	var payload []byte
	for _, v := range values {
		var err error
		if payload, err = pickle.Append(payload, v); err != nil {
			return
		}
	}
	r.Route(&Message{Dst: l.remote, Handle: h, Data: payload})
}

// onDetaching marks a child whose process is to survive its link.
func (r *Router) onDetaching(m *Message) {
	if m.link == nil || m.Src != m.link.remote || m.link.detaching.Swap(true) {
		return
	}
	r.reply(m, nil)
}

// beginShutdown ends the context from above: its children first, then the link to the parent.
func (r *Router) beginShutdown(m *Message) {
	if m.link == nil || !r.begin() {
		return
	}
	go func() { // ends after shutdownTime at the latest
		defer r.wg.Done()
		ctx, cancel := context.WithTimeout(r.ctx, shutdownTime)
		defer cancel()
		r.calls.stop()
		r.shutChildren(ctx)
		for _, l := range r.someLinks(func(l *Link) bool { return l.parent }) {
			l.finish(errShutdown)
		}
	}()
}

func (r *Router) onForwardLog(m *Message) {
	rec, err := parseLog(m.Data)
	if err != nil {
		r.logMessage(m, LevelDebug, "malformed log record")
		return
	}
	if m.link != nil && !m.link.mayLog() {
		return
	}
	if r.cfg.ForwardedLog != nil {
		r.cfg.ForwardedLog(m.Src, rec.logger, rec.level, rec.text)
		return
	}
	r.log(rec.level, rec.text, "logger", rec.logger, "context", describe(m.Src, r.nameOf(m.Src)))
}

type logRecord struct {
	logger string
	level  Level
	text   string
}

// parseLog reads "logger NUL level NUL text".
func parseLog(payload []byte) (logRecord, error) {
	logger, rest, ok1 := bytes.Cut(payload, []byte{0})
	level, text, ok2 := bytes.Cut(rest, []byte{0})
	n, err := strconv.Atoi(string(level[:min(len(level), 8)]))
	if !ok1 || !ok2 || err != nil || len(level) > 8 {
		return logRecord{}, errMalformed
	}
	return logRecord{cutText(string(logger[:min(len(logger), maxName)]), maxName), Level(n), cutText(string(text[:min(len(text), maxLogText)]), maxLogText)}, nil
}
