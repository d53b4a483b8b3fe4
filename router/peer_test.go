package router_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fakessh/router"
	"fakessh/router/pickle"
	"fakessh/router/routertest"
)

// msg is a frame as the tests write and read it, by a codec of their own.
type msg struct {
	magic          uint16
	dst, src, auth uint32
	handle, reply  uint32
	data           string
}

func (m msg) bytes() []byte {
	if m.magic == 0 {
		m.magic = 0x4d49
	}
	b := binary.BigEndian.AppendUint16(nil, m.magic)
	for _, v := range []uint32{m.dst, m.src, m.auth, m.handle, m.reply, uint32(len(m.data))} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return append(b, m.data...)
}

func (m msg) String() string {
	return fmt.Sprintf("%x %d<-%d(%d) handle %d reply %d %q", m.magic, m.dst, m.src, m.auth, m.handle, m.reply, m.data)
}

// dead is the dead message that a router sends.
func dead(dst, src, handle uint32, reason string) msg {
	return msg{magic: 0x4d49, dst: dst, src: src, auth: src, handle: handle, reply: 999, data: reason}
}

func parse(b []byte) msg {
	u := func(i int) uint32 { return binary.BigEndian.Uint32(b[i:]) }
	return msg{binary.BigEndian.Uint16(b), u(2), u(6), u(10), u(14), u(18), string(b[26:])}
}

// peer is a neighbour under the test's control: it sends what it likes.
type peer struct {
	t   testing.TB
	id  uint32
	rwc io.ReadWriteCloser
	ctx *router.Context // as the router sees it
	in  chan msg
}

// connect joins a peer to r.
func connect(t testing.TB, r *router.Router, cfg router.LinkConfig) *peer {
	t.Helper()
	ours, theirs := routertest.Pipe()
	p := &peer{t: t, id: uint32(cfg.Remote), rwc: theirs, in: make(chan msg, 10000)}
	go p.read() // ends when the pipe does
	t.Cleanup(func() { theirs.Close() })
	c, err := r.AddLink(ours, cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.ctx = c
	return p
}

func (p *peer) read() {
	defer close(p.in)
	for {
		head := make([]byte, 26)
		if _, err := io.ReadFull(p.rwc, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[22:]))
		if _, err := io.ReadFull(p.rwc, body); err != nil {
			return
		}
		p.in <- parse(append(head, body...))
	}
}

// send writes frames; src and auth that are 0 stay 0.
func (p *peer) send(ms ...msg) {
	p.t.Helper()
	for _, m := range ms {
		if _, err := p.rwc.Write(m.bytes()); err != nil {
			p.t.Fatal(err)
		}
	}
}

// own makes a message of the peer itself.
func (p *peer) own(dst, handle, reply uint32, data string) msg {
	return msg{dst: dst, src: p.id, auth: p.id, handle: handle, reply: reply, data: data}
}

// next is the next frame that the router sent.
func (p *peer) next() msg {
	p.t.Helper()
	select {
	case m, ok := <-p.in:
		if !ok {
			p.t.Fatal("the link is closed")
		}
		return m
	case <-time.After(10 * time.Second):
		p.t.Fatal("nothing came")
	}
	panic("unreachable")
}

func (p *peer) want(want msg) {
	p.t.Helper()
	if want.magic == 0 {
		want.magic = 0x4d49
	}
	if got := p.next(); got != want {
		p.t.Errorf("came %v\nwant %v", got, want)
	}
}

// fence makes sure that the router has handled everything sent before, and that nothing but the answer has come.
func (p *peer) fence(to uint32) {
	p.t.Helper()
	p.send(p.own(to, 999999, 4242, ""))
	p.want(dead(p.id, to, 4242, "invalid handle"))
}

// closed waits until the router has closed the link.
func (p *peer) closed() {
	p.t.Helper()
	for {
		select {
		case m, ok := <-p.in:
			if !ok {
				return
			}
			p.t.Logf("before the end: %v", m)
		case <-time.After(10 * time.Second):
			p.t.Fatal("the link is open")
		}
	}
}

func pickled(t testing.TB, vs ...any) string {
	t.Helper()
	var b []byte
	for _, v := range vs {
		var err error
		if b, err = pickle.Append(b, v); err != nil {
			t.Fatal(err)
		}
	}
	return string(b)
}

func unpickled(t testing.TB, data string) any {
	t.Helper()
	v, rest, err := pickle.Decode([]byte(data))
	if err != nil || len(rest) > 0 {
		t.Fatalf("decode %q: %v, %d left", data, err, len(rest))
	}
	return v
}

// call is the payload of a plain call.
func callData(t testing.TB, chain any, module, function string, args ...any) string {
	t.Helper()
	return pickled(t, pickle.Tuple{chain, module, nil, function, pickle.Tuple(args), pickle.Kwargs{Dict: pickle.NewDict()}})
}

// vector reads a captured frame.
func vector(t testing.TB, name string) msg {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "vectors", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return parse(b)
}

// logs collects a router's records.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) log(_ router.Level, text string, attrs ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, text+" "+strings.Join(attrs, " "))
}

func (l *logs) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// newRouter makes a router that closes with the test.
func newRouter(t testing.TB, cfg router.Config) *router.Router {
	t.Helper()
	r := router.New(cfg)
	t.Cleanup(func() { r.Close() })
	return r
}
