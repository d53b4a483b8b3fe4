package router_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fakessh/router"
	"fakessh/router/routertest"
)

// waiter calls t.wait in the background.
func waiter(t *testing.T, c *router.Context) chan error {
	t.Helper()
	started := make(chan struct{})
	done := make(chan error, 1)
	ctx := t.Context()
	go func() { // ends with the call, which the loss ends
		close(started)
		_, err := c.Call(ctx, "t.wait")
		done <- err
	}()
	<-started
	return done
}

// parked makes a function t.wait at the node that tells when it runs.
func parked(r *router.Router) chan struct{} {
	running := make(chan struct{}, 10)
	r.Register("t.wait", func(ctx context.Context, c *router.Call) (any, error) {
		running <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	return running
}

func TestLossWakesTheWaiterAndSaysWhoAndWhy(t *testing.T) {
	for _, tc := range []struct{ name, callee, cut, want string }{
		{"direct child", "a", "a", `context "a" (1) lost: connection closed by the other side`},
		{"grandchild", "b", "b", `context "b" (2) lost: its route was withdrawn by "a" (1)`},
		{"grandchild through a lost middle", "b", "a", `context "b" (2) lost: context "a" (1) lost: connection closed by the other side`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			routertest.Leaks(t)
			tree := routertest.Tree(t, "a(b) c(d)")
			running := parked(tree.Node(tc.callee))
			done := waiter(t, tree.View("master", tc.callee))
			<-running
			tree.Cut(tc.cut)
			err := <-done
			var lost *router.LostError
			if !errors.As(err, &lost) || lost.ID != tree.ID(tc.callee) || lost.Name != tc.callee || err.Error() != tc.want {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
			if _, err := tree.View("master", "d").Call(t.Context(), "routertest.ping"); err != nil {
				t.Errorf("another context: %v", err)
			}
		})
	}
}

func TestLossWakesWaitersBesideTheLostContext(t *testing.T) {
	for _, tc := range []struct{ name, caller, callee, cut string }{
		{"sibling", "c", "a", "a"},
		{"cousin", "d", "b", "b"},
		{"cousin through a lost middle", "d", "b", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tree := routertest.Tree(t, "a(b) c(d)")
			rcv, err := tree.Node(tc.caller).NewReceiver(router.ReceiverOptions{Respondent: ptr(tree.ID(tc.callee))})
			if err != nil {
				t.Fatal(err)
			}
			defer rcv.Close()
			// Siblings have no authority, so the call itself is refused; that it was made is what counts.
			if _, err := tree.View(tc.caller, tc.callee).Call(t.Context(), "t.echo"); err == nil || err.Error() != "refused by policy" {
				t.Fatal(err)
			}
			tree.Cut(tc.cut)
			if _, err := rcv.Get(t.Context()); err == nil || err.Error() != "the respondent Context has disconnected" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestCallToALostContextFailsAtOnce(t *testing.T) {
	tree := routertest.Tree(t, "a")
	a := tree.View("master", "a")
	tree.Cut("a")
	<-a.Done()
	if _, err := a.Call(t.Context(), "t.echo"); !errors.Is(err, router.ErrLost) {
		t.Errorf("the object of before: %v", err)
	}
	_, err := tree.View("master", "a").Call(t.Context(), "t.echo")
	if err == nil || err.Error() != "no route to 1, my ID is 0" {
		t.Errorf("a fresh object: %v", err)
	}
}

func TestCallersLossEndsItsCalls(t *testing.T) {
	routertest.Leaks(t)
	tree := routertest.Tree(t, "a(b)")
	ended := make(chan error, 1)
	running := make(chan struct{})
	tree.Node("b").Register("t.wait", func(ctx context.Context, c *router.Call) (any, error) {
		close(running)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, nil
	})
	go tree.View("master", "b").Call(t.Context(), "t.wait") // ends with the loss
	<-running
	tree.Cut("a") // b's caller is now out of reach for b, which hears it from a
	tree.Node("a").Close()
	if err := <-ended; !errors.Is(err, router.ErrLost) {
		t.Errorf("ended by %v", err)
	}
}

func TestLostParentEndsTheRouter(t *testing.T) {
	tree := routertest.Tree(t, "a(b)")
	a := tree.Node("a")
	b := tree.View("a", "b")
	tree.Cut("a")
	<-a.Done()
	if err := a.Err(); !errors.Is(err, router.ErrLost) || !strings.Contains(err.Error(), `context "master" (0) lost: `) {
		t.Errorf("done because: %v", err)
	}
	if _, err := b.Call(t.Context(), "routertest.ping"); err != nil {
		t.Errorf("what is below is still there: %v", err)
	}
	if err := a.Context(0).Err(); err != nil {
		t.Errorf("a fresh view of what is above: %v", err)
	}
}

func TestClosingWakesCallsWithErrClosed(t *testing.T) {
	routertest.Leaks(t)
	tree := routertest.Tree(t, "a")
	a := tree.View("master", "a")
	running := parked(tree.Node("a"))
	done := waiter(t, a)
	<-running
	tree.Master.Close()
	if err := <-done; !errors.Is(err, router.ErrClosed) {
		t.Errorf("got %v", err)
	}
	<-a.Done()
	if err := a.Err(); !errors.Is(err, router.ErrClosed) || !errors.Is(err, router.ErrLost) {
		t.Errorf("the context is lost because: %v", err)
	}
	if _, err := tree.Master.AddLink(nopCloser{}, child(9)); err != router.ErrClosed {
		t.Errorf("a link afterwards: %v", err)
	}
	if err := tree.Master.Context(77).Err(); !errors.Is(err, router.ErrClosed) {
		t.Errorf("a context afterwards: %v", err)
	}
	if err := tree.Master.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

func TestDisconnectGivesItsCause(t *testing.T) {
	tree := routertest.Tree(t, "a(b)")
	cause := errors.New("no answer for 45 s")
	b := tree.View("master", "b")
	if err := b.Disconnect(cause); err == nil {
		t.Error("a grandchild can be disconnected")
	}
	if err := tree.View("master", "a").Disconnect(cause); err != nil {
		t.Fatal(err)
	}
	<-b.Done()
	if err := b.Err(); !errors.Is(err, cause) {
		t.Errorf("lost because: %v", err)
	}
	<-tree.Node("a").Done()
}

// sadReader ends with words of its own.
type sadReader struct {
	io.ReadWriteCloser
	err error
}

func (s sadReader) Read(p []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(p)
	if err == io.EOF {
		err = s.err
	}
	return n, err
}

func TestTransportsLastWordsAreTheCause(t *testing.T) {
	r := newRouter(t, router.Config{})
	ours, theirs := routertest.Pipe()
	cause := errors.New(`ssh: connect to host web1 port 22: connection refused`)
	c, err := r.AddLink(sadReader{ours, cause}, router.LinkConfig{Remote: 1, Name: "web1"})
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	<-c.Done()
	if !errors.Is(c.Err(), cause) {
		t.Errorf("lost because: %v", c.Err())
	}
}

// halfDead refuses writes while reads still give what was sent before.
type halfDead struct {
	io.ReadWriteCloser
	broken chan struct{}
}

func (h halfDead) Write(p []byte) (int, error) {
	select {
	case <-h.broken:
		return 0, io.ErrClosedPipe
	default:
		return h.ReadWriteCloser.Write(p)
	}
}

func TestWhatWasSentBeforeTheEndIsDeliveredAfterAFailedWrite(t *testing.T) {
	r := newRouter(t, router.Config{})
	ours, theirs := routertest.Pipe()
	link := halfDead{ours, make(chan struct{})}
	got := make(chan string, 10)
	r.AddHandler(5000, func(m *router.Message) { got <- string(m.Data) }, router.HandleOptions{})
	c, err := r.AddLink(link, child(1))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, id: 1, rwc: theirs}
	close(link.broken)
	r.Route(&router.Message{Dst: 1, Handle: 1000})
	p.send(p.own(0, 5000, 0, "last words"))
	if s := <-got; s != "last words" {
		t.Errorf("got %q", s)
	}
	theirs.Close()
	<-c.Done()
}

func TestPeerThatNeitherReadsNorSpeaksIsDroppedAfterAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRouter(t, router.Config{})
		ours, _ := routertest.Pipe()
		link := halfDead{ours, make(chan struct{})}
		close(link.broken)
		c, err := r.AddLink(link, child(1))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r.Route(&router.Message{Dst: 1, Handle: 1000})
		<-c.Done()
		if d := time.Since(start); d > time.Second {
			t.Errorf("noticed after %v", d)
		}
	})
}

func TestCloseDoesNotWaitForAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := router.New(router.Config{})
		ours, theirs := routertest.Pipe()
		if _, err := r.AddLink(ours, child(1)); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			r.Route(&router.Message{Dst: 1, Handle: 1000, Data: make([]byte, 64<<10)})
		}
		start := time.Now()
		r.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("closed after %v", d)
		}
		theirs.Close()
	})
}

