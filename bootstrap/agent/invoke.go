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

// shims serves the shims of a session with Spec.Shim. Its goroutines:
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

	mu      sync.Mutex
	pending map[uint64]*invocation
}

// invocation is one shim that waits for its session, or has it.
type invocation struct {
	wire     []byte
	stream   chan *router.Stream // takes one: the destination's
	failed   chan error          // takes one: why there is none
	done     chan struct{}       // closed when the invocation is over
	answered bool                // guarded by shims.mu: one of the two has been sent
}

// newShims makes the session's place and begins to listen.
func (a *Agent) newShims(s *router.Stream) (*shims, error) {
	place, err := session.NewPlace(selfProgram())
	if err != nil {
		return nil, errors.New("make a directory for ssh: " + reason(err))
	}
	h := &shims{agent: a, stream: s, place: place, pending: map[uint64]*invocation{}}
	if h.ln, err = place.Listen(); err != nil {
		place.Remove()
		return nil, errors.New("listen for ssh: " + reason(err))
	}
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	h.wg.Go(h.accept)
	a.runs.add(h)
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
	e.vars = h.place.Environ(e.vars, h.place.Socket(), "")
}

// close ends every invocation, and returns when nothing is left of them.
func (h *shims) close() {
	if h == nil {
		return
	}
	h.agent.runs.remove(h)
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
	inv := &invocation{wire: wire, stream: make(chan *router.Stream, 1), failed: make(chan error, 1), done: make(chan struct{})}
	id, ok := h.register(inv)
	if !ok {
		return nil, nil, errors.New("too many ssh at once")
	}
	err = h.stream.SendControl(router.Control{Kind: session.ItemInvoke, Data: session.AppendInvokeItem(nil, id, "")})
	if err == nil {
		select {
		case s := <-inv.stream:
			return s, func() { h.forget(id) }, nil
		case err = <-inv.failed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	h.forget(id)
	return nil, nil, err
}

func (h *shims) register(inv *invocation) (id uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.pending) >= maxInvocations {
		return 0, false
	}
	id = h.agent.runs.nextID()
	h.pending[id] = inv
	return id, true
}

// forget ends an invocation. A stream that has come for it and was not taken is reset.
func (h *shims) forget(id uint64) {
	h.mu.Lock()
	inv := h.pending[id]
	delete(h.pending, id)
	h.mu.Unlock()
	select {
	case s := <-inv.stream:
		s.Reset(session.ErrAbandoned)
	default:
	}
	close(inv.done)
}

// claim finds the invocation id. With answer, only once.
func (h *shims) claim(id uint64, answer bool) *invocation {
	h.mu.Lock()
	defer h.mu.Unlock()
	inv := h.pending[id]
	if inv == nil || answer && inv.answered {
		return nil
	}
	inv.answered = inv.answered || answer
	return inv
}

// answered takes an ItemAnswer: there will be no stream.
func (h *shims) answered(data []byte) {
	id, text, err := session.ParseInvokeItem(data)
	if err != nil || h == nil {
		return
	}
	if inv := h.claim(id, true); inv != nil {
		inv.failed <- errors.New(session.OneLine(text))
	}
}

// runTable finds invocations by their id, among all runs of the agent.
type runTable struct {
	mu   sync.Mutex
	last uint64
	runs map[*shims]struct{}
}

func (t *runTable) nextID() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	return t.last
}

func (t *runTable) add(h *shims) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.runs == nil {
		t.runs = map[*shims]struct{}{}
	}
	t.runs[h] = struct{}{}
}

func (t *runTable) remove(h *shims) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.runs, h)
}

var errNoInvocation = errors.New("that ssh is gone")

// claim finds the invocation that argument 0 of c names.
func (t *runTable) claim(c *router.Call, answer bool) (*invocation, error) {
	id, ok := arg(c, 0).(int64)
	if !ok {
		return nil, errors.New(c.Name + ": argument is no id")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for h := range t.runs {
		if inv := h.claim(uint64(id), answer); inv != nil {
			return inv, nil
		}
	}
	return nil, errNoInvocation
}

// invocation serves FuncInvocation.
func (a *Agent) invocation(_ context.Context, c *router.Call) (any, error) {
	inv, err := a.runs.claim(c, false)
	if err != nil {
		return nil, callError(err)
	}
	return inv.wire, nil
}

// attach serves FuncAttach: the stream becomes the invocation's session.
func (a *Agent) attach(_ context.Context, c *router.Call) (any, error) {
	inv, err := a.runs.claim(c, true)
	if err != nil {
		return nil, callError(err)
	}
	return nil, a.serveStream(c, func(s *router.Stream) (func(), error) {
		return func() {
			inv.stream <- s
			<-inv.done
			s.Close()
		}, nil
	})
}
