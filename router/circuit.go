package router

import (
	"context"
	"errors"
	"sync"
)

// circuitQueue bounds what a circuit keeps waiting for a link in one direction, whatever its ends allow each other.
const circuitQueue = maxWindow + 1<<20

// OpenSpec names a function that accepts a stream.
type OpenSpec struct {
	Context *Context
	Name    string
	Args    []any
}

// Circuit is two streams joined here: bytes, credit, EOF, reset and control items pass; neither end learns the other's id.
// It runs on the links' reading goroutines and keeps nothing but what waits for a link.
//
//	first ── handle of first's end ─► rewrite ── handle of second's end ─► second
//	      ◄───────────────────────── rewrite ◄───────────────────────────
type Circuit struct {
	r      *Router
	done   chan struct{}
	cancel context.CancelCauseFunc // of the opening

	mu   sync.Mutex
	ends [2]circuitEnd
	over bool
	err  error
}

// circuitEnd is the circuit's side of one of its two streams.
type circuitEnd struct {
	c      *Circuit
	other  *circuitEnd
	peer   *Context
	link   *Link
	handle Handle

	peerHandle Handle // 0 until the peer has shown it
	ready      bool   // its function has answered: frames may be sent to it
	send       sendWindow
	gotEOF     bool
	held       []frame // from the peer, until the other end is ready
	heldItems  int
	heldBytes  int
}

// Join opens first, then second, and joins the two. It returns what both functions returned.
// When the second cannot be opened, the first is reset.
func (r *Router) Join(ctx context.Context, first, second OpenSpec) (c *Circuit, a, b any, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c = &Circuit{r: r, done: make(chan struct{}), cancel: cancel}
	a, err = c.open(ctx, 0, first)
	if err == nil {
		b, err = c.open(ctx, 1, second)
	}
	if err != nil {
		c.Close(err)
		return nil, nil, nil, err
	}
	return c, a, b, nil
}

