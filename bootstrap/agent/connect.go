package agent

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
	"fakessh/router/pickle"
)

// connect serves FuncConnect: it starts a child context here, and gives its link to the router.
func (a *Agent) connect(ctx context.Context, c *router.Call) (any, error) {
	req, err := session.DecodeConnectRequest(arg(c, 0))
	if err != nil {
		return nil, callError(err)
	}
	if err := a.begin(); err != nil {
		return nil, callError(err)
	}
	defer a.end()
	id := router.ContextID(req.ID)
	if id == 0 {
		if id, err = a.cfg.Router.AllocateID(ctx); err != nil {
			return nil, callError(err)
		}
	}
	conn, err := methods.Dial(ctx, a.request(req, id))
	if err != nil {
		return nil, dialError(err)
	}
	if _, err := a.cfg.Router.AddLink(conn, router.LinkConfig{Remote: id, Name: conn.Name}); err != nil {
		conn.Close()
		return nil, callError(err)
	}
	return connected(id, conn).Encode(), nil
}

// disconnect serves FuncDisconnect: id, reason.
func (a *Agent) disconnect(_ context.Context, c *router.Call) (any, error) {
	id, ok := arg(c, 0).(int64)
	if !ok || id <= 0 || id >= 1<<32 {
		return nil, callError(errors.New("disconnect: id is out of range"))
	}
	text, err := textArg(c, 1)
	if err != nil {
		return nil, callError(err)
	}
	child := router.ContextID(id)
	if a.cfg.Router.Routes()[child] != child || slices.Contains(a.cfg.Router.ParentIDs(), child) {
		return nil, callError(errors.New("disconnect: " + strconv.FormatInt(id, 10) + " is not a child of this context"))
	}
	if err := a.cfg.Router.Context(child).Disconnect(errors.New(text)); err != nil {
		return nil, callError(err)
	}
	return nil, nil
}

// request is what methods has to know: the child's place in the tree is beneath this context.
func (a *Agent) request(req *session.ConnectRequest, id router.ContextID) methods.Request {
	r := a.cfg.Router
	parents := []uint32{uint32(r.ID())}
	for _, p := range r.ParentIDs() {
		parents = append(parents, uint32(p))
	}
	cfg := bootstrap.Config{
		ID:             uint32(id),
		ParentIDs:      parents,
		Unidirectional: req.Unidirectional || a.cfg.Child.Unidirectional,
		MaxMessage:     req.MaxMessage,
		RemoteName:     req.RemoteName,
		NoCache:        req.NoCache,
		Debug:          req.Debug,
	}
	if cfg.MaxMessage == 0 {
		cfg.MaxMessage = a.cfg.Child.MaxMessage
	}
	return methods.Request{
		Spec:   methods.Spec{Method: req.Method, Params: params(req.Params)},
		Agent:  cfg,
		Images: a.cfg.Images,
		Log:    a.toolLog(req.Method),
	}
}

// toolLog sends on what a tool says, and not more of it than is worth reading: the far side chooses it.
func (a *Agent) toolLog(method string) func(line string) {
	quota := &router.Quota{Burst: methods.LogBurst, PerSecond: methods.LogPerSecond}
	return func(line string) {
		ok, skipped := quota.Take()
		switch {
		case !ok && skipped == 1:
			a.cfg.Router.ForwardLog(router.LevelWarn, method, "says too much, lines are left out")
		case ok && skipped > 0:
			a.cfg.Router.ForwardLog(router.LevelWarn, method, strconv.Itoa(skipped)+" lines were left out")
		}
		if ok {
			a.cfg.Router.ForwardLog(router.LevelInfo, method, line)
		}
	}
}

// params translates what travelled into a method's own types.
func params(wire map[string]any) methods.Params {
	p := make(methods.Params, len(wire))
	for name, v := range wire {
		if secret, ok := v.(pickle.Secret); ok {
			v = methods.Secret(secret)
		}
		p[name] = v
	}
	return p
}

func connected(id router.ContextID, conn *methods.Conn) *session.Connected {
	c := &session.Connected{ID: uint32(id), Name: conn.Name}
	if ready := conn.Ready; ready != nil {
		c.Platform, c.Version, c.Caps = string(ready.Platform), ready.Version, ready.Caps
		c.Cached, c.Uploaded = ready.Cached, max(ready.Uploaded, 0)
	}
	return c
}

// dialError keeps the kind of err for the asking end.
func dialError(err error) error {
	var need *bootstrap.NeedImageError
	if errors.As(err, &need) {
		return &router.CallError{Type: session.TypeNeedImage, Text: string(need.Platform)}
	}
	return &router.CallError{Type: errorType(err), Text: session.OneLine(err.Error())}
}

func errorType(err error) string {
	var (
		account  *methods.AccountError
		password *methods.PasswordError
		hostKey  *methods.HostKeyError
		eof      *methods.EOFError
		timeout  *methods.TimeoutError
		stage    *bootstrap.StageError
	)
	switch {
	case errors.As(err, &account):
		return session.TypeAccount
	case errors.As(err, &password):
		return session.TypePassword
	case errors.As(err, &hostKey):
		return session.TypeHostKey
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return session.TypeTimeout
	case errors.As(err, &eof):
		return session.TypeEOF
	case errors.As(err, &stage):
		return session.TypeStage
	}
	return session.TypeError
}
