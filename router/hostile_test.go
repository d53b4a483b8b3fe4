package router_test

import (
	"context"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"fakessh/router"
	"fakessh/router/pickle"
	"fakessh/router/routertest"
)

// rawEnd is the far end of a stream, under the test's control.
type rawEnd struct {
	p    *peer
	s    *router.Stream // the other end
	near uint32         // its handle
	far  uint32         // ours
}

const rawHandle = 0x80000777

// rawStream lets a master open a stream with a peer that plays an agent.
func rawStream(t testing.TB, r *router.Router, p *peer, far uint32) *rawEnd {
	t.Helper()
	type opened struct {
		s   *router.Stream
		err error
	}
	done := make(chan opened, 1)
	go func() {
		s, _, err := p.ctx.Open(context.Background(), "test.accept")
		done <- opened{s, err}
	}()
	call := p.next()
	for call.handle != 101 {
		call = p.next()
	}
	kwargs := unpickled(t, call.data).(pickle.Tuple)[5].(pickle.Kwargs)
	offered, _ := kwargs.Get("stream")
	e := &rawEnd{p: p, near: offered.(pickle.SenderRef).Handle, far: far}
	if e.near&0x80000000 == 0 {
		t.Fatalf("stream handle %x", e.near)
	}
	p.send(p.own(0, call.reply, 0, pickled(t, pickle.NewDict("stream", pickle.SenderRef{Context: p.id, Handle: far}, "value", nil))))
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	e.s = o.s
	t.Cleanup(func() { e.s.Close() })
	return e
}

// send sends frames of the stream.
func (e *rawEnd) send(payloads ...string) {
	e.p.t.Helper()
	for _, data := range payloads {
		e.p.send(e.p.own(0, e.near, e.far, data))
	}
}

// nextOf is the next frame that came for handle h.
func (p *peer) nextOf(h uint32) msg {
	p.t.Helper()
	for {
		if m := p.next(); m.handle == h {
			return m
		}
	}
}

// wantReset waits for the router's RESET of the stream, and for the stream to end with that text.
func (e *rawEnd) wantReset(reason string) {
	e.p.t.Helper()
	for {
		m := e.p.nextOf(e.far)
		if m.data[0] != 4 {
			continue
		}
		if m.data != "\x04"+reason || m.reply != e.near {
			e.p.t.Errorf("came %v, want a reset %q", m, reason)
		}
		break
	}
	select {
	case <-e.s.Done():
	case <-time.After(10 * time.Second):
		e.p.t.Fatal("the stream goes on")
	}
	if err := e.s.Err(); err == nil || !strings.HasSuffix(err.Error(), reason) {
		e.p.t.Errorf("the stream ended by %v", err)
	}
}

// wantAlive checks that bytes pass both ways.
func (e *rawEnd) wantAlive() {
	e.p.t.Helper()
	e.send("\x00ping")
	b := make([]byte, 4)
	if _, err := io.ReadFull(e.s, b); err != nil || string(b) != "ping" {
		e.p.t.Fatalf("another stream has stopped: %q, %v", b, err)
	}
	e.s.Write([]byte("pong"))
	for {
		if m := e.p.nextOf(e.far); m.data[0] == 0 {
			if m.data != "\x00pong" || m.reply != e.near {
				e.p.t.Errorf("came %v", m)
			}
			return
		}
	}
}

func creditFrame(received, allowed uint64) string {
	b := binary.BigEndian.AppendUint64([]byte{2}, received)
	return string(binary.BigEndian.AppendUint64(b, allowed))
}