func TestCloseWritesWhatIsQueued(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	for i := range 100 {
		r.Route(&router.Message{Dst: 1, Handle: router.Handle(2000 + i), Data: make([]byte, 10000)})
	}
	r.Close()
	for i := range 100 {
		if m := p.next(); m.handle != uint32(2000+i) {
			t.Fatalf("message %d is %v", i, m.handle)
		}
	}
}

func TestShutdownEndsChildrenThenParentLinks(t *testing.T) {
	routertest.Leaks(t)
	tree := routertest.Tree(t, "a(b(c)) d")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := tree.Master.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		<-tree.Node(name).Done()
		if n := len(tree.Node(name).Routes()); n != 0 {
			t.Errorf("%s still has %d routes", name, n)
		}
	}
}

func TestShutdownOfOneContextWaitsForItsEnd(t *testing.T) {
	tree := routertest.Tree(t, "a(b)")
	if err := tree.View("master", "b").Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.View("master", "b").Call(t.Context(), "t.echo"); err == nil || !strings.HasPrefix(err.Error(), "no route to 2, my ID is ") {
		t.Errorf("a later call: %v", err)
	}
	if _, err := tree.View("master", "a").Call(t.Context(), "routertest.ping"); err != nil {
		t.Errorf("its parent: %v", err)
	}
}

