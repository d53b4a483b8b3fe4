package router_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"fakessh/router"
	"fakessh/router/pickle"
	"fakessh/router/routertest"
)

// acceptor makes r serve test.accept, and returns where the accepted streams arrive.
func acceptor(r *router.Router) <-chan *router.Stream {
	accepted := make(chan *router.Stream, 10)
	r.Register("test.accept", func(_ context.Context, c *router.Call) (any, error) {
		s, err := c.Stream()
		if err == nil {
			accepted <- s
		}
		return r.Name(), err
	})
	return accepted
}

// circuitBetween joins two nodes at the master and returns the circuit and its ends.
func circuitBetween(t testing.TB, tree *routertest.Nodes, one, two string) (c *router.Circuit, a, b *router.Stream) {
	t.Helper()
	as, bs := acceptor(tree.Node(one)), acceptor(tree.Node(two))
	c, va, vb, err := tree.Master.Join(context.Background(),
		router.OpenSpec{Context: tree.View("master", one), Name: "test.accept"},
		router.OpenSpec{Context: tree.View("master", two), Name: "test.accept"})
	if err != nil || va != one || vb != two {
		t.Fatal(va, vb, err)
	}
	a, b = <-as, <-bs
	t.Cleanup(func() { a.Close(); b.Close(); c.Close(nil) })
	return c, a, b
}

func TestCircuitCarriesEverythingBothWays(t *testing.T) {
	routertest.Leaks(t)
	tree := routertest.Tree(t, "a(x) b(c)", routertest.Unidirectional)
	c, x, far := circuitBetween(t, tree, "x", "c")
	for _, s := range []*router.Stream{x, far} {
		if id := s.Peer().ID(); id != 0 {
			t.Errorf("an end knows of %d", id)
		}
	}
	data := randomBytes(2<<20 + 5)
	go func() { // ends when all is written
		x.ReadFrom(bytes.NewReader(data))
		x.SendControl(router.Control{Kind: 'w', Data: []byte("item")})
		x.CloseWrite()
	}()
	if b, err := io.ReadAll(far); !bytes.Equal(b, data) || err != nil {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if item, err := far.Control(context.Background()); item.Kind != 'w' || string(item.Data) != "item" || err != nil {
		t.Error(item, err)
	}
	select {
	case <-c.Done():
		t.Fatal("done with one EOF")
	default:
	}
	far.WriteClass(router.Extended, []byte("e"))
	far.Write([]byte("answer"))
	far.CloseWrite()
	if b, err := io.ReadAll(x); string(b) != "answer" || err != nil {
		t.Error(string(b), err)
	}
	finished(t, x, far)
	<-c.Done()
	if c.Err() != nil {
		t.Error(c.Err())
	}
}

func TestCircuitPassesResetsOn(t *testing.T) {
	tree := routertest.Tree(t, "a b")
	for _, swap := range []bool{false, true} {
		c, a, b := circuitBetween(t, tree, "a", "b")
		if swap {
			a, b = b, a
		}
		a.Reset(errors.New("no thanks"))
		<-b.Done()
		wantReset(t, b.Err(), "no thanks")
		<-c.Done()
		wantReset(t, c.Err(), "no thanks")
	}
	c, a, b := circuitBetween(t, tree, "a", "b")
	why := errors.New("revoked")
	c.Close(why)
	c.Close(errors.New("again"))
	for _, s := range []*router.Stream{a, b} {
		<-s.Done()
		wantReset(t, s.Err(), "revoked")
	}
	if c.Err() != why {
		t.Error(c.Err())
	}
}

func TestLossOfOneEndResetsTheOther(t *testing.T) {
	tree := routertest.Tree(t, "a b(c)")
	c, a, far := circuitBetween(t, tree, "a", "c")
	data := randomBytes(200_000)
	far.Write(data)
	far.CloseWrite()
	far.SendControl(router.Control{Kind: 'k'})
	if _, err := a.Control(context.Background()); err != nil { // so EOF has come, too
		t.Fatal(err)
	}
	tree.Cut("b")
	<-a.Done()
	var reset *router.ResetError
	if !errors.As(a.Err(), &reset) || !strings.HasPrefix(reset.Reason, "the other end was lost") || strings.ContainsAny(reset.Reason, "0123456789\"") {
		t.Errorf("the end is told %v", a.Err())
	}
	if b, err := io.ReadAll(a); !bytes.Equal(b, data) || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	<-c.Done()
	if !errors.Is(c.Err(), router.ErrLost) {
		t.Error(c.Err())
	}
	<-far.Done()
}

func TestCircuitDoesNotBufferForAStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := routertest.Tree(t, "a b")
		_, a, _ := circuitBetween(t, tree, "a", "b")
		source := &counting{r: endless{}}
		go a.ReadFrom(source) // ends with the stream
		synctest.Wait()
		if source.n > 256<<10+32<<10 {
			t.Errorf("%d bytes were taken from the source", source.n)
		}
		for _, l := range tree.Master.Links() {
			if l.Queued != 0 {
				t.Errorf("%d bytes wait for %d", l.Queued, l.Remote)
			}
		}
	})
}