func rep(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

func TestViolationsResetTheirStreamOnly(t *testing.T) {
	full := "\x00" + strings.Repeat("x", 32<<10)
	for _, c := range []struct {
		name   string
		frames []string
		reason string
	}{
		{"no kind", []string{""}, "malformed stream frame"},
		{"empty data", []string{"\x00"}, "malformed stream frame"},
		{"empty extended", []string{"\x01"}, "malformed stream frame"},
		{"short credit", []string{creditFrame(0, 1)[:16]}, "malformed stream frame"},
		{"long credit", []string{creditFrame(0, 1) + "x"}, "malformed stream frame"},
		{"EOF with something", []string{"\x03x"}, "malformed stream frame"},
		{"control without a kind", []string{"\x05"}, "malformed stream frame"},
		{"unknown kind", []string{"\x06abc"}, "unknown kind of stream frame"},
		{"last unknown kind", []string{"\x7f"}, "unknown kind of stream frame"},
		{"long data", []string{full + "x"}, "stream frame too long"},
		{"long item", []string{"\x05k" + strings.Repeat("i", 4097)}, "stream frame too long"},
		{"long reset", []string{"\x04" + strings.Repeat("r", 1025)}, "stream frame too long"},
		{"long optional frame", []string{"\xff" + full}, "stream frame too long"},
		{"more than allowed", append(rep(full, 8), "\x00x"), "flow control violated"},
		{"more than allowed, in small pieces", rep("\x00x", 256<<10/64+1), "flow control violated"},
		{"more than allowed, both classes", append(rep(full, 7), rep("\x01"+full[1:], 2)...), "flow control violated"},
		{"acknowledges what was not sent", []string{creditFrame(1, 1<<20)}, "flow control violated"},
		{"acknowledges the unthinkable", []string{creditFrame(1<<64-1, 1<<20)}, "flow control violated"},
		{"data after EOF", []string{"\x03", "\x00x"}, "data after EOF"},
		{"extended after EOF", []string{"\x03", "\x01x"}, "data after EOF"},
		{"second EOF", []string{"\x03", "\x03"}, "second EOF"},
		{"many items", rep("\x05k", 257), "too many control items"},
		{"much in items", rep("\x05k"+strings.Repeat("i", 4096), 17), "too many control items"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t, router.Config{})
			p := connect(t, r, child(1))
			victim, other := rawStream(t, r, p, rawHandle), rawStream(t, r, p, rawHandle+1)
			victim.send(c.frames...)
			victim.wantReset(c.reason)
			other.wantAlive()
		})
	}
}

func TestHarmlessOddities(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames []string
	}{
		{"optional kinds", []string{"\x80", "\x81abc", "\xff" + strings.Repeat("x", 32<<10)}},
		{"credit going backwards", []string{creditFrame(0, 1<<20), creditFrame(0, 5), creditFrame(0, 0)}},
		{"credit without end", []string{creditFrame(0, 1<<64-1)}},
		{"credit again and again", rep(creditFrame(0, 1<<20), 5000)},
		{"empty item", []string{"\x05k"}},
		{"blocked, again and again", rep("\x80", 5000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t, router.Config{})
			e := rawStream(t, r, connect(t, r, child(1)), rawHandle)
			e.send(c.frames...)
			e.wantAlive()
		})
	}
}

// However much the peer allows, what it does not acknowledge stops the sender.
func TestAbsurdCreditDoesNotFillTheQueue(t *testing.T) {
	r := newRouter(t, router.Config{NoPacing: true})
	p := connect(t, r, child(1))
	e := rawStream(t, r, p, rawHandle)
	e.send(creditFrame(0, 1<<64-1))
	source := &counting{r: endless{}}
	done := make(chan error, 1)
	go func() {
		_, err := e.s.ReadFrom(source)
		done <- err
	}()
	for got := 0; got < 16<<20; {
		if m := p.nextOf(e.far); m.data[0] == 0 {
			got += len(m.data) - 1
		}
	}
	p.send(p.own(0, 999999, 4242, ""))
	p.nextOf(4242)
	e.s.Close()
	<-done
	if source.n > 16<<20+64<<10 {
		t.Errorf("%d bytes were sent without an acknowledgement", source.n)
	}
}

