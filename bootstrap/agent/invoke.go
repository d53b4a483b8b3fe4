package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// maxInvocations bounds the ssh that one session's programs may have at work at once.
const maxInvocations = 256

// maxForwarded is what an invocation may take on its way to the gateway, bytes: messages to there are limited.
const maxForwarded = 900 << 10

// shims serves the shims of a session with Spec.Shim; it is nil in others. Its goroutines:
//
//	accept   until close closes the listener
//	one for each invocation, until its session has ended, its shim is gone, or close
type shims struct {
	agent  *Agent
	stream *router.Stream // the session's: invocations are announced on it
	place  *session.Place
	ln     *net.UnixListener
	ctx    context.Context // ends with close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	slots  chan struct{} // taken by invocations
}

// invocation is one shim that waits for its session, or has it.
type invocation struct {
	stream chan *router.Stream // takes one: the destination's
	failed chan error          // takes one: why there is none
	done   chan struct{}       // closed when the invocation is over
}

// newShims makes the session's place and begins to listen.
func (a *Agent) newShims(s *router.Stream) (*shims, error) {
	place, err := session.NewPlace(selfProgram())
	if err != nil {
		return nil, errors.New("make a directory for ssh: " + reason(err))
	}
	h := &shims{agent: a, stream: s, place: place, slots: make(chan struct{}, maxInvocations)}
	if h.ln, err = place.Listen(); err != nil {
		place.Remove()
		return nil, errors.New("listen for ssh: " + reason(err))
	}
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	h.wg.Go(h.accept)
	return h, nil
}

// selfProgram is this program's file, and whether links to it will do: not when it is unlinked, or has no name at all.
func selfProgram() (path string, linked bool) {
	exe, err := os.Executable()
	if err != nil {
		return selfPath(), false
	}
	here, err1 := os.Stat(exe)
	self, err2 := os.Stat(selfPath())
	return pathOr(exe, selfPath(), err1 == nil && err2 == nil && os.SameFile(here, self) && filepath.IsAbs(exe))
}

func pathOr(linked, copied string, ok bool) (string, bool) {
	if ok {
		return linked, true
	}
	return copied, false
}

// environ adds to e what leads the session's programs here. The destination is the gateway's to know.
func (h *shims) environ(e *environment) {
	if h == nil {
		return
	}
	e.vars = h.place.Environ(e.vars, h.place.Socket(), "")
}

// began notes the session's program, if there is one, should the agent be killed.
func (h *shims) began(p *process) {
	if h != nil && p != nil {
		_ = h.place.Began(p.pid)
	}
}

// close ends every invocation, and returns when nothing is left of them.
func (h *shims) close() {
	if h == nil {
		return
	}
	h.ln.Close()
	h.cancel(errors.New("the run has ended"))
	h.wg.Wait()
	h.place.Remove()
}

func (h *shims) accept() {
	for {
		conn, err := session.AcceptInvoke(h.ctx, h.ln, nil)
		if err != nil {
			return
		}
		h.wg.Go(func() {
			stop := context.AfterFunc(h.ctx, conn.Interrupt)
			h.serve(conn)
			stop()
			conn.Close()
		})
	}
}

// serve serves one shim.
func (h *shims) serve(conn *session.InvokeConn) {
	i, files, err := conn.Request()
	defer session.CloseDescriptors(files)
	if err != nil {
		if !errors.Is(err, session.ErrMitogenUnix) {
			_ = conn.SendError(err)
		}
		return
	}
	conn.End(h.perform(conn, i, files))
}

func (h *shims) perform(conn *session.InvokeConn, i *session.Invocation, files []*session.Descriptor) (*session.Exit, error) {
	switch i.Op {
	case session.OpSession:
		return conn.ServeSession(h.ctx, files, func(ctx context.Context) (*session.Client, func(), error) {
			s, release, err := h.open(ctx, i)
			if err != nil {
				return nil, nil, err
			}
			return session.NewClient(s), release, nil
		})
	case session.OpDial:
		return conn.ServeDial(h.ctx, files, func(ctx context.Context) (*router.Stream, func(), error) { return h.open(ctx, i) })
	case session.OpHold:
		return conn.ServeHold(h.ctx, func(context.Context) (func(), error) { return func() {}, nil })
	}
	return nil, errors.New("control socket: no operation " + i.Op)
}

// open announces i to the gateway and waits for the stream that it joins to the destination's.
func (h *shims) open(ctx context.Context, i *session.Invocation) (*router.Stream, func(), error) {
	wire, err := i.Append(nil)
	if err != nil {
		return nil, nil, err
	}
	if len(wire) > maxForwarded {
		return nil, nil, errors.New("the command is too long")
	}
	select {
	case h.slots <- struct{}{}:
	default:
		return nil, nil, errors.New("too many ssh at once")
	}
	inv := &invocation{stream: make(chan *router.Stream, 1), failed: make(chan error, 1), done: make(chan struct{})}
	id := h.agent.asks.announce(&ask{
		on: h.stream, kind: session.ItemInvoke, wire: wire, take: inv.take, fail: func(err error) { inv.failed <- err },
	})
	release := func() {
		h.agent.asks.claim(id)
		inv.over()
		<-h.slots
	}
	select {
	case s := <-inv.stream:
		return s, release, nil
	case err = <-inv.failed:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	release()
	return nil, nil, err
}

// take hands s to the shim and waits until it is done with it.
func (i *invocation) take(s *router.Stream) {
	i.stream <- s
	<-i.done
	s.Close()
}

// over ends the invocation. A stream that has come for it and was not taken is reset.
func (i *invocation) over() {
	select {
	case s := <-i.stream:
		s.Reset(session.ErrAbandoned)
	default:
	}
	close(i.done)
}
