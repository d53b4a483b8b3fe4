package router_test

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"fakessh/router"
	"fakessh/router/pickle"
	"fakessh/router/routertest"
)

func child(id router.ContextID) router.LinkConfig { return router.LinkConfig{Remote: id} }

var parentLink = router.LinkConfig{Remote: 0, Parent: true}

// middle is a context between a master and its own children.
func middle(t *testing.T, uni bool) (r *router.Router, above *peer) {
	r = newRouter(t, router.Config{ID: 1, ParentIDs: []router.ContextID{0}, Unidirectional: uni})
	return r, connect(t, r, parentLink)
}

func TestForwardedMessageIsUnchanged(t *testing.T) {
	routertest.Leaks(t)
	for _, magic := range []uint16{0x4d49, 0x4d4a, 0x4d4b} {
		r := newRouter(t, router.Config{})
		a, b := connect(t, r, child(1)), connect(t, r, child(2))
		m := msg{magic, 2, 1, 1, 1234, 5678, strings.Repeat("x", 100000)}
		a.send(m)
		b.want(m)
		r.Close()
	}
}

func TestForgedAuthorityIsDroppedAndLogged(t *testing.T) {
	var l logs
	r := newRouter(t, router.Config{Log: l.log})
	a, b := connect(t, r, child(1)), connect(t, r, child(2))
	for _, auth := range []uint32{0, 2, 77} {
		a.send(msg{dst: 2, src: 1, auth: auth, handle: 1000, reply: 1000})
	}
	a.fence(0)
	b.fence(0)
	if !l.has("bad auth_id src 1 auth 2 dst 2") {
		t.Errorf("not logged: %q", l.lines)
	}
}

func TestForgedSourceIsDroppedAndLogged(t *testing.T) {
	var l logs
	r := newRouter(t, router.Config{Log: l.log})
	a, b := connect(t, r, child(1)), connect(t, r, child(2))
	for _, src := range []uint32{0, 2, 77} {
		a.send(msg{dst: 2, src: src, auth: 1, handle: 1000, reply: 1000})
	}
	a.fence(0)
	b.fence(0)
	if !l.has("bad src_id src 2 auth 1 dst 2") {
		t.Errorf("not logged: %q", l.lines)
	}
}

func TestNeighbourCannotSpeakForTheRouterItself(t *testing.T) {
	r, above := middle(t, false)
	below := connect(t, r, child(2))
	above.next() // ADD_ROUTE
	for _, p := range []*peer{above, below} {
		p.send(msg{dst: 1, src: 1, auth: 1, handle: 999999, reply: 1000})
		p.fence(1)
	}
}

func TestParentMaySpeakForAnybodyAboveButNotForThoseBelow(t *testing.T) {
	r, above := middle(t, false)
	below := connect(t, r, child(2))
	above.next()
	m := msg{magic: 0x4d49, dst: 2, src: 55, auth: 55, handle: 1000}
	above.send(m)
	below.want(m)
	above.send(msg{dst: 1, src: 2, auth: 2, handle: 999999, reply: 7})
	above.fence(1)
	below.fence(1)
}

func TestStampedLinkActsWithThatAuthority(t *testing.T) {
	r := newRouter(t, router.Config{})
	zero := router.ContextID(0)
	client := connect(t, r, router.LinkConfig{Remote: 5, Auth: &zero})
	b := connect(t, r, child(2))
	client.send(client.own(2, 101, 1000, "call"))
	b.want(msg{dst: 2, src: 5, auth: 0, handle: 101, reply: 1000, data: "call"})
}

func TestUnknownDestinationTellsTheSender(t *testing.T) {
	want := vector(t, "head_dead_no_route")
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(2))
	p.send(p.own(77, 1000, want.handle, ""))
	p.want(want)
}