// Only the peer's own context and handle are believed, and who tries gets his own stream reset.
func TestStrangersCannotTouchAStream(t *testing.T) {
	r := newRouter(t, router.Config{})
	p, q := connect(t, r, child(1)), connect(t, r, child(2))
	e := rawStream(t, r, p, rawHandle)
	for _, data := range []string{"\x00injected", "\x03", creditFrame(0, 1<<40), "\x05k", "", "\x06"} {
		q.send(q.own(0, e.near, rawHandle, data))
		q.want(msg{dst: 2, handle: rawHandle, reply: e.near, data: "\x04reply from unexpected context"})
		p.send(p.own(0, e.near, rawHandle+5, data)) // the right context by another handle
		if m := p.nextOf(rawHandle + 5); m.data != "\x04invalid handle" {
			t.Errorf("came %v", m)
		}
	}
	q.send(q.own(0, e.near, rawHandle, "\x04reset")) // these are never answered
	q.send(q.own(0, e.near, 999, "dead"))
	q.send(q.own(0, e.near+1, rawHandle, "\x04nobody there"))
	q.send(q.own(0, e.near+1, 999, "nobody there"))
	q.send(q.own(0, e.near, 5, "\x00no stream")) // no stream's handle: nowhere to answer to
	q.fence(0)
	e.wantAlive()
}

func TestFrameForNobodyIsAnsweredByAReset(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	p.send(p.own(0, 0x80001234, 0x80004321, "\x00hello"))
	p.want(msg{dst: 1, handle: 0x80004321, reply: 0x80001234, data: "\x04invalid handle"})
}

func TestDeadMessageFromThePeerIsAReset(t *testing.T) {
	r := newRouter(t, router.Config{})
	e := rawStream(t, r, connect(t, r, child(1)), rawHandle)
	e.p.send(e.p.own(0, e.near, 999, "gone \xff"))
	<-e.s.Done()
	wantReset(t, e.s.Err(), "gone \ufffd")
}

// "no route" from a router on the way overtakes what is on its way: that is read first, until the loss is announced.
func TestDeadMessageOnTheWayLeavesReadingOpen(t *testing.T) {
	r := newRouter(t, router.Config{})
	p := connect(t, r, child(1))
	p.send(p.own(0, 105, 4000, "")) // a block of ids, to have a context beneath
	block := unpickled(t, p.next().data).(pickle.Tuple)
	below := uint32(block[0].(int64))
	p.send(p.own(0, 103, 0, router.ContextID(below).String()))
	p.fence(0)
	deep := &peer{t: t, id: below, rwc: p.rwc, in: p.in, ctx: r.Context(router.ContextID(below))}
	e := rawStream(t, r, deep, rawHandle)
	e.send("\x00before")
	p.send(p.own(0, e.near, 999, "no route to 9, my ID is 1"))
	p.fence(0)
	if _, err := e.s.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "no route") {
		t.Errorf("writing: %v", err)
	}
	e.send("\x00, after", "\x03")
	p.send(p.own(0, 104, 0, router.ContextID(below).String()))
	b, err := io.ReadAll(e.s)
	if string(b) != "before, after" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	<-e.s.Done()
}

// One that floods a reader that does not read its own link costs a bounded queue.
func TestAnswersToAFloodAreBounded(t *testing.T) {
	r := newRouter(t, router.Config{})
	ours, theirs := routertest.Pipe()
	defer theirs.Close()
	if _, err := r.AddLink(ours, child(1)); err != nil {
		t.Fatal(err)
	}
	flood := msg{dst: 0, src: 1, auth: 1, handle: 0x80000001, reply: 0x80000002, data: "\x00x"}.bytes()
	for range 20_000 { // reads nothing
		if _, err := theirs.Write(flood); err != nil {
			t.Fatal(err)
		}
	}
	if q := r.Links()[0].Queued; q > 1<<20 {
		t.Errorf("%d bytes of answers wait", q)
	}
}