// Close resets both ends with the text of cause. Idempotent.
func (c *Circuit) Close(cause error) {
	if cause == nil {
		cause = ErrStreamClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breakLocked(cause, cause.Error())
}

// Done is closed when both ends have finished.
func (c *Circuit) Done() <-chan struct{} { return c.done }

// Err says why Done is closed; nil before, and after both ends have sent EOF.
func (c *Circuit) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// open calls the function for one end.
func (c *Circuit) open(ctx context.Context, i int, spec OpenSpec) (any, error) {
	e, err := c.addEnd(i, spec.Context)
	if err != nil {
		return nil, openError(spec.Name, err)
	}
	answer, err := spec.Context.callWithStream(ctx, spec.Name, spec.Args, e.handle)
	if err != nil {
		return nil, err
	}
	h, value, err := spec.Context.streamAnswer(answer)
	if err == nil {
		err = e.meet(h)
	}
	if err != nil {
		return nil, openError(spec.Name, err)
	}
	return value, nil
}

// addEnd registers one end.
func (c *Circuit) addEnd(i int, peer *Context) (*circuitEnd, error) {
	l := c.r.linkTo(peer.id)
	if l == nil {
		return nil, &ChannelError{Reason: reasonNoRoute(peer.id, c.r.cfg.ID)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil, c.err
	}
	e := &c.ends[i]
	e.c, e.other, e.peer, e.link = c, &c.ends[1-i], peer, l
	e.send.allowed = firstWindow
	return e, c.r.streams.add(func(h Handle) endpoint { e.handle = h; return e })
}

// meet makes the end ready: its function has answered with h. What was held for it follows.
func (e *circuitEnd) meet(h Handle) error {
	c := e.c
	c.mu.Lock()
	defer c.mu.Unlock()
	known := e.peerHandle
	e.peerHandle = h
	switch {
	case known != 0 && known != h:
		return errors.New("another stream was accepted")
	case c.over: // with a cause: an orderly end waits until both ends are ready
		e.reset(c.err.Error())
		return c.err
	case c.r.linkTo(e.peer.id) != e.link: // its loss may have been told before the end was registered
		return errors.New("context " + e.peer.String() + " is lost")
	}
	e.ready = true
	for _, f := range e.other.held {
		e.forward(f.buf)
	}
	e.other.held = nil
	c.finishLocked()
	return nil
}

// frame takes a frame from this end's peer and passes it to the other end.
func (e *circuitEnd) frame(l *Link, h *header, buf []byte) {
	c := e.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		putBuf(buf)
	case h.isDead():
		e.deadLocked(h, buf)
	case h.src != e.peer.id:
		c.r.refuseFrame(l, h, buf, reasonRespondent)
	case e.peerHandle == 0 && h.replyTo&streamBit != 0:
		e.peerHandle = h.replyTo
		e.passLocked(buf)
	case h.replyTo != e.peerHandle:
		c.r.refuseFrame(l, h, buf, reasonInvalidHandle)
	default:
		e.passLocked(buf)
	}
}

// deadLocked takes a dead message: from the peer it is a RESET; another's is followed by the announcement of the loss.
func (e *circuitEnd) deadLocked(h *header, buf []byte) {
	if h.src == e.peer.id {
		e.resetLocked(string(buf[headerLen:]))
	}
	putBuf(buf)
}

// passLocked passes a frame on if it is in order. It owns buf.
func (e *circuitEnd) passLocked(buf []byte) {
	payload := buf[headerLen:]
	why, drop := e.judge(payload)
	switch {
	case why != "":
		putBuf(buf)
		e.c.breakLocked(&brokenError{e.peer, why}, why)
		return
	case drop:
		putBuf(buf)
		return
	case kind(payload[0]) == kindReset:
		e.resetLocked(string(payload[1:]))
		putBuf(buf)
		return
	case e.other.ready:
		e.other.forward(buf)
	default:
		e.held = append(e.held, frame{buf})
	}
	e.c.finishLocked()
}

// finishLocked ends the circuit when both ends have sent EOF and nothing is held for either.
func (c *Circuit) finishLocked() {
	for i := range c.ends {
		if e := &c.ends[i]; !e.gotEOF || !e.ready {
			return
		}
	}
	c.endLocked(nil)
}

// resetLocked ends the circuit because this end's peer has reset its stream.
func (e *circuitEnd) resetLocked(reason string) {
	reason = cutReason(reason)
	e.other.reset(reason)
	e.c.endLocked(&ResetError{Reason: reason})
}

// judge does this end's bookkeeping for one frame. It says what is wrong with it, or that it need not be passed on.
func (e *circuitEnd) judge(payload []byte) (why string, drop bool) {
	if why := checkPayload(payload); why != "" {
		return why, false
	}
	switch k := kind(payload[0]); {
	case k == kindReset:
		return "", false
	case k == kindData || k == kindExtended:
		why = e.judgeData(len(payload) - 1)
	case k == kindCredit:
		why, drop = e.judgeCredit(payload)
	case k == kindEOF && e.gotEOF:
		why = reasonSecondEOF
	case k == kindEOF:
		e.gotEOF = true
	default:
		why = e.judgeItem(len(payload))
	}
	if why == "" && !drop && e.other.ready && e.other.link.q.flowBytes(e.other.flow()) > circuitQueue {
		why = reasonOverrun
	}
	return why, drop
}

func (e *circuitEnd) judgeData(n int) string {
	e.send.send(n)
	switch {
	case e.gotEOF:
		return reasonAfterEOF
	case e.send.sent > e.send.allowed:
		return reasonFlowControl
	}
	return ""
}

// judgeCredit notes what this end allows the other. A frame that allows and acknowledges nothing new is dropped.
func (e *circuitEnd) judgeCredit(payload []byte) (why string, drop bool) {
	if e.other.c == nil { // not open yet: there is nothing to acknowledge, and the first window stands
		return "", true
	}
	received, allowed, _ := parseCredit(payload)
	before := e.other.send
	switch {
	case !e.other.send.credit(received, allowed):
		return reasonFlowControl, false
	case e.other.send == before:
		return "", true
	}
	return e.judgeItem(len(payload)), false
}

// judgeItem bounds what is held of frames that are not subject to credit.
func (e *circuitEnd) judgeItem(n int) string {
	if e.other.ready {
		return ""
	}
	e.heldItems++
	e.heldBytes += n
	if e.heldItems > maxItems || e.heldBytes > maxItemHeap {
		return reasonManyItems
	}
	return ""
}

// forward sends a frame to this end's peer. It owns buf.
func (e *circuitEnd) forward(buf []byte) {
	own := e.c.r.cfg.ID
	putHeader(buf, &header{
		magic: EncodingLegacy, dst: e.peer.id, src: own, auth: own, handle: e.peerHandle, replyTo: e.handle,
		length: uint32(len(buf) - headerLen),
	})
	_ = e.link.q.push(e.flow(), frame{buf}, false) // fails only when the link closes: lost will be called
}

func (e *circuitEnd) flow() flowKey { return flowKey{e.c.r.cfg.ID, e.handle} }

// reset tells this end's peer.
func (e *circuitEnd) reset(reason string) {
	if e.c != nil && e.peerHandle != 0 {
		e.forward(newResetFrame(reason))
	}
}

// lost ends the circuit when this end's peer is gone. What it sent has been passed on; a reset after EOF discards none of it.
func (e *circuitEnd) lost(id ContextID, err error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if id != e.peer.id || e.c.over {
		return
	}
	e.other.reset(lossReason(err))
	e.c.endLocked(err)
}

// lossReason tells one end about the loss of the other without saying who that was.
func lossReason(err error) string {
	const text = "the other end was lost"
	for {
		var lost *LostError
		if !errors.As(err, &lost) {
			break
		}
		err = lost.Cause
	}
	var reported *reportedError
	if err == nil || errors.As(err, &reported) {
		return text
	}
	return text + ": " + err.Error()
}

// close ends the circuit because the router closes.
func (e *circuitEnd) close(err error) { e.c.Close(err) }

// breakLocked resets both ends.
func (c *Circuit) breakLocked(err error, reason string) {
	if c.over {
		return
	}
	for i := range c.ends {
		c.ends[i].reset(reason)
	}
	c.endLocked(err)
}

func (c *Circuit) endLocked(err error) {
	if c.over {
		return
	}
	c.over, c.err = true, err
	for i := range c.ends {
		e := &c.ends[i]
		if e.c != nil {
			c.r.streams.remove(e.handle)
		}
		for _, f := range e.held {
			putBuf(f.buf)
		}
		e.held = nil
	}
	c.cancel(err)
	close(c.done)
}