func TestJoinThatFailsResetsTheFirst(t *testing.T) {
	tree := routertest.Tree(t, "a b")
	as := acceptor(tree.Node("a"))
	refuse := errors.New("not today")
	tree.Node("b").Register("test.refuse", func(context.Context, *router.Call) (any, error) { return nil, refuse })
	spec := func(node, name string) router.OpenSpec {
		return router.OpenSpec{Context: tree.View("master", node), Name: name}
	}
	var call *router.CallError
	if _, _, _, err := tree.Master.Join(context.Background(), spec("a", "test.accept"), spec("b", "test.refuse")); !errors.As(err, &call) || call.Text != "not today" {
		t.Error(err)
	}
	s := <-as
	<-s.Done()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("the first end: %v", err)
	}
	if _, _, _, err := tree.Master.Join(context.Background(), spec("b", "test.refuse"), spec("a", "test.accept")); !errors.As(err, &call) {
		t.Error(err)
	}
	if len(as) > 0 {
		t.Error("the second was called though the first had refused")
	}
}

// What the first end sends while the second is being opened is held, and follows.
func TestCircuitHoldsWhatComesEarly(t *testing.T) {
	tree := routertest.Tree(t, "a b")
	data := randomBytes(250_000)
	written := make(chan error, 1)
	tree.Node("a").Register("test.early", func(_ context.Context, c *router.Call) (any, error) {
		s, err := c.Stream()
		if err == nil {
			s.Write(data)
			s.SendControl(router.Control{Kind: 'k'})
			written <- s.CloseWrite()
		}
		return nil, err
	})
	got := make(chan *router.Stream, 1)
	tree.Node("b").Register("test.late", func(_ context.Context, c *router.Call) (any, error) {
		<-written
		s, err := c.Stream()
		got <- s
		return nil, err
	})
	c, _, _, err := tree.Master.Join(context.Background(),
		router.OpenSpec{Context: tree.View("master", "a"), Name: "test.early"},
		router.OpenSpec{Context: tree.View("master", "b"), Name: "test.late"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(nil)
	s := <-got
	if b, err := io.ReadAll(s); !bytes.Equal(b, data) || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if item, err := s.Control(context.Background()); item.Kind != 'k' || err != nil {
		t.Error(item, err)
	}
}

// A first end that goes away while the second is being opened ends the wait.
func TestJoinNoticesTheFirstEndGoing(t *testing.T) {
	tree := routertest.Tree(t, "a b")
	as := acceptor(tree.Node("a"))
	opening, goOn, late := make(chan bool), make(chan bool), make(chan *router.Stream, 1)
	tree.Node("b").Register("test.slow", func(_ context.Context, c *router.Call) (any, error) {
		close(opening)
		<-goOn
		s, err := c.Stream()
		late <- s
		return nil, err
	})
	go func() { <-opening; (<-as).Reset(errors.New("never mind")) }()
	_, _, _, err := tree.Master.Join(context.Background(),
		router.OpenSpec{Context: tree.View("master", "a"), Name: "test.accept"},
		router.OpenSpec{Context: tree.View("master", "b"), Name: "test.slow"})
	wantReset(t, err, "never mind")
	close(goOn)
	s := <-late
	<-s.Done()
	wantReset(t, s.Err(), "invalid handle")
}

// rawCircuit joins two peers under the test's control.
func rawCircuit(t testing.TB, r *router.Router) (c *router.Circuit, a, b *rawEnd) {
	t.Helper()
	ends := []*rawEnd{{p: connect(t, r, child(1)), far: rawHandle}, {p: connect(t, r, child(2)), far: rawHandle}}
	done := make(chan error, 1)
	go func() {
		var err error
		c, _, _, err = r.Join(context.Background(),
			router.OpenSpec{Context: ends[0].p.ctx, Name: "test.accept"}, router.OpenSpec{Context: ends[1].p.ctx, Name: "test.accept"})
		done <- err
	}()
	for _, e := range ends {
		call := e.p.next()
		kwargs := unpickled(t, call.data).(pickle.Tuple)[5].(pickle.Kwargs)
		offered, _ := kwargs.Get("stream")
		e.near = offered.(pickle.SenderRef).Handle
		e.p.send(e.p.own(0, call.reply, 0, pickled(t, pickle.NewDict("stream", pickle.SenderRef{Context: e.p.id, Handle: e.far}, "value", nil))))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(nil) })
	return c, ends[0], ends[1]
}

// wantFrame waits for a frame of the circuit.
func (e *rawEnd) wantFrame(data string) {
	e.p.t.Helper()
	e.p.want(msg{dst: e.p.id, handle: e.far, reply: e.near, data: data})
}

func TestCircuitRewritesFrames(t *testing.T) {
	r := newRouter(t, router.Config{})
	c, a, b := rawCircuit(t, r)
	for _, data := range []string{"\x00main", "\x01extended", creditFrame(0, 1<<20), "\x05kitem", "\x99optional"} {
		a.send(data)
		b.wantFrame(data)
		b.send(data)
		a.wantFrame(data)
	}
	a.send(creditFrame(4, 1000)) // tells nothing new, as 4 is less than a frame costs: no, it acknowledges
	b.wantFrame(creditFrame(4, 1000))
	a.send(creditFrame(4, 1000), creditFrame(0, 0), "\x03") // now it does not
	b.wantFrame("\x03")
	b.send("\x03")
	a.wantFrame("\x03")
	<-c.Done()
	if c.Err() != nil {
		t.Error(c.Err())
	}
	a.p.fence(0)
	b.p.fence(0)
}

func TestCircuitWatchesBothEnds(t *testing.T) {
	full := "\x00" + strings.Repeat("x", 32<<10)
	for _, c := range []struct {
		name   string
		frames []string
		reason string
	}{
		{"more than allowed", append(rep(full, 8), "\x00x"), "flow control violated"},
		{"credit for what was not sent", []string{creditFrame(1, 1<<20)}, "flow control violated"},
		{"data after EOF", []string{"\x03", "\x00x"}, "data after EOF"},
		{"second EOF", []string{"\x03", "\x03"}, "second EOF"},
		{"malformed", []string{""}, "malformed stream frame"},
		{"unknown kind", []string{"\x10"}, "unknown kind of stream frame"},
		{"too long", []string{full + "x"}, "stream frame too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t, router.Config{})
			circuit, a, b := rawCircuit(t, r)
			a.send(c.frames...)
			for _, e := range []*rawEnd{a, b} {
				m := e.p.nextOf(e.far)
				for m.data[0] != 4 {
					m = e.p.nextOf(e.far)
				}
				if m.data != "\x04"+c.reason {
					t.Errorf("came %v", m)
				}
			}
			<-circuit.Done()
		})
	}
}

