package router_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"fakessh/router"
	"fakessh/router/pickle"
	"fakessh/router/routertest"
)

// serve registers a few functions.
func serve(r *router.Router) {
	r.Register("t.add", func(_ context.Context, c *router.Call) (any, error) {
		y, _ := c.Kwargs.Get("y")
		return c.Args[0].(int64) + y.(int64), nil
	})
	r.Register("t:K.cm", func(_ context.Context, c *router.Call) (any, error) { return c.Class + " " + c.Name, nil })
	r.Register("t.fail", func(_ context.Context, c *router.Call) (any, error) {
		return nil, &router.CallError{Type: "t.Sad", Text: "boom " + c.Args[0].(string)}
	})
	r.Register("t.echo", func(_ context.Context, c *router.Call) (any, error) { return c.Args, nil })
	r.Register("t.panic", func(context.Context, *router.Call) (any, error) { panic(errors.New("bad day")) })
	r.Register("t.exit", func(context.Context, *router.Call) (any, error) { goexit(); return nil, nil })
	r.Register("t.strange", func(context.Context, *router.Call) (any, error) { return make(chan int), nil })
	r.Register("t.wait", func(ctx context.Context, c *router.Call) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
}

func pair(t *testing.T) (*router.Context, *router.Router) {
	t.Helper()
	master, below := routertest.Pair(t)
	serve(below)
	return master.Context(below.ID()), below
}

func TestCallReturnsTheResult(t *testing.T) {
	routertest.Leaks(t)
	c, _ := pair(t)
	v, err := c.Call(t.Context(), "t.add", 1, pickle.Kwargs{Dict: pickle.NewDict("y", 2)})
	if v != int64(3) || err != nil {
		t.Errorf("add: %v, %v", v, err)
	}
	v, err = c.Call(t.Context(), "t:K.cm")
	if v != "K t.cm" || err != nil {
		t.Errorf("class method: %v, %v", v, err)
	}
}

func TestCallTakesMitogensForm(t *testing.T) {
	for _, prefix := range []string{"head_", "v033_"} {
		r := newRouter(t, router.Config{ID: 1, ParentIDs: []router.ContextID{0}})
		above := connect(t, r, parentLink)
		r.Register("posix.getpid", func(context.Context, *router.Call) (any, error) { return int64(4711), nil })
		r.Register("gmod.add", func(_ context.Context, c *router.Call) (any, error) {
			y, _ := c.Kwargs.Get("y")
			return tuple(c.Args[0], y), nil
		})
		r.Register("gmod:K.cm", func(_ context.Context, c *router.Call) (any, error) { return c.Args[0], nil })
		for name, want := range map[string]any{"call_getpid": int64(4711), "call_args_kwargs": tuple(int64(1), int64(2)), "call_classmethod": "z"} {
			m := vector(t, prefix+name)
			m.dst = 1
			above.send(m)
			above.want(msg{dst: 0, src: 1, auth: 1, handle: m.reply, data: pickled(t, want)})
		}
		r.Close()
	}
}

func TestCallIsSentInMitogensForm(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, router.LinkConfig{Remote: 1, Name: "A"})
	same := func(name string) {
		t.Helper()
		got, want := p.next(), vector(t, name)
		if got.handle != want.handle || (got.reply == 0) != (want.reply == 0) || !equal(unpickled(t, got.data), unpickled(t, want.data)) {
			t.Errorf("%s: sent %v", name, got)
		}
	}
	for name, fn := range map[string]func() (*router.Receiver, error){
		"head_call_getpid": func() (*router.Receiver, error) { return p.ctx.CallAsync("posix.getpid") },
		"head_call_args_kwargs": func() (*router.Receiver, error) {
			return p.ctx.CallAsync("gmod.add", 1, pickle.Kwargs{Dict: pickle.NewDict("y", 2)})
		},
		"head_call_classmethod":  func() (*router.Receiver, error) { return p.ctx.CallAsync("gmod:K.cm", "z") },
		"head_call_no_reply":     func() (*router.Receiver, error) { return nil, callLike(t, p.ctx, "head_call_no_reply") },
		"head_call_with_context": func() (*router.Receiver, error) { return asyncLike(t, p.ctx, "head_call_with_context", p.ctx) },
		"head_call_with_sender": func() (*router.Receiver, error) {
			return asyncLike(t, p.ctx, "head_call_with_sender", r.NewSender(0, 1006))
		},
	} {
		if _, err := fn(); err != nil {
			t.Fatal(err)
		}
		same(name)
	}
	p.ctx.Shutdown(canceled())
	p.want(msg{dst: 1, handle: 106})
}