func TestUnknownHandleTellsTheSender(t *testing.T) {
	want := vector(t, "head_dead_invalid_handle")
	_, above := middle(t, false)
	above.send(above.own(want.src, 31337, want.handle, ""))
	above.want(want)
}

func TestMessageFromAboveForAnUnknownContextDoesNotBounce(t *testing.T) {
	_, above := middle(t, false)
	above.send(above.own(1234, 1000, 1001, ""))
	above.want(dead(0, 1, 1001, "no route to 1234, my ID is 1"))
}

func TestMessageFromBelowForAnUnknownContextGoesUp(t *testing.T) {
	r, above := middle(t, false)
	below := connect(t, r, child(2))
	above.next()
	m := msg{magic: 0x4d49, dst: 1234, src: 2, auth: 2, handle: 1000, reply: 1001}
	below.send(m)
	above.want(m)
}

func TestLostContextGivesNoRoute(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, b := connect(t, r, child(1)), connect(t, r, child(2))
	a.rwc.Close()
	<-a.ctx.Done()
	b.send(b.own(1, 1000, 1001, ""))
	b.want(dead(2, 0, 1001, "no route to 1, my ID is 0"))
}

func TestDeadMessageNeverCausesAnother(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	p.send(p.own(77, 1000, 999, "x"), p.own(0, 31337, 999, "x"))
	p.fence(0)
}

func TestMessageWithoutReturnAddressIsDroppedQuietly(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	p.send(p.own(77, 1000, 0, "x"), p.own(0, 31337, 0, "x"))
	p.fence(0)
}

func TestUnidirectionalMasterKeepsSiblingsApart(t *testing.T) {
	want := vector(t, "head_dead_unidirectional")
	r := newRouter(t, router.Config{Unidirectional: true})
	one, two := connect(t, r, child(1)), connect(t, r, child(2))
	two.send(two.own(1, 101, want.handle, ""))
	two.want(want)
	one.fence(0)
}

func TestUnidirectionalMiddleKeepsSiblingsApart(t *testing.T) {
	r, above := middle(t, true)
	a, b := connect(t, r, child(2)), connect(t, r, child(3))
	above.next()
	above.next()
	a.send(a.own(3, 101, 1000, ""))
	a.want(dead(2, 1, 1000, "routing mode prevents forward of message from context 2 to context 3 via context 1"))
	b.fence(1)
	// Up and down pass.
	up := msg{magic: 0x4d49, dst: 0, src: 2, auth: 2, handle: 1000}
	a.send(up)
	above.want(up)
	down := msg{magic: 0x4d49, dst: 3, src: 0, auth: 0, handle: 1000}
	above.send(down)
	b.want(down)
}

func TestStampedLinkPassesUnidirectionalRouting(t *testing.T) {
	r := newRouter(t, router.Config{Unidirectional: true})
	zero := router.ContextID(0)
	client := connect(t, r, router.LinkConfig{Remote: 5, Auth: &zero})
	b := connect(t, r, child(2))
	client.send(client.own(2, 101, 1000, "call"))
	b.want(msg{dst: 2, src: 5, auth: 0, handle: 101, reply: 1000, data: "call"})
	b.send(b.own(5, 1000, 0, "result"))
	client.want(b.wire(5, 1000, "result"))
}