func TestStrangersCannotTouchACircuit(t *testing.T) {
	r := newRouter(t, router.Config{})
	_, a, b := rawCircuit(t, r)
	b.p.send(b.p.own(0, a.near, rawHandle, "\x00injected"))
	b.p.want(msg{dst: 2, handle: rawHandle, reply: a.near, data: "\x04reply from unexpected context"})
	a.p.send(a.p.own(0, a.near, rawHandle+1, "\x00injected"))
	a.p.want(msg{dst: 1, handle: rawHandle + 1, reply: a.near, data: "\x04invalid handle"})
	b.p.send(b.p.own(0, a.near, 999, "dead"))
	b.p.fence(0)
	a.send("\x00still there")
	b.wantFrame("\x00still there")
	a.p.send(a.p.own(0, a.near, 999, "gone"))
	b.wantFrame("\x04gone")
}

// Two ends that conspire, one allowing everything and reading nothing, cost a bounded queue.
func TestConspiringEndsAreCutOff(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	ours, theirs := routertest.Pipe()
	t.Cleanup(func() { theirs.Close() })
	q, err := r.AddLink(ours, child(2))
	if err != nil {
		t.Fatal(err)
	}
	silent := &peer{t: t, id: 2, rwc: theirs, in: make(chan msg, 10), ctx: q}
	done := make(chan *router.Circuit, 1)
	go func() {
		c, _, _, err := r.Join(context.Background(), router.OpenSpec{Context: p.ctx, Name: "x.y"}, router.OpenSpec{Context: q, Name: "x.y"})
		if err != nil {
			t.Error(err)
		}
		done <- c
	}()
	ends := [2]*rawEnd{{p: p, far: rawHandle}, {p: silent, far: rawHandle}}
	for i, e := range ends {
		if i == 1 { // it reads one frame: the call
			head := make([]byte, 26)
			io.ReadFull(theirs, head)
			body := make([]byte, int(head[24])<<8|int(head[25]))
			io.ReadFull(theirs, body)
			silent.in <- parse(append(head, body...))
		}
		call := e.p.next()
		kwargs := unpickled(t, call.data).(pickle.Tuple)[5].(pickle.Kwargs)
		offered, _ := kwargs.Get("stream")
		e.near = offered.(pickle.SenderRef).Handle
		e.p.send(e.p.own(0, call.reply, 0, pickled(t, pickle.NewDict("stream", pickle.SenderRef{Context: e.p.id, Handle: e.far}, "value", nil))))
	}
	c := <-done
	ends[1].send(creditFrame(0, 1<<60))
	if m := p.nextOf(rawHandle); m.data != creditFrame(0, 1<<60) {
		t.Fatalf("came %v", m)
	}
	full := "\x00" + strings.Repeat("x", 32<<10)
	for range 18 << 20 / (32 << 10) {
		ends[0].send(full)
	}
	<-c.Done()
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "circuit overrun") {
		t.Error(err)
	}
	for _, l := range r.Links() {
		if l.Queued > 18<<20 {
			t.Errorf("%d bytes wait for %d", l.Queued, l.Remote)
		}
	}
}