func TestShutdownIsForAuthorityOnly(t *testing.T) {
	tree := routertest.Tree(t, "a b")
	tree.Node("b").Route(&router.Message{Dst: 1, Handle: 106})
	tree.Node("b").Route(router.NewDead(1, 101, "die"))
	if _, err := tree.View("b", "a").Call(t.Context(), "t.echo"); err == nil || err.Error() != "refused by policy" {
		t.Errorf("got %v", err)
	}
	if _, err := tree.View("master", "a").Call(t.Context(), "routertest.ping"); err != nil {
		t.Errorf("after attempts by a sibling: %v", err)
	}
}

func TestDeadCallFromAboveIsAShutdown(t *testing.T) {
	r, above := middle(t, false)
	above.send(above.own(1, 101, 999, ""))
	above.closed()
	<-r.Done()
}

func TestShutdownGivesUpOnChildrenThatStay(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	err := r.Shutdown(canceled())
	if err == nil || err.Error() != "shut down: 1 children had not ended: context canceled" {
		t.Errorf("got %v", err)
	}
	p.want(msg{dst: 1, handle: 106})
	p.closed()
}

func TestChildCallsAreRefusedWhileShuttingDown(t *testing.T) {
	r, above := middle(t, false)
	below := connect(t, r, child(2)) // stays, so that the shutdown lasts
	above.next()
	above.send(above.own(1, 106, 0, ""))
	below.want(msg{dst: 2, src: 1, auth: 1, handle: 106})
	above.send(above.own(1, 101, 1000, callData(t, nil, "t", "echo")))
	if m := above.next(); !strings.Contains(m.data, "shutting down") {
		t.Errorf("came %v", m)
	}
	below.rwc.Close()
	above.closed()
}

func TestNamesOfKnownContexts(t *testing.T) {
	tree := routertest.Tree(t, "a(b)")
	b := tree.Node("b")
	for id, want := range map[router.ContextID]string{0: "master", 1: "parent", 2: "b", 77: ""} {
		if got := b.Context(id).Name(); got != want {
			t.Errorf("context %d is called %q, want %q", id, got, want)
		}
	}
	if got := tree.Master.Context(0).Name(); got != "self" {
		t.Errorf("the master calls itself %q", got)
	}
	if b.Parent() != b.Context(1) || tree.Master.Parent() != nil {
		t.Error("parents are wrong")
	}
	if tree.Master.Context(2) != tree.View("master", "b") || tree.Master.Context(2).Router() != tree.Master {
		t.Error("two objects for one context")
	}
	if got := tree.View("master", "b").String(); got != `"b" (2)` {
		t.Errorf("prints as %s", got)
	}
}

func TestTenNestedContextsWork(t *testing.T) {
	routertest.Leaks(t)
	tree := routertest.Tree(t, "a(b(c(d(e(f(g(h(i(j)))))))))")
	serve(tree.Node("j"))
	if v, err := tree.View("master", "j").Call(t.Context(), "t.echo", "hi"); err != nil || !equal(v, tuple("hi")) {
		t.Errorf("got %v, %v", v, err)
	}
	for _, l := range tree.Node("e").Links() {
		if l.FramesIn == 0 || l.FramesOut == 0 || l.BytesIn < 26*l.FramesIn || l.BytesOut < 26*l.FramesOut {
			t.Errorf("link %+v", l)
		}
	}
}