// A client of ours acts with our authority; targets that it has nothing to do with do not reach it.
func TestStampedLinkGetsAnswersOnly(t *testing.T) {
	r := newRouter(t, router.Config{Unidirectional: true})
	zero := router.ContextID(0)
	client := connect(t, r, router.LinkConfig{Remote: 5, Auth: &zero})
	a, b := connect(t, r, child(2)), connect(t, r, child(3))
	b.send(b.own(0, 105, 1000, "")) // ALLOCATE_ID
	between := uint32(unpickled(t, b.next().data).(pickle.Tuple)[0].(int64))
	deep := between + 1
	b.send(b.own(0, 103, 0, fmt.Sprint(between)), b.own(0, 103, 0, fmt.Sprint(deep))) // ADD_ROUTE
	b.fence(0)
	refused := func(p *peer, m msg) {
		t.Helper()
		p.send(m)
		p.want(dead(m.src, 0, m.reply, fmt.Sprintf("routing mode prevents forward of message from context %d to context 5 via context 0", p.id)))
	}
	refused(a, a.own(5, 100, 1000, "unasked"))
	a.send(dead(5, 2, 1000, "unasked"))
	a.fence(0)
	client.send(client.own(deep, 101, 1000, "call"))
	b.want(msg{dst: deep, src: 5, auth: 0, handle: 101, reply: 1000, data: "call"})
	refused(b, msg{dst: 5, src: between, auth: between, handle: 100, reply: 1000, data: "unasked"})
	b.send(dead(5, between, 1000, "no route"))
	client.want(dead(5, between, 1000, "no route"))
	b.send(msg{dst: 5, src: deep, auth: deep, handle: 1000, data: "result"})
	client.want(msg{dst: 5, src: deep, auth: deep, handle: 1000, data: "result"})
	client.fence(0)
}

// wire is what a message of the peer looks like behind a router.
func (p *peer) wire(dst, handle uint32, data string) msg {
	return msg{magic: 0x4d49, dst: dst, src: p.id, auth: p.id, handle: handle, data: data}
}

func TestSiblingsAreRefusedByPolicyWhenRoutedAtAll(t *testing.T) {
	want := vector(t, "head_dead_refused")
	master := newRouter(t, router.Config{})
	one := newRouter(t, router.Config{ID: router.ContextID(want.src), ParentIDs: []router.ContextID{0}})
	join(t, master, one)
	sibling := connect(t, master, child(router.ContextID(want.dst)))
	sibling.send(sibling.own(want.src, 101, want.handle, ""))
	sibling.want(want)
}