func TestFloodOfHeldItemsEndsTheJoin(t *testing.T) {
	r := newRouter(t, router.Config{})
	p, q := connect(t, r, child(1)), connect(t, r, child(2))
	done := make(chan error, 1)
	go func() {
		_, _, _, err := r.Join(context.Background(), router.OpenSpec{Context: p.ctx, Name: "x.y"}, router.OpenSpec{Context: q.ctx, Name: "x.y"})
		done <- err
	}()
	call := p.next()
	kwargs := unpickled(t, call.data).(pickle.Tuple)[5].(pickle.Kwargs)
	offered, _ := kwargs.Get("stream")
	a := &rawEnd{p: p, near: offered.(pickle.SenderRef).Handle, far: rawHandle}
	p.send(p.own(0, call.reply, 0, pickled(t, pickle.NewDict("stream", pickle.SenderRef{Context: 1, Handle: a.far}, "value", nil))))
	q.next() // the call that is never answered
	for i := range 300 {
		a.send("\x05k", creditFrame(0, 1<<20+uint64(i)))
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "too many control items") {
		t.Error(err)
	}
	a.wantFrame("\x04too many control items")
}

// FuzzCircuitFrames feeds frames to both ends of a circuit: a byte that says which end and how many bytes, then these.
// Whatever they are, the circuit lives on or ends, at both ends, and the router works.
func FuzzCircuitFrames(f *testing.F) {
	for _, s := range []string{
		"", "\x01\x00", "\x05\x00abcd\x81\x03\x01\x03", "\x11" + creditFrame(0, 1<<20), "\x91" + creditFrame(9, 1), "\x03\x05kx\x82\x80x\x86\x04oops!",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRouter(t, router.Config{})
		c, a, b := rawCircuit(t, r)
		for len(data) > 0 {
			e, n := a, min(int(data[0]&0x7f), len(data)-1)
			if data[0]&0x80 != 0 {
				e = b
			}
			e.send(string(data[1 : 1+n]))
			data = data[1+n:]
		}
		for _, e := range []*rawEnd{a, b} { // the router is there
			e.p.send(e.p.own(0, 999999, 4242, ""))
			e.p.nextOf(4242)
		}
		c.Close(nil)
		<-c.Done()
	})
}

// A short session: the first end's EOF is held when the second, whose function has not answered yet, has sent its own.
func TestCircuitOfTwoShortEndsEndsInOrder(t *testing.T) {
	routertest.Leaks(t)
	results := make(chan *router.Stream, 2)
	for range 50 {
		tree := routertest.Tree(t, "a b", routertest.Unidirectional)
		serve := func(text string) router.CallFunc {
			return func(_ context.Context, c *router.Call) (any, error) {
				s, err := c.Stream()
				if err != nil {
					return nil, err
				}
				if _, err := s.Write([]byte(text)); err != nil {
					return nil, err
				}
				results <- s
				return nil, s.CloseWrite()
			}
		}
		tree.Node("a").Register("test.short", serve("from a"))
		tree.Node("b").Register("test.short", serve("from b"))
		c, _, _, err := tree.Master.Join(context.Background(),
			router.OpenSpec{Context: tree.View("master", "a"), Name: "test.short"},
			router.OpenSpec{Context: tree.View("master", "b"), Name: "test.short"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"from b", "from a"} { // accepted in the order a, b
			s := <-results
			if got, err := io.ReadAll(s); string(got) != want || err != nil {
				t.Fatalf("got %q, %v, want %q", got, err, want)
			}
			s.Close()
		}
		if <-c.Done(); c.Err() != nil {
			t.Fatal(c.Err())
		}
	}
}
