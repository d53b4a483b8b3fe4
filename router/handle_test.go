package router_test

import (
	"strings"
	"testing"

	"fakessh/router"
)

func TestHandleIsRegisteredOnceUntilRemoved(t *testing.T) {
	r := newRouter(t, router.Config{})
	none := func(*router.Message) {}
	if _, err := r.AddHandler(5000, none, router.HandleOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddHandler(5000, none, router.HandleOptions{}); err == nil || err.Error() != "cannot register a handle that already exists" {
		t.Errorf("second time: %v", err)
	}
	if _, err := r.AddHandler(5000, none, router.HandleOptions{Overwrite: true}); err != nil {
		t.Errorf("overwriting: %v", err)
	}
	if err := r.RemoveHandler(5000); err != nil {
		t.Error(err)
	}
	if err := r.RemoveHandler(5000); err == nil {
		t.Error("removed twice")
	}
	if _, err := r.AddHandler(5000, none, router.HandleOptions{}); err != nil {
		t.Errorf("after removal: %v", err)
	}
	if _, err := r.AddHandler(999, none, router.HandleOptions{}); err == nil {
		t.Error("the dead mark is a handle")
	}
}

func TestFreshHandlesBeginAt1000(t *testing.T) {
	r := newRouter(t, router.Config{})
	for want := router.Handle(1000); want < 1003; want++ {
		if h, err := r.AddHandler(0, func(*router.Message) {}, router.HandleOptions{}); h != want || err != nil {
			t.Errorf("handle %d, %v; want %d", h, err, want)
		}
	}
}

func TestRefusalByPolicyTellsTheAskerAndIsLogged(t *testing.T) {
	var l logs
	r := newRouter(t, router.Config{Log: l.log})
	r.AddHandler(5000, func(m *router.Message) {
		if !m.IsDead() { // the router's closing
			t.Error("delivered")
		}
	}, router.HandleOptions{Policy: func(*router.Message) bool { return false }})
	p := connect(t, r, child(1))
	p.send(p.own(0, 5000, 1000, ""))
	p.want(dead(1, 0, 1000, "refused by policy"))
	if !l.has("refused by policy") {
		t.Errorf("logged %q", l.lines)
	}
}

func TestPolicies(t *testing.T) {
	r := newRouter(t, router.Config{ID: 5, ParentIDs: []router.ContextID{3, 1}})
	for auth, want := range map[router.ContextID]bool{5: true, 3: true, 1: true, 0: false, 4: false} {
		if got := r.HasParentAuthority(&router.Message{Auth: auth}); got != want {
			t.Errorf("authority of %d: %v", auth, got)
		}
	}
	master := newRouter(t, router.Config{})
	for auth, want := range map[router.ContextID]bool{0: true, 1: false} {
		if got := master.HasParentAuthority(&router.Message{Auth: auth}); got != want {
			t.Errorf("authority of %d over the master: %v", auth, got)
		}
	}
	if r.IsImmediateChild(&router.Message{}) {
		t.Error("an own message is an immediate child's")
	}
}

func TestPanicInAHandlerIsLoggedAndNotFatal(t *testing.T) {
	var l logs
	r := newRouter(t, router.Config{Log: l.log})
	r.AddHandler(5000, func(*router.Message) { panic("boom") }, router.HandleOptions{})
	r.AddHandler(5001, func(*router.Message) {}, router.HandleOptions{Policy: func(*router.Message) bool { panic("bang") }})
	p := connect(t, r, child(1))
	p.send(p.own(0, 5000, 0, ""), p.own(0, 5001, 1000, ""))
	p.want(dead(1, 0, 1000, "refused by policy"))
	p.fence(0)
	if !l.has("handler panicked handle 5000 err panic: boom") || !l.has("policy panicked handle 5001 err panic: bang") {
		t.Errorf("logged %q", l.lines)
	}
}

func TestOneShotHandleTakesOneMessage(t *testing.T) {
	r := newRouter(t, router.Config{})
	got := make(chan string, 2)
	r.AddHandler(5000, func(m *router.Message) { got <- string(m.Data) }, router.HandleOptions{OneShot: true})
	p := connect(t, r, child(1))
	p.send(p.own(0, 5000, 0, "first"), p.own(0, 5000, 1000, "second"))
	p.want(dead(1, 0, 1000, "invalid handle"))
	if s := <-got; s != "first" || len(got) > 0 {
		t.Errorf("got %q and %d more", s, len(got))
	}
}

func TestOnlyTheRespondentMayAnswer(t *testing.T) {
	r := newRouter(t, router.Config{})
	one, two := connect(t, r, child(1)), connect(t, r, child(2))
	got := make(chan *router.Message, 9)
	asked := router.ContextID(1)
	r.AddHandler(5000, func(m *router.Message) { got <- m }, router.HandleOptions{Respondent: &asked})
	two.send(two.own(0, 5000, 1000, "mine"))
	two.want(dead(2, 0, 1000, "reply from unexpected context"))
	two.send(two.own(0, 5000, 999, "die")) // a stranger cannot end it either
	two.fence(0)
	one.send(one.own(0, 5000, 0, "answer"))
	if m := <-got; string(m.Data) != "answer" {
		t.Errorf("got %q from %d", m.Data, m.Src)
	}
}

func TestContextOnTheWayMayEndAWait(t *testing.T) {
	r := newRouter(t, router.Config{ID: 9, ParentIDs: []router.ContextID{0}})
	mid := connect(t, r, child(1))
	mid.send(mid.own(9, 103, 0, "2"))
	mid.fence(9)
	got := make(chan *router.Message, 1)
	asked := router.ContextID(2)
	r.AddHandler(5000, func(m *router.Message) { got <- m }, router.HandleOptions{Respondent: &asked})
	mid.send(mid.own(9, 5000, 999, "no route to 2, my ID is 1"))
	if m := <-got; !m.IsDead() || m.Src != 1 {
		t.Errorf("got %v", m)
	}
}

func TestLossOfTheRespondentGivesADeadMessage(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	got := make(chan string, 9)
	asked := router.ContextID(1)
	h, _ := r.AddHandler(0, func(m *router.Message) {
		if m.IsDead() && m.Src == 0 {
			got <- string(m.Data)
		}
	}, router.HandleOptions{Respondent: &asked})
	p.rwc.Close()
	if s := <-got; s != "the respondent Context has disconnected" {
		t.Errorf("got %q", s)
	}
	if r.RemoveHandler(h) == nil {
		t.Error("the handle is still there")
	}
}

func TestClosingTheRouterGivesEveryHandleADeadMessage(t *testing.T) {
	r := newRouter(t, router.Config{})
	got := make(chan string, 9)
	for range 3 {
		r.AddHandler(0, func(m *router.Message) { got <- string(m.Data) }, router.HandleOptions{})
	}
	r.Close()
	for range 3 {
		if s := <-got; s != "Broker has exitted" {
			t.Errorf("got %q", s)
		}
	}
	if _, err := r.AddHandler(0, nil, router.HandleOptions{}); err != router.ErrClosed {
		t.Errorf("a handle afterwards: %v", err)
	}
}

func TestTooLargeReplyTellsTheAskerAndItemTellsTheReceiver(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	long := make([]byte, 1<<20+1)
	const reason = "message too large (max 1048576 bytes)"
	got := make(chan string, 1)
	h, _ := r.AddHandler(0, func(m *router.Message) { got <- string(m.Data) }, router.HandleOptions{})
	r.Route(&router.Message{Dst: 1, Handle: 101, ReplyTo: h, Data: long})
	if s := <-got; s != reason {
		t.Errorf("a call: %q", s)
	}
	r.Route(&router.Message{Dst: 1, Handle: 1234, Data: long})
	p.want(dead(1, 0, 1234, reason))
}

func TestReplyKeepsAReadyMadeMessage(t *testing.T) {
	r := newRouter(t, router.Config{})
	r.AddHandler(5000, func(m *router.Message) {
		if string(m.Data) == "raw" {
			m.Reply(&router.Message{Encoding: router.EncodingBinary, Data: []byte("\x00raw")})
			return
		}
		m.Reply("value")
	}, router.HandleOptions{})
	p := connect(t, r, child(1))
	p.send(p.own(0, 5000, 0, "raw"), p.own(0, 5000, 1001, "raw"), p.own(0, 5000, 1002, ""))
	p.want(msg{magic: 0x4d4b, dst: 1, handle: 1001, data: "\x00raw"})
	p.want(msg{dst: 1, handle: 1002, data: pickled(t, "value")})
}

func TestDeadMessagesExplainThemselves(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	got := make(chan error, 1)
	take := func(m *router.Message) { _, err := m.Decode(); got <- err }
	r.AddHandler(5000, take, router.HandleOptions{})
	p.send(p.own(0, 5000, 999, "why \xff"))
	if err := <-got; err.Error() != "why \ufffd" {
		t.Errorf("a reason: %v", err)
	}
	p.send(p.own(0, 5000, 999, ""))
	if err := <-got; err.Error() != "Channel closed by remote end." {
		t.Errorf("no reason, from there: %v", err)
	}
	r.Route(router.NewDead(0, 5000, ""))
	if err := <-got; err.Error() != "Channel closed by local end." {
		t.Errorf("no reason, from here: %v", err)
	}
}

func TestUnknownEncodingIsNotSent(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	r.Route(&router.Message{Dst: 1, Handle: 1, Encoding: 0x4d4c})
	p.fence(0)
}

func TestPayloadsDecodeInOrderAndRawBytesNot(t *testing.T) {
	m := &router.Message{Data: []byte(pickled(t, tuple("pkg", "data.txt"), []byte("hello")))}
	vs, err := m.Values()
	if err != nil || len(vs) != 2 || !equal(vs[0], tuple("pkg", "data.txt")) || !equal(vs[1], []byte("hello")) {
		t.Errorf("got %v, %v", vs, err)
	}
	m.Encoding = router.EncodingBinary
	if _, err := m.Decode(); err == nil || !strings.HasPrefix(err.Error(), "invalid message: ") {
		t.Errorf("raw bytes decode: %v", err)
	}
	if m = router.NewDead(1, 2, pickled(t, int64(7))); true {
		if v, err := m.Value(); v != int64(7) || err != nil {
			t.Errorf("a dead message on request: %v, %v", v, err)
		}
	}
}
