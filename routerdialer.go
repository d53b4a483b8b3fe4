package fakessh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
	"fakessh/router/pickle"
)

// endTimeout is how long an agent may take to end a child: longer than a tool that has to be killed.
const endTimeout = 15 * time.Second

// answerTime is how long after its own time is up an agent may take to say that it could not connect.
const answerTime = 10 * time.Second

// routerDialer makes real contexts: at the gateway by methods.Dial, in a context by asking its agent.
type routerDialer struct {
	r      *router.Router
	images *bootstrap.Images
	log    *slog.Logger

	ctx    context.Context // ends what nobody waits for any more
	cancel context.CancelFunc
	late   sync.WaitGroup // attempts that were given up and have not ended yet

	mu   sync.Mutex
	told map[router.ContextID]*child // those that agents have started, and may say the end of
}

func newRouterDialer(images *bootstrap.Images, log *slog.Logger) *routerDialer {
	d := &routerDialer{images: images, log: log, told: map[router.ContextID]*child{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.r = router.New(router.Config{
		Name:           "gateway",
		Unidirectional: true, // a hostile target reaches neither its siblings nor our functions
		Log:            routerLog(log),
		ForwardedLog: func(from router.ContextID, logger string, _ router.Level, text string) {
			if logger == session.LoggerLost {
				d.lost(from, text)
			}
			log.Debug("agent says", "node", from, "logger", session.OneLine(logger), "text", session.OneLine(text))
		},
	})
	return d
}

// lost notes why an agent has lost a child. It is believed about its own only.
func (d *routerDialer) lost(from router.ContextID, text string) {
	id, reason, ok := session.ParseLost(text)
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.told[router.ContextID(id)]; ok && c != nil && c.via.id() == from {
		c.reason.CompareAndSwap(nil, &reason)
	}
}

// follow has c hear what its agent says of its end, until forget.
func (d *routerDialer) follow(c *child) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told[c.id()] == nil { // else an agent names the child of another
		d.told[c.id()] = c
	}
}

func (d *routerDialer) forget(c *child) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told[c.id()] == c {
		delete(d.told, c.id())
	}
}

// routerLog hands the router's records on.
func routerLog(log *slog.Logger) router.LogFunc {
	levels := map[router.Level]slog.Level{router.LevelDebug: slog.LevelDebug, router.LevelInfo: slog.LevelInfo,
		router.LevelWarn: slog.LevelWarn, router.LevelError: slog.LevelError}
	return func(level router.Level, msg string, attrs ...string) {
		l := levels[level]
		if !log.Enabled(context.Background(), l) {
			return
		}
		args := make([]any, len(attrs))
		for i, a := range attrs {
			args[i] = a
		}
		log.Log(context.Background(), l, msg, args...)
	}
}

func (d *routerDialer) router() *router.Router { return d.r }

func (d *routerDialer) close() error {
	d.cancel()
	err := d.r.Close()
	d.late.Wait()
	return err
}

func (d *routerDialer) dial(ctx context.Context, via remote, s step) (remote, error) {
	spec, err := methods.ResolveSecrets(ctx, s.spec)
	if err != nil {
		return nil, err
	}
	if via == nil {
		return d.dialHere(ctx, spec, s.target)
	}
	return d.dialThere(ctx, via.(*child), spec)
}