func TestAcceptNeedsAuthorityAndTheCallersOwnHandle(t *testing.T) {
	for _, c := range []struct {
		name   string
		sender pickle.SenderRef
		want   string
	}{
		{"another's context", pickle.SenderRef{Context: 7, Handle: 0x80000001}, "not the caller's own"},
		{"no stream's handle", pickle.SenderRef{Context: 0, Handle: 1001}, "not the caller's own"},
	} {
		r := newRouter(t, router.Config{ID: 1, ParentIDs: []router.ContextID{0}})
		r.Register("test.accept", func(_ context.Context, c *router.Call) (any, error) { _, err := c.Stream(); return nil, err })
		p := connect(t, r, router.LinkConfig{Remote: 0, Parent: true})
		kwargs := pickle.Kwargs{Dict: pickle.NewDict("stream", c.sender)}
		p.send(p.own(1, 101, 4000, pickled(t, pickle.Tuple{nil, "test", nil, "accept", pickle.Tuple{}, kwargs})))
		if m := p.next(); !strings.Contains(m.data, c.want) {
			t.Errorf("%s: %v", c.name, m)
		}
	}
}

// The opener believes an answer only if it names the asked context and the handle that has been shown.
func TestOpenRefusesForgedAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		early  bool // frames from rawHandle come before the answer
		answer any
	}{
		{"another handle than shown", true, pickle.NewDict("stream", pickle.SenderRef{Context: 1, Handle: rawHandle + 1}, "value", nil)},
		{"another context", false, pickle.NewDict("stream", pickle.SenderRef{Context: 2, Handle: rawHandle}, "value", nil)},
		{"no stream's handle", false, pickle.NewDict("stream", pickle.SenderRef{Context: 1, Handle: 1000}, "value", nil)},
		{"no dict", false, "hello"},
		{"none", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t, router.Config{})
			p := connect(t, r, child(1))
			done := make(chan error, 1)
			go func() {
				_, _, err := p.ctx.Open(context.Background(), "test.accept")
				done <- err
			}()
			call := p.next()
			kwargs := unpickled(t, call.data).(pickle.Tuple)[5].(pickle.Kwargs)
			offered, _ := kwargs.Get("stream")
			near := offered.(pickle.SenderRef).Handle
			if c.early {
				p.send(p.own(0, near, rawHandle, creditFrame(0, 256<<10)))
				p.fence(0)
			}
			p.send(p.own(0, call.reply, 0, pickled(t, c.answer)))
			if err := <-done; err == nil {
				t.Fatal("believed")
			}
			if c.early {
				if m := p.next(); m.handle != rawHandle || m.data[0] != 4 {
					t.Errorf("came %v, want a reset", m)
				}
			}
			p.fence(0)
		})
	}
}

// FuzzStreamFrames feeds frames to a live stream, cut from data: a length byte, then that many bytes. Whatever
// they are, the router goes on, the stream ends or lives, and another one works.
func FuzzStreamFrames(f *testing.F) {
	for _, s := range []string{
		"", "\x00", "\x05\x00abcd\x01\x03", "\x11" + creditFrame(0, 1<<20), "\x11" + creditFrame(9, 1), "\x03\x05kx\x02\x80x\x06\x04oops!",
		"\x02\x00a\x02\x01b\x01\x03\x02\x00c", "\x01\x06", "\x01\x03\x01\x03",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRouter(t, router.Config{})
		p := connect(t, r, child(1))
		e, other := rawStream(t, r, p, rawHandle), rawStream(t, r, p, rawHandle+1)
		go io.Copy(io.Discard, e.s) // ends with the stream
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			e.send(string(data[1 : 1+n]))
			data = data[1+n:]
		}
		other.wantAlive()
		e.s.Close()
		<-e.s.Done()
	})
}