// callLike and asyncLike call the function of a captured call, with arguments of ours in place of the references.
func callLike(t *testing.T, c *router.Context, name string) error {
	f, args := capturedCall(t, name)
	return c.CallNoReply(f, args...)
}

func asyncLike(t *testing.T, c *router.Context, name string, ref any) (*router.Receiver, error) {
	f, args := capturedCall(t, name)
	for i, a := range args {
		switch a.(type) {
		case pickle.ContextRef, pickle.SenderRef:
			args[i] = ref
		}
	}
	return c.CallAsync(f, args...)
}

func capturedCall(t *testing.T, name string) (string, []any) {
	t.Helper()
	call := unpickled(t, vector(t, name).data).(pickle.Tuple)
	return call[1].(string) + "." + call[3].(string), call[4].(pickle.Tuple)
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestErrorsKeepTypeTextAndTrace(t *testing.T) {
	c, below := pair(t)
	for i, tc := range []struct {
		err              error
		typ, text, trace string
	}{
		{&router.CallError{Type: "a.B", Text: "text", Trace: "line\nline"}, "a.B", "text", "line\nline"},
		{errors.New("plain"), "fakessh.Error", "plain", ""},
		{fmt.Errorf("open: %w", fs.ErrNotExist), "fakessh.Error", "open: file does not exist", ""},
		{&fs.PathError{Op: "open", Path: "/x", Err: fs.ErrNotExist}, "fs.PathError", "open /x: file does not exist", ""},
		{namedError{}, "x.Named", "first", "second"},
		{errors.New(strings.Repeat("é", 20000)), "fakessh.Error", strings.Repeat("é", 9999-len("fakessh.Error: ")), ""},
	} {
		name := fmt.Sprintf("t.f%d", i)
		below.Register(name, func(context.Context, *router.Call) (any, error) { return nil, tc.err })
		_, err := c.Call(t.Context(), name)
		var ce *router.CallError
		if !errors.As(err, &ce) || *ce != (router.CallError{Type: tc.typ, Text: tc.text, Trace: tc.trace}) {
			t.Errorf("%v came as %#v", tc.err, err)
		}
	}
}

type namedError struct{}

func (namedError) Error() string     { return "first\nsecond" }
func (namedError) ErrorType() string { return "x.Named" }

func TestErrorOfAPythonPeerKeepsItsTrace(t *testing.T) {
	want := vector(t, "head_reply_call_error")
	m := router.Message{Data: []byte(want.data)}
	_, err := m.Decode()
	var ce *router.CallError
	if !errors.As(err, &ce) || ce.Type != "builtins.ValueError" || ce.Text != "boom x" || !strings.Contains(ce.Trace, "gmod.py") {
		t.Errorf("got %#v", err)
	}
}

func TestEveryCallIsAnswered(t *testing.T) {
	c, _ := pair(t)
	for name, want := range map[string]string{
		"t.panic":   "fakessh.router.Panic: panic: bad day",
		"t.exit":    "fakessh.router.Panic: the function ended without returning",
		"t.strange": "outside the profile",
		"t.nothing": "fakessh.router.NotFound: no function t.nothing",
		"t:K.add":   "fakessh.router.NotFound: no function t:K.add",
		"t.fail":    "fakessh.router.Panic",
	} {
		_, err := c.Call(t.Context(), name)
		var ce *router.CallError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Call(t.Context(), "nodots"); err == nil || err.Error() != `call "nodots": not of the form module.function` {
		t.Errorf("a name without a dot: %v", err)
	}
}

func TestMalformedCallsAreAnswered(t *testing.T) {
	_, above := middle(t, false)
	kw := pickle.Kwargs{Dict: pickle.NewDict()}
	for _, data := range []string{
		"", "junk", pickled(t, "text"), pickled(t, tuple()), pickled(t, tuple(nil, "m", nil, "f", tuple())),
		pickled(t, tuple(1, "m", nil, "f", tuple(), kw)), pickled(t, tuple(nil, 1, nil, "f", tuple(), kw)),
		pickled(t, tuple(nil, "m", 1, "f", tuple(), kw)), pickled(t, tuple(nil, "m", nil, 1, tuple(), kw)),
		pickled(t, tuple(nil, "m", nil, "f", "args", kw)), pickled(t, tuple(nil, "m", nil, "f", tuple(), nil)),
		pickled(t, tuple(nil, "", nil, "", tuple(), kw)),
	} {
		above.send(above.own(1, 101, 1000, data))
		m := above.next()
		if _, ok := unpickled(t, m.data).(pickle.CallError); !ok || m.handle != 1000 {
			t.Errorf("%q: %v", data, m)
		}
	}
}

func TestResultOutsideOfTheProfileFailsAtTheCaller(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	done := make(chan error)
	go func() { _, err := p.ctx.Call(t.Context(), "m.f"); done <- err }()
	m := p.next()
	p.send(p.own(0, m.reply, 0, "\x80\x02cbuiltins\nset\n)R."))
	var invalid *router.InvalidMessageError
	if err := <-done; !errors.As(err, &invalid) || !errors.Is(err, pickle.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

func TestCallsNeedAuthority(t *testing.T) {
	tree := routertest.Tree(t, "a b(c)")
	serve(tree.Node("a"))
	serve(tree.Node("c"))
	serve(tree.Master)
	for _, way := range [][2]string{{"b", "a"}, {"c", "a"}, {"a", "c"}, {"a", "master"}, {"c", "master"}} {
		_, err := tree.View(way[0], way[1]).Call(t.Context(), "t.echo")
		var dead *router.ChannelError
		if !errors.As(err, &dead) || dead.Reason != "refused by policy" {
			t.Errorf("%s calls %s: %v", way[0], way[1], err)
		}
	}
	for _, way := range [][2]string{{"master", "a"}, {"master", "c"}, {"b", "c"}, {"c", "c"}, {"master", "master"}} {
		if _, err := tree.View(way[0], way[1]).Call(t.Context(), "t.echo"); err != nil {
			t.Errorf("%s calls %s: %v", way[0], way[1], err)
		}
	}
}

func TestMasterWithoutFunctionsServesNoCalls(t *testing.T) {
	master := newRouter(t, router.Config{})
	_, err := master.Context(0).Call(t.Context(), "t.echo")
	var dead *router.ChannelError
	if !errors.As(err, &dead) || dead.Reason != "invalid handle" {
		t.Errorf("got %v", err)
	}
}

func TestCallerThatGivesUpIsFree(t *testing.T) {
	c, _ := pair(t)
	if _, err := c.Call(canceled(), "t.wait"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Call(t.Context(), "t.echo"); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestUnchainedCallsRunSideBySide(t *testing.T) {
	c, below := pair(t)
	const n = 50
	var arrived sync.WaitGroup
	arrived.Add(n)
	below.Register("t.meet", func(context.Context, *router.Call) (any, error) {
		arrived.Done()
		arrived.Wait()
		return nil, nil
	})
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			if _, err := c.Call(t.Context(), "t.meet"); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

func TestManyMoreCallsThanMayRunAtOnceAreAllAnswered(t *testing.T) {
	c, below := pair(t)
	hold := make(chan struct{})
	below.Register("t.hold", func(context.Context, *router.Call) (any, error) { <-hold; return nil, nil })
	var all []*router.Receiver
	for range 1500 {
		rcv, err := c.CallAsync("t.hold")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rcv)
	}
	close(hold)
	for _, rcv := range all {
		m, err := rcv.Get(t.Context())
		if err == nil {
			_, err = m.Decode()
		}
		if err != nil {
			t.Fatal(err)
		}
		rcv.Close()
	}
}

func TestChainRunsInOrder(t *testing.T) {
	c, below := pair(t)
	var order []int64
	below.Register("t.note", func(_ context.Context, c *router.Call) (any, error) {
		order = append(order, c.Args[0].(int64)) // no lock: the race detector watches
		return nil, nil
	})
	ch := c.Chain()
	for i := range 200 {
		if err := ch.CallNoReply("t.note", i); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ch.Call(t.Context(), "t.echo"); err != nil {
		t.Fatal(err)
	}
	for i, v := range order {
		if int64(i) != v {
			t.Fatalf("call %d came as number %d", v, i)
		}
	}
	if len(order) != 200 {
		t.Errorf("%d calls ran", len(order))
	}
}

func TestChainGivesItsFirstErrorUntilReset(t *testing.T) {
	c, below := pair(t)
	ran := make(chan struct{}, 9)
	below.Register("t.run", func(context.Context, *router.Call) (any, error) { ran <- struct{}{}; return "ok", nil })
	bad, good := c.Chain(), c.Chain()
	bad.CallNoReply("t.fail", "first")
	bad.CallNoReply("t.fail", "second")
	for range 2 {
		_, err := bad.Call(t.Context(), "t.run")
		if err == nil || err.Error() != "t.Sad: boom first" {
			t.Errorf("after a failure: %v", err)
		}
	}
	if v, err := good.Call(t.Context(), "t.run"); v != "ok" || err != nil {
		t.Errorf("another chain: %v, %v", v, err)
	}
	if err := bad.Reset(); err != nil {
		t.Fatal(err)
	}
	if v, err := bad.Call(t.Context(), "t.run"); v != "ok" || err != nil {
		t.Errorf("after reset: %v, %v", v, err)
	}
	if len(ran) != 2 {
		t.Errorf("ran %d times", len(ran))
	}
}

func TestChainsOfDifferentCallersDoNotMix(t *testing.T) {
	tree := routertest.Tree(t, "mid(leaf)")
	serve(tree.Node("leaf"))
	call := func(from string, p *peer) {}
	_ = call
	fail := callData(t, "same-id", "t", "fail", "x")
	fine := callData(t, "same-id", "t", "echo", "x")
	leaf := tree.ID("leaf")
	ask := func(from, data string) error {
		m, err := tree.Node(from).Context(leaf).Ask(t.Context(), router.HandleCallFunction, []byte(data))
		_ = m
		return err
	}
	if err := ask("master", fail); err == nil {
		t.Error("fail does not")
	}
	if err := ask("mid", fine); err != nil {
		t.Errorf("another caller's chain of the same name: %v", err)
	}
	if err := ask("master", fine); err == nil {
		t.Error("the failed chain runs on")
	}
}

func TestForgetChainIsMitogens(t *testing.T) {
	r, above := middle(t, false)
	serve(r)
	chain := "host-1-abc-def"
	above.send(above.own(1, 101, 1000, callData(t, chain, "t", "fail", "x")))
	above.next()
	above.send(vector(t, "head_call_forget_chain"))
	above.send(above.own(1, 101, 1001, callData(t, chain, "t", "echo", "x")))
	above.want(msg{dst: 0, src: 1, auth: 1, handle: 1001, data: pickled(t, tuple("x"))})
}

func TestFailedCallWithoutReplyIsLogged(t *testing.T) {
	var l logs
	master, below := routertest.Pair(t, func(name string, cfg *router.Config) {
		if name == "child" {
			cfg.Log = l.log
		}
	})
	serve(below)
	c := master.Context(1)
	ch := c.Chain()
	c.CallNoReply("t.fail", "loud")
	ch.CallNoReply("t.fail", "quiet")
	ch.Call(t.Context(), "t.echo")
	for !l.has("No-reply function call failed: t.Sad: boom loud") {
		if _, err := c.Call(t.Context(), "t.echo"); err != nil {
			t.Fatal(err)
		}
	}
	if l.has("quiet") {
		t.Errorf("logged %q", l.lines)
	}
}

func TestContextsAndSendersSurviveTheTrip(t *testing.T) {
	tree := routertest.Tree(t, "a(b)")
	serve(tree.Node("a"))
	b := tree.View("master", "b")
	rcv, err := tree.Master.NewReceiver(router.ReceiverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rcv.Close()
	tree.Node("a").Register("t.send", func(_ context.Context, c *router.Call) (any, error) {
		return nil, c.Router.SenderOf(c.Args[0].(pickle.SenderRef)).Send("hi")
	})
	v, err := tree.View("master", "a").Call(t.Context(), "t.echo", b, rcv, rcv.Sender(), []any{b})
	if err != nil {
		t.Fatal(err)
	}
	got := v.(pickle.Tuple)
	if tree.Master.ContextOf(got[0].(pickle.ContextRef)) != b || *got[0].(pickle.ContextRef).Name != "b" {
		t.Errorf("the context came back as %v", got[0])
	}
	if ref := (pickle.SenderRef{Context: 0, Handle: uint32(rcv.Handle())}); got[1] != ref || got[2] != ref {
		t.Errorf("the sender came back as %v and %v", got[1], got[2])
	}
	if _, err := tree.View("master", "a").Call(t.Context(), "t.send", rcv); err != nil {
		t.Fatal(err)
	}
	m, err := rcv.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v, err := m.Decode(); v != "hi" || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestServiceCallHasMitogensForm(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	done := make(chan error)
	go func() {
		v, err := p.ctx.CallService(t.Context(), "mod.Service", "method", pickle.NewDict("path", "/x"))
		if v != "done" {
			err = fmt.Errorf("got %v, %v", v, err)
		}
		done <- err
	}()
	m := p.next()
	if m.handle != 110 || m.data != pickled(t, tuple("mod.Service", "method", pickle.Kwargs{Dict: pickle.NewDict("path", "/x")})) {
		t.Errorf("sent %v", m)
	}
	p.send(p.own(0, m.reply, 0, pickled(t, "done")))
	if err := <-done; err != nil {
		t.Error(err)
	}
}