// dialHere starts a child of the gateway.
func (d *routerDialer) dialHere(ctx context.Context, spec methods.Spec, target Target) (remote, error) {
	id, err := d.r.AllocateID(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := methods.Dial(ctx, methods.Request{
		Spec:   spec,
		Agent:  bootstrap.Config{ID: uint32(id), ParentIDs: []uint32{uint32(d.r.ID())}, Unidirectional: true},
		Images: d.images,
		Log:    toolLog(d.log.With("node", target.String())),
	})
	if err != nil {
		return nil, err
	}
	c, err := d.r.AddLink(conn, router.LinkConfig{Remote: id, Name: conn.Name})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &child{d: d, c: c}, nil
}

// toolLog logs what a tool says, and not more of it than is worth reading: the far side chooses it.
func toolLog(log *slog.Logger) func(line string) {
	quota := &router.Quota{Burst: methods.LogBurst, PerSecond: methods.LogPerSecond}
	return func(line string) {
		ok, skipped := quota.Take()
		switch {
		case !ok && skipped == 1:
			log.Warn("tool says too much, lines are left out")
		case ok && skipped > 0:
			log.Warn("tool lines were left out", "count", skipped)
		}
		if ok {
			log.Info("tool", "line", session.OneLine(line))
		}
	}
}

// dialThere asks the agent of via. An agent does not hear that nobody waits any more, so what comes up too late is ended.
func (d *routerDialer) dialThere(ctx context.Context, via *child, spec methods.Spec) (remote, error) {
	type result struct {
		r   remote
		err error
	}
	answer := make(chan result)
	d.late.Go(func() { // ends with the agent's answer, its loss, or the dialer
		r, err := d.ask(d.ctx, via, spec)
		select {
		case answer <- result{r, err}:
		case <-ctx.Done():
			if err == nil {
				r.end(context.Cause(ctx))
			}
		}
	})
	select {
	case a := <-answer:
		return a.r, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ask has via's agent start a child, and sends it the image if it lacks one.
func (d *routerDialer) ask(ctx context.Context, via *child, spec methods.Spec) (remote, error) {
	req := &session.ConnectRequest{Method: spec.Method, Params: wireParams(spec), Unidirectional: true}
	up, err := connectThere(ctx, via.c, req, spec)
	if platform, missing := session.NeedImage(err); missing {
		if err := d.sendImage(ctx, via.c, bootstrap.Platform(platform)); err != nil {
			return nil, err
		}
		up, err = connectThere(ctx, via.c, req, spec)
	}
	if err != nil {
		return nil, err
	}
	id := router.ContextID(up.ID)
	if err := d.beneath(id, via.id()); err != nil {
		return nil, err
	}
	r := &child{d: d, c: d.r.Context(id), via: via}
	d.follow(r)
	return r, nil
}

// connectThere is one attempt. The agent keeps the time itself; one that does not is not waited for much longer.
func connectThere(ctx context.Context, via *router.Context, req *session.ConnectRequest, spec methods.Spec) (*session.Connected, error) {
	limit := methods.ConnectTimeout(spec)
	ctx, cancel := context.WithTimeoutCause(ctx, limit+answerTime, &methods.TimeoutError{After: limit})
	defer cancel()
	return session.Connect(ctx, via, req)
}

// beneath believes an agent that id is its child only as far as the routes agree: a hostile one could name any. (node.claim refuses an id that is in use.)
func (d *routerDialer) beneath(id, via router.ContextID) error {
	routes := d.r.Routes()
	by, ok := routes[id]
	if !ok || by != routes[via] || id == via || id == by {
		return fmt.Errorf("agent names context %d, which is not beneath it", id)
	}
	return nil
}

// wireParams are spec's parameters with its secrets in the router's type.
func wireParams(spec methods.Spec) map[string]any {
	params := spec.Params.Wire()
	for name, v := range params {
		if secret, ok := v.(methods.Secret); ok {
			params[name] = pickle.Secret(secret)
		}
	}
	return params
}

// child is a context that is up.
type child struct {
	d      *routerDialer
	c      *router.Context
	via    *child                 // whose agent has started it; nil: the gateway has
	reason atomic.Pointer[string] // why it is lost, as that agent has said
}

func (r *child) id() router.ContextID     { return r.c.ID() }
func (r *child) context() *router.Context { return r.c }
func (r *child) done() <-chan struct{}    { return r.c.Done() }

// err prefers what an agent has said of the outermost context that it has lost on the way here to what the router knows of that.
func (r *child) err() error {
	err := r.c.Err()
	if err == nil {
		return nil
	}
	for hop := r; hop != nil; hop = hop.via {
		if reason := hop.reason.Load(); reason != nil {
			err = &router.LostError{ID: hop.id(), Name: hop.c.Name(), Cause: errors.New(*reason)}
		}
	}
	return err
}

func (r *child) info(ctx context.Context) (session.Info, error) { return session.GetInfo(ctx, r.c) }

// ping takes any answer for an answer.
func (r *child) ping(ctx context.Context) (time.Duration, error) {
	rtt, err := session.Ping(ctx, r.c)
	var call *router.CallError
	if errors.As(err, &call) {
		err = nil
	}
	return rtt, err
}

// end has the link closed by whoever holds it, which ends the tool: in order, and by force when that does not do.
func (r *child) end(cause error) {
	defer r.d.forget(r)
	if isDone(r.c.Done()) {
		return
	}
	if r.via == nil {
		if r.c.Disconnect(cause) == nil { // else it is gone already
			<-r.c.Done()
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if session.Disconnect(ctx, r.via.c, uint32(r.c.ID()), session.ErrorLine(cause)) != nil {
		return // gone already, or its parent is
	}
	select {
	case <-r.c.Done():
	case <-ctx.Done():
	}
}