// join links two routers.
func join(t testing.TB, parent, below *router.Router) {
	t.Helper()
	a, b := routertest.Pipe()
	if _, err := below.AddLink(b, router.LinkConfig{Remote: parent.ID(), Parent: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := parent.AddLink(a, child(below.ID())); err != nil {
		t.Fatal(err)
	}
}

func TestHeaderThatAnnouncesMoreThanAllowedCostsTheLink(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	m := p.own(0, 31337, 1000, strings.Repeat("x", 1<<20))
	p.send(m)
	p.want(dead(1, 0, 1000, "invalid handle"))
	m.data += "x"
	p.rwc.Write(m.bytes()[:26])
	p.closed()
	<-p.ctx.Done()
	if err := p.ctx.Err(); !errors.Is(err, router.ErrTooLarge) ||
		err.Error() != "context 1 lost: message too large: 1048577 bytes announced, 1048576 allowed" {
		t.Errorf("lost because: %v", err)
	}
}

func TestConfiguredLinkTakesLongMessages(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, router.LinkConfig{Remote: 1, MaxMessage: 8 << 20})
	p.send(p.own(0, 31337, 1000, strings.Repeat("x", 8<<20)))
	p.want(dead(1, 0, 1000, "invalid handle"))
}

func TestTooLargeForTheNextLinkTellsTheSender(t *testing.T) {
	r := newRouter(t, router.Config{})
	a, b := connect(t, r, router.LinkConfig{Remote: 1, MaxMessage: 2 << 20}), connect(t, r, child(2))
	a.send(a.own(2, 1000, 1001, strings.Repeat("x", 1<<20+1)))
	a.want(dead(1, 0, 1001, "message too large (max 1048576 bytes)"))
	b.fence(0)
}

func TestCorruptLinkIsDropped(t *testing.T) {
	var l logs
	r := newRouter(t, router.Config{Log: l.log})
	p := connect(t, r, child(1))
	io.WriteString(p.rwc, "bash: no such file or directory\n")
	p.closed()
	<-p.ctx.Done()
	if err := p.ctx.Err(); !errors.Is(err, router.ErrCorrupt) {
		t.Errorf("lost because: %v", err)
	}
	n := 0
	for _, line := range l.lines {
		n += strings.Count(line, "corruption detected")
	}
	if n != 1 {
		t.Errorf("told %d times: %q", n, l.lines)
	}
}

func TestOldPeerIsSpokenToInTheOldMagicUntilItShowsANewOne(t *testing.T) {
	r := newRouter(t, router.Config{})
	old := connect(t, r, router.LinkConfig{Remote: 1, OldPeer: true})
	b := connect(t, r, child(2))
	send := func() {
		m := b.own(1, 1000, 0, "x")
		m.magic = 0x4d4a
		b.send(m)
	}
	send()
	old.want(msg{magic: 0x4d49, dst: 1, src: 2, auth: 2, handle: 1000, data: "x"})
	m := old.own(0, 31337, 1000, "")
	m.magic = 0x4d4a
	old.send(m)
	old.want(dead(1, 0, 1000, "invalid handle"))
	send()
	old.want(msg{magic: 0x4d4a, dst: 1, src: 2, auth: 2, handle: 1000, data: "x"})
}

func TestNewChildIsAnnouncedUpwardFirst(t *testing.T) {
	want := vector(t, "head_add_route")
	r, above := middle(t, false)
	below := connect(t, r, router.LinkConfig{Remote: 3, Name: "E"})
	below.send(below.own(0, 1000, 0, "hello"))
	above.want(want)
	above.want(msg{magic: 0x4d49, dst: 0, src: 3, auth: 3, handle: 1000, data: "hello"})
}

func TestChildrenOfBeforeTheParentAreAnnounced(t *testing.T) {
	r := newRouter(t, router.Config{ID: 1, ParentIDs: []router.ContextID{0}})
	connect(t, r, router.LinkConfig{Remote: 3, Name: "E"})
	connect(t, r, parentLink).want(vector(t, "head_add_route"))
}

func TestAddRouteIsPassedUpAndNamesTheContext(t *testing.T) {
	r, above := middle(t, false)
	below := connect(t, r, child(2))
	above.want(msg{dst: 0, src: 1, auth: 1, handle: 103, data: "2"})
	below.send(below.own(1, 103, 0, "3:E"))
	above.want(vector(t, "head_add_route"))
	if got := r.Context(3).Name(); got != "E" {
		t.Errorf("context 3 is called %q", got)
	}
	if via := r.Routes()[3]; via != 2 {
		t.Errorf("context 3 is behind %d", via)
	}
	below.send(below.own(1, 104, 0, "3"))
	above.want(vector(t, "head_del_route_up"))
}

func TestRoutesThatANeighbourMayNotAnnounceAreRefused(t *testing.T) {
	r, above := middle(t, false)
	a, b := connect(t, r, child(2)), connect(t, r, child(3))
	above.next()
	above.next()
	for _, id := range []string{"0", "1", "3", "2"} {
		a.send(a.own(1, 103, 0, id+":evil"))
	}
	above.send(above.own(1, 103, 0, "9:x"))
	for _, junk := range []string{"", ":", "x", "-1", "4294967296", "1:" + strings.Repeat("x", 2000)} {
		a.send(a.own(1, 103, 0, junk), a.own(1, 104, 0, junk))
	}
	a.fence(1)
	b.fence(1)
	above.fence(1)
	want := map[router.ContextID]router.ContextID{0: 0, 2: 2, 3: 3}
	if got := r.Routes(); len(got) != 3 || got[0] != 0 || got[2] != 2 || got[3] != 3 {
		t.Errorf("routes %v, want %v", got, want)
	}
}

func TestMasterRefusesIdsThatWereNotGrantedToTheAnnouncer(t *testing.T) {
	r := newRouter(t, router.Config{})
	honest, evil := connect(t, r, child(1)), connect(t, r, child(2))
	honest.send(honest.own(0, 105, 1000, ""))
	if got := unpickledPair(t, honest.next().data); got != [2]int64{3, 1003} {
		t.Fatalf("granted %v", got)
	}
	mine, _ := r.AllocateID(t.Context())
	for _, id := range []router.ContextID{3, 1002, mine, mine + 1, 5000} {
		evil.send(evil.own(0, 103, 0, id.String()))
	}
	evil.fence(0)
	honest.send(honest.own(0, 103, 0, "1002:good"))
	honest.fence(0)
	if got := r.Routes(); len(got) != 3 || got[1002] != 1 {
		t.Errorf("routes %v", got)
	}
	if _, err := r.AddLink(nopCloser{}, child(mine)); err != nil {
		t.Errorf("own id: %v", err)
	}
}

type nopCloser struct{}

func (nopCloser) Read([]byte) (int, error)    { return 0, io.EOF }
func (nopCloser) Write(p []byte) (int, error) { return len(p), nil }
func (nopCloser) Close() error                { return nil }

func TestOneChildCannotTakeAllIds(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	for i := range 1025 {
		p.send(p.own(0, 105, 1000, ""))
		if m := p.next(); (m.reply == 999) != (i == 1024) {
			t.Fatalf("request %d: %v", i, m)
		}
	}
}

func TestOneChildCannotAnnounceEndlessly(t *testing.T) {
	r := newRouter(t, router.Config{ID: 9, ParentIDs: []router.ContextID{0}})
	p := connect(t, r, child(1))
	for i := range 1<<14 + 10 {
		p.send(p.own(9, 103, 0, strconv.Itoa(1000+i)))
	}
	p.fence(9)
	if n := len(r.Routes()); n != 1<<14 {
		t.Errorf("%d routes", n)
	}
}

func TestIdIsTakenOnlyOnce(t *testing.T) {
	r := newRouter(t, router.Config{})
	connect(t, r, child(1))
	for _, id := range []router.ContextID{0, 1} {
		if _, err := r.AddLink(nopCloser{}, child(id)); err == nil || !strings.Contains(err.Error(), "taken") {
			t.Errorf("second link to %d: %v", id, err)
		}
	}
	id, err := r.AllocateID(t.Context())
	if err != nil || id != 2 {
		t.Errorf("next id %d, %v", id, err)
	}
}

func TestDelRouteReachesOnlyThoseWhoHadWritten(t *testing.T) {
	r := newRouter(t, router.Config{})
	gone, talker, stranger := connect(t, r, child(3)), connect(t, r, child(2)), connect(t, r, child(4))
	talker.send(talker.own(3, 1000, 0, "x"))
	gone.next()
	gone.rwc.Close()
	talker.want(vector(t, "head_del_route_down"))
	stranger.fence(0)
	talker.fence(0)
}

func TestDelRouteIsBelievedOnlyFromTheRightSide(t *testing.T) {
	r, above := middle(t, false)
	a, b := connect(t, r, child(2)), connect(t, r, child(3))
	above.next()
	above.next()
	a.send(a.own(1, 104, 0, "3"), a.own(1, 104, 0, "0"), a.own(1, 104, 0, "1"), a.own(1, 104, 0, "2"), a.own(1, 104, 0, "77"))
	above.send(above.own(1, 104, 0, "3"), above.own(1, 104, 0, "1"))
	a.fence(1)
	b.fence(1)
	above.fence(1)
	if n := len(r.Routes()); n != 3 {
		t.Errorf("routes %v", r.Routes())
	}
}

func TestDelRouteFromAboveWakesWaitersAndIsPassedDown(t *testing.T) {
	r, above := middle(t, false)
	below := connect(t, r, child(2))
	above.next()
	below.send(below.own(77, 1000, 0, "x"))
	above.next()
	far := r.Context(77)
	above.send(above.own(1, 104, 0, "77"))
	<-far.Done()
	var lost *router.LostError
	if !errors.As(far.Err(), &lost) || lost.ID != 77 || !errors.Is(lost, router.ErrLost) {
		t.Errorf("lost because: %v", far.Err())
	}
	below.want(msg{dst: 2, src: 1, auth: 1, handle: 104, data: "77"})
}

func TestModulesAndResourcesAreAbsentButAnswered(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	p.send(p.own(0, 100, 0, "nosuchmodule"))
	want := vector(t, "head_load_module_missing")
	got := p.next()
	if got.dst != want.dst || got.handle != want.handle || !equal(unpickled(t, got.data), unpickled(t, want.data)) {
		t.Errorf("came %v, want %v", got, want)
	}
	p.send(p.own(0, 112, 0, vector(t, "head_get_resource").data))
	got = p.next()
	if got.handle != 113 || got.data != pickled(t, tuple("gpkg", "data.txt"), nil) {
		t.Errorf("came %v", got)
	}
	old := connect(t, r, router.LinkConfig{Remote: 2, OldPeer: true})
	old.send(old.own(0, 112, 0, pickled(t, tuple("gpkg", "x"))))
	if got = old.next(); got.data != pickled(t, tuple("gpkg", "x", nil)) {
		t.Errorf("came %v", got)
	}
}

func TestModulesSentUnaskedAreTakenQuietly(t *testing.T) {
	_, above := middle(t, false)
	for _, name := range []string{"head_load_module_package", "v033_load_module_submodule", "head_load_resource", "head_forward_module"} {
		m := vector(t, name)
		m.dst, m.reply = 1, 1000
		above.send(m)
	}
	above.fence(1)
}

func TestDetachingIsNotedAndAnsweredOnce(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	m := vector(t, "head_detaching")
	p.send(m)
	want := vector(t, "head_detaching_reply")
	if got := p.next(); got.handle != want.handle || got.data != want.data {
		t.Errorf("came %v, want %v", got, want)
	}
	if !p.ctx.Detached() {
		t.Error("not noted")
	}
	p.send(m)
	p.fence(0)
}

func TestForwardedLogReachesTheMaster(t *testing.T) {
	type record struct {
		from         router.ContextID
		logger, text string
		level        router.Level
	}
	got := make(chan record, 1)
	master, below := routertest.Pair(t, func(name string, cfg *router.Config) {
		cfg.ForwardedLog = func(from router.ContextID, logger string, level router.Level, text string) {
			got <- record{from, logger, text, level}
		}
	})
	_ = master
	below.ForwardLog(router.LevelWarn, "gmod", "hello\x00there\n")
	if r := <-got; r != (record{1, "gmod", "hello\x00there\n", 30}) {
		t.Errorf("got %+v", r)
	}
	master.ForwardLog(router.LevelDebug, "own", "text")
	if r := <-got; r != (record{0, "own", "text", 10}) {
		t.Errorf("got %+v", r)
	}
}

func TestForwardedLogHasMitogensForm(t *testing.T) {
	r, above := middle(t, false)
	want := vector(t, "head_forward_log")
	r.ForwardLog(router.LevelWarn, "gmod", "hello from child")
	if want.data != "gmod\x0030\x00hello from child" {
		t.Fatalf("capture: %q", want.data)
	}
	above.want(want)
}

func TestForwardedLogWithoutAReceiverIsLogged(t *testing.T) {
	var l logs
	r := newRouter(t, router.Config{Log: l.log})
	p := connect(t, r, router.LinkConfig{Remote: 1, Name: "web1"})
	p.send(vector(t, "head_forward_log"), p.own(0, 102, 0, "junk"), p.own(0, 102, 0, "a\x00b\x00c"))
	p.fence(0)
	if !l.has(`hello from child logger gmod context "web1" (1)`) {
		t.Errorf("logged %q", l.lines)
	}
}
