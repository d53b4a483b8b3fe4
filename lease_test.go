package fakessh

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
	"fakessh/router/routertest"
)

// agentRemote is a context with a router of its own at its other end.
type agentRemote struct {
	*fakeRemote
	c *router.Context
}

func (r agentRemote) context() *router.Context { return r.c }

// leaseOf leases c under the name "web1".
func leaseOf(c *router.Context) *Lease {
	target := Target{Name: "web1"}
	n := &node{remote: agentRemote{&fakeRemote{num: c.ID(), lost: make(chan struct{})}, c}}
	n.chain = chain{{spec: exec("a"), target: target}}
	return &Lease{n: n}
}

// An agent that is hostile, or stuck, is not waited for until the client goes.
func TestSilentAgentIsNotWaitedForLong(t *testing.T) {
	for _, tc := range []struct {
		what, function string
		ask            func(ctx context.Context, l *Lease) error
		after          time.Duration
		want           string
	}{
		{"session", session.FuncStart, func(ctx context.Context, l *Lease) error {
			_, err := l.Start(ctx, &session.Spec{Kind: session.Exec, Command: "true"})
			return err
		}, 40 * time.Second, "start a session in web1: no answer after 40s"},
		{"dial", session.FuncDial, func(ctx context.Context, l *Lease) error {
			_, err := l.Dial(ctx, "tcp", "127.0.0.1:80")
			return err
		}, 70 * time.Second, "connect to 127.0.0.1:80 in web1: no answer after 1m10s"},
		{"listen", session.FuncListen, func(ctx context.Context, l *Lease) error {
			_, err := l.Listen(ctx, "tcp", "localhost:80")
			return err
		}, 40 * time.Second, "listen on localhost:80 in web1: no answer after 40s"},
		{"invocation", session.FuncInvocation, func(ctx context.Context, l *Lease) error {
			_, err := (&remoteRun{from: l, ctx: ctx}).fetch(1)
			return err
		}, 40 * time.Second, "ask about an ssh in web1: no answer after 40s"},
		{"circuit", session.FuncStart, func(ctx context.Context, l *Lease) error {
			r := &remoteRun{from: l, ctx: ctx, srv: &ControlServer{Tree: &Tree{dialer: routerOnly{r: l.Context().Router()}}}}
			_, err := r.circuit(1, l, &session.Invocation{Op: session.OpSession, Spec: &session.Spec{Kind: session.Shell}})
			return err
		}, 40 * time.Second, "start a session in web1: no answer after 40s"},
		{"image", session.FuncPutImage, func(ctx context.Context, l *Lease) error {
			return session.PutImage(ctx, l.Context(), "linux/amd64", strings.Repeat("0", 64), 1, strings.NewReader("x"))
		}, time.Minute, "put image: no progress for 1m0s"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gateway, agent := routertest.Pair(t, routertest.Unidirectional)
				ended := make(chan struct{})
				agent.Register(tc.function, func(ctx context.Context, c *router.Call) (any, error) {
					s, err := c.Stream()
					if err != nil { // the function is not one for streams
						<-t.Context().Done()
						return nil, err
					}
					<-s.Done() // the gateway gives it up
					close(ended)
					return nil, errors.New("late")
				})
				begun := time.Now()
				err := tc.ask(t.Context(), leaseOf(gateway.Context(agent.ID())))
				if took := time.Since(begun); err == nil || err.Error() != tc.want || took != tc.after {
					t.Errorf("%v after %v, want %q after %v", err, took, tc.want, tc.after)
				}
				if tc.function != session.FuncInvocation {
					<-ended
				}
			})
		})
	}
}

// routerOnly is a dialer that dials nothing.
type routerOnly struct {
	dialer
	r *router.Router
}

func (d routerOnly) router() *router.Router { return d.r }
