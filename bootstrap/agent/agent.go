package agent

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// Config makes an Agent.
type Config struct {
	Router *router.Router
	// Child is the configuration that children inherit what they can from: the agent's own.
	Child  bootstrap.Config
	Images *bootstrap.Images
	// Version is told by FuncInfo.
	Version string
}

// Agent serves the functions of package session in one context.
type Agent struct {
	cfg     Config
	account func() account // who sessions run as
	reaper  *reaper
	grace   time.Duration // between SIGHUP and SIGKILL, for a session whose stream is lost
	asks    asks

	listeners listeners

	mu       sync.Mutex
	closing  bool
	sessions sync.WaitGroup // guarded by mu against Add after Close
	live     int
	idle     *time.Timer // runs trim
}

// New makes an agent and registers its functions with the router.
func New(cfg Config) *Agent {
	a := &Agent{cfg: cfg, account: new(accounts).current, reaper: newReaper(), grace: defaultGrace}
	a.idle = time.AfterFunc(idleDelay, a.trim)
	r := cfg.Router
	r.Register(session.FuncStart, a.start)
	r.Register(session.FuncDial, a.dial)
	r.Register(session.FuncListen, a.listen)
	r.Register(session.FuncAttach, a.attach)
	r.Register(session.FuncInvocation, a.invocation)
	r.Register(session.FuncConnect, a.connect)
	r.Register(session.FuncDisconnect, a.disconnect)
	r.Register(session.FuncPutImage, a.putImage)
	r.Register(session.FuncPing, ping)
	r.Register(session.FuncInfo, a.info)
	return a
}

// Close waits until every session has ended, and what belongs to it is gone. The router has to
// be closed before: that is what ends them.
func (a *Agent) Close() {
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	a.sessions.Wait()
	a.idle.Stop()
	a.reaper.close()
}

var errClosing = errors.New("agent is shutting down")

// begin counts a session in; every success is followed by one end.
func (a *Agent) begin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return errClosing
	}
	a.sessions.Add(1)
	a.live++
	return nil
}

func (a *Agent) end() {
	a.mu.Lock()
	a.live--
	idle := a.live == 0 && !a.closing
	a.mu.Unlock()
	a.sessions.Done()
	if idle {
		a.idle.Reset(idleDelay)
	}
}

// callError is an error for the asking end: one line.
func callError(err error) error {
	var call *router.CallError
	if errors.As(err, &call) {
		return call
	}
	return &router.CallError{Type: session.TypeError, Text: err.Error()}
}

// arg returns argument i of a call, or nil.
func arg(c *router.Call, i int) any {
	if i < len(c.Args) {
		return c.Args[i]
	}
	return nil
}

func textArg(c *router.Call, i int) (string, error) {
	s, ok := arg(c, i).(string)
	if !ok {
		return "", errors.New(c.Name + ": argument is not text")
	}
	return s, nil
}

// serveStream accepts the stream that the caller offers and runs serve on it, which owns it from then on.
func (a *Agent) serveStream(c *router.Call, prepare func(s *router.Stream) (serve func(), err error)) error {
	if err := a.begin(); err != nil {
		return callError(err)
	}
	s, err := c.Stream()
	if err != nil {
		a.end()
		return callError(err)
	}
	serve, err := prepare(s)
	if err != nil {
		a.end()
		return callError(err)
	}
	go func() { // ends with the stream; Close waits for it
		defer a.end()
		serve()
	}()
	return nil
}

// start serves FuncStart.
func (a *Agent) start(_ context.Context, c *router.Call) (any, error) {
	spec, err := session.DecodeSpec(arg(c, 0))
	if err != nil {
		return nil, callError(err)
	}
	return nil, a.serveStream(c, func(s *router.Stream) (func(), error) {
		if spec.Kind == session.Subsystem {
			return a.subsystem(spec, s)
		}
		r, err := a.launch(spec, s)
		if err != nil {
			return nil, err
		}
		return r.serve, nil
	})
}

func ping(_ context.Context, c *router.Call) (any, error) { return arg(c, 0), nil }

func (a *Agent) info(context.Context, *router.Call) (any, error) {
	acct := a.account()
	host, _ := os.Hostname()
	info := session.Info{
		PID: os.Getpid(), OS: runtime.GOOS, Arch: runtime.GOARCH, Hostname: host,
		UID: acct.UID, GID: acct.GID, User: acct.Name, Home: acct.Home, Shell: acct.Shell,
		Version: a.cfg.Version,
	}
	return info.Encode(), nil
}
