package router

import "strconv"

func (r *Router) log(level Level, msg string, attrs ...string) {
	if r.cfg.Log != nil {
		r.cfg.Log(level, msg, attrs...)
	}
}

// logMessage logs about a message, at the rate of its link.
func (r *Router) logMessage(m *Message, level Level, msg string) {
	attrs := []string{"handle", m.Handle.String(), "src", m.Src.String(), "auth", m.Auth.String()}
	if m.link != nil {
		m.link.logPeer(level, msg, attrs...)
		return
	}
	r.log(level, msg, attrs...)
}

// ForwardLog sends a log record to the master (FORWARD_LOG); in a master it is as if received. It never waits: when much
// is queued towards the parent the record is dropped. Log may call it.
func (r *Router) ForwardLog(level Level, logger, text string) {
	payload := []byte(cutText(logger, maxName) + "\x00" + strconv.Itoa(int(level)) + "\x00" + cutText(text, maxLogText))
	h := header{magic: EncodingLegacy, src: r.cfg.ID, auth: r.cfg.ID, handle: HandleForwardLog, length: uint32(len(payload))}
	if r.isMaster() {
		r.Route(&Message{Handle: HandleForwardLog, Data: payload})
		return
	}
	if l := r.linkTo(0); l != nil && l.q.queued() < logQueue {
		_ = l.q.push(flowKey{}, frame{buf: newFrame(&h, payload)}, false)
	}
}
