package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
)

// forwards asks for listeners by hand, and shows the payloads of what comes.
type forwards struct {
	t *testing.T
	*gossh.Client
	came map[string]<-chan gossh.NewChannel
}

func (g *gateway) forwards(user string) *forwards {
	f := &forwards{t: g.t.(*testing.T), Client: g.client(user), came: map[string]<-chan gossh.NewChannel{}}
	for _, kind := range []string{chanForwardedTCPIP, chanForwardedUnix, chanAgent} {
		f.came[kind] = f.HandleChannelOpen(kind)
	}
	return f
}

// tcp asks for a port and returns the reply's.
func (f *forwards) tcp(request, host string, port uint32) (bool, uint32) {
	f.t.Helper()
	ok, reply, err := f.SendRequest(request, true, gossh.Marshal(struct {
		Host string
		Port uint32
	}{host, port}))
	if err != nil {
		f.t.Fatal(err)
	}
	var m struct{ Port uint32 }
	if len(reply) > 0 {
		if err := gossh.Unmarshal(reply, &m); err != nil {
			f.t.Fatal(err)
		}
	}
	return ok, m.Port
}

func (f *forwards) unix(request, path string) bool {
	f.t.Helper()
	ok, _, err := f.SendRequest(request, true, gossh.Marshal(struct{ Path string }{path}))
	if err != nil {
		f.t.Fatal(err)
	}
	return ok
}

// accept takes the next channel of a kind.
func (f *forwards) accept(kind string) (gossh.Channel, []byte) {
	f.t.Helper()
	nc := <-f.came[kind]
	ch, reqs, err := nc.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	go gossh.DiscardRequests(reqs)
	return ch, nc.ExtraData()
}

func freePort(t testing.TB) uint32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint32(l.Addr().(*net.TCPAddr).Port)
}

func connectTo(t testing.TB, network, address string) halfConn {
	t.Helper()
	nc, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc.(halfConn)
}

func TestRemoteForwardsHalfClose(t *testing.T) {
	g := startGateway(t)
	here := serve(t, "tcp", "127.0.0.1:0", digest)
	data := make([]byte, 5<<20)
	rand.Read(data)
	want := fmt.Sprintf("%x\n", sha256.Sum256(data))
	for _, dest := range [][]string{{"web1@gw"}, {"-J", "gw", "alice@web1"}} {
		port := freePort(t)
		cmd := g.ssh(append([]string{"-o", "ExitOnForwardFailure=yes", "-R", fmt.Sprintf("localhost:%d:127.0.0.1:%s", port, portOf(here))}, append(dest, "echo up; cat")...)...)
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
			t.Fatalf("%q: %v", dest, err)
		}
		nc := connectTo(t, "tcp", fmt.Sprintf("localhost:%d", port))
		go func() { // ends when everything is taken
			nc.Write(data)
			nc.CloseWrite()
		}()
		if got, err := io.ReadAll(nc); string(got) != want || err != nil {
			t.Errorf("%q: got %.100q, %v", dest, got, err)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%q: %v", dest, err)
		}
	}
	for _, r := range g.policy.asked {
		if r.Action == authz.ForwardRemote && (r.DestHost != "localhost" || r.DestPort == 0 || r.Account != "deploy" || r.Target != "web1") {
			t.Errorf("asked %+v", r)
		}
	}
	if ev := g.audit.await(t, EventForwardEnd)[0]; ev.Count != 1 || ev.In != int64(len(want)) || ev.Out != int64(len(data)) || ev.Action != authz.ForwardRemote {
		t.Errorf("audited %+v", ev)
	}
}

// The client knows its forwards by what it has asked for, whatever is listened on.
func TestForwardedChannelsNameWhatWasAskedFor(t *testing.T) {
	g := startGateway(t)
	f := g.forwards("web1")
	for _, host := range []string{"", "*", "localhost", "0.0.0.0", "127.0.0.1"} {
		ok, port := f.tcp(reqForwardTCPIP, host, 0)
		if !ok || port == 0 {
			t.Fatalf("%q: %v, port %d", host, ok, port)
		}
		nc := connectTo(t, "tcp", destination("127.0.0.1", int(port)))
		ch, payload := f.accept(chanForwardedTCPIP)
		from := nc.LocalAddr().(*net.TCPAddr)
		if want := gossh.Marshal(directTCPIP{host, port, "127.0.0.1", uint32(from.Port)}); !bytes.Equal(payload, want) {
			t.Errorf("%q: payload %q, want %q", host, payload, want)
		}
		ch.Close()
	}
	port := freePort(t)
	if ok, told := f.tcp(reqForwardTCPIP, "", port); !ok || told != 0 {
		t.Errorf("a port that was named: %v, %d", ok, told)
	}
	path := filepath.Join(g.dir, "s")
	if !f.unix(reqForwardUnix, path) {
		t.Fatal("unix")
	}
	connectTo(t, "unix", path)
	ch, payload := f.accept(chanForwardedUnix)
	if want := gossh.Marshal(struct{ A, B string }{path, ""}); !bytes.Equal(payload, want) {
		t.Errorf("unix: payload %q", payload)
	}
	ch.Close()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCancelledForwardIsFreeAgain(t *testing.T) {
	g := startGateway(t)
	f := g.forwards("web1")
	path, port := filepath.Join(g.dir, "s"), freePort(t)
	for range 3 {
		if ok, _ := f.tcp(reqForwardTCPIP, "localhost", port); !ok || !f.unix(reqForwardUnix, path) {
			t.Fatal("not listening")
		}
		if ok, _ := f.tcp(reqForwardTCPIP, "127.0.0.1", port); ok {
			t.Error("a port that is taken is given again")
		}
		if ok, _ := f.tcp(reqCancelForwardTCPIP, "127.0.0.1", port); ok {
			t.Error("a forward ends by another name")
		}
		nc := connectTo(t, "unix", path)
		ch, _ := f.accept(chanForwardedUnix)
		if ok, _ := f.tcp(reqCancelForwardTCPIP, "localhost", port); !ok || !f.unix(reqCancelForwardUnix, path) {
			t.Fatal("not cancelled")
		}
		if ok, _ := f.tcp(reqCancelForwardTCPIP, "localhost", port); ok || f.unix(reqCancelForwardUnix, path) {
			t.Error("cancelled twice")
		}
		if _, err := net.Dial("tcp", destination("127.0.0.1", int(port))); err == nil {
			t.Error("it still listens")
		}
		io.WriteString(nc, "still here") // what has been taken stays
		nc.CloseWrite()
		if got, err := io.ReadAll(ch); string(got) != "still here" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		ch.Close()
	}
	for _, ev := range g.audit.find(EventForwardEnd) {
		if ev.Reason != "" {
			t.Errorf("a cancelled forward ends with %q", ev.Reason)
		}
	}
}

func TestRefusedRemoteForwards(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.policy.deny = func(r authz.Request) bool { return r.Action == authz.ForwardRemote && r.Target == "local" }
		g.policy.never = func(r authz.Request) bool { return r.Action == authz.ForwardRemote && r.Target == "web1+docker.app" }
	})
	for user, reason := range map[string]string{"local": "", "web1+docker.app": "", "alice": `no target "alice"`, "nosuch": `no target "nosuch"`} {
		f := g.forwards(user)
		if ok, _ := f.tcp(reqForwardTCPIP, "", 0); ok || f.unix(reqForwardUnix, filepath.Join(g.dir, user)) {
			t.Errorf("%s: accepted", user)
		}
		f.Close()
		if reason == "" {
			continue
		}
		if !slices.ContainsFunc(g.audit.find(EventRefused), func(ev Event) bool {
			return ev.Reason == reqForwardTCPIP+": "+reason && ev.Action == authz.ForwardRemote
		}) {
			t.Errorf("%s: audited %+v", user, g.audit.find(EventRefused))
		}
	}
	if _, err := os.Lstat(filepath.Join(g.dir, "local")); err == nil {
		t.Error("it was listened on first")
	}
	f := g.forwards("web1")
	if ok, _, err := f.SendRequest(reqForwardTCPIP, true, []byte("garbage")); ok || err != nil {
		t.Errorf("garbage: %v, %v", ok, err)
	}
	got := run(t, g.ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "local@gw"))
	if got.status != 255 || !strings.Contains(got.stderr, "remote port forwarding failed") {
		t.Errorf("ssh: %+v", got)
	}
}

func TestForwardsOfAConnectionAreBounded(t *testing.T) {
	g := startGateway(t)
	f := g.forwards("web1")
	for i := range maxRemotes {
		if !f.unix(reqForwardUnix, filepath.Join(g.dir, strconv.Itoa(i))) {
			t.Fatalf("forward %d", i)
		}
	}
	if f.unix(reqForwardUnix, filepath.Join(g.dir, "more")) {
		t.Error("one too many")
	}
	if !f.unix(reqCancelForwardUnix, filepath.Join(g.dir, "7")) || !f.unix(reqForwardUnix, filepath.Join(g.dir, "more")) {
		t.Error("no room after one has ended")
	}
}

// Connections from a target are counted by themselves: they do not take the client's own channels.
func TestForwardedConnectionsAreBounded(t *testing.T) {
	g := startGateway(t, func(cfg *Config, _ *gateway) { cfg.MaxChannels = 4 })
	f := g.forwards("web1")
	_, port := f.tcp(reqForwardTCPIP, "", 0)
	address := destination("127.0.0.1", int(port))
	var chans []gossh.Channel
	for range 4 {
		connectTo(t, "tcp", address)
		ch, _ := f.accept(chanForwardedTCPIP)
		chans = append(chans, ch)
	}
	if n, err := connectTo(t, "tcp", address).Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("one too many: %d, %v", n, err)
	}
	s, err := f.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run("true"); err != nil {
		t.Error(err)
	}
	for _, ch := range chans {
		ch.Close()
	}
}

func TestConnectionThatTheClientRefusesIsClosed(t *testing.T) {
	g := startGateway(t)
	f := g.forwards("web1")
	_, port := f.tcp(reqForwardTCPIP, "", 0)
	nc := connectTo(t, "tcp", destination("127.0.0.1", int(port)))
	(<-f.came[chanForwardedTCPIP]).Reject(gossh.ConnectionFailed, "no")
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

// lostListeners are listeners that can be lost.
type lostListeners struct {
	mu  sync.Mutex
	all []*fakeListener
}

func (l *lostListeners) listen(network, address string) (Listener, error) {
	nl, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	f := newFakeListener(nl)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, f)
	return f, nil
}

func (l *lostListeners) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.all {
		f.Reset(errors.New("lost web1: the machine is gone"))
	}
}

// A client that has nothing but forwards would wait for ever behind a target that is gone.
func TestLostForwardsEndAClientThatHasNothingElse(t *testing.T) {
	var lost lostListeners
	g := startGateway(t, func(_ *Config, g *gateway) { g.backend.listen = lost.listen })
	busy, idle := g.forwards("web1"), g.forwards("web1")
	s, err := busy.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, _ := s.StdinPipe()
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*forwards{busy, idle} {
		for range 2 {
			if ok, _ := f.tcp(reqForwardTCPIP, "", 0); !ok {
				t.Fatal("not listening")
			}
		}
	}
	lost.lose()
	if err := idle.Wait(); err == nil {
		t.Error("the end of the connection is none")
	}
	in.Close()
	if err := s.Wait(); err != nil {
		t.Errorf("the session of the other: %v", err)
	}
	if ev := g.audit.find(EventForwardEnd); len(ev) < 2 || ev[0].Reason != "lost web1: the machine is gone" {
		t.Errorf("audited %+v", ev)
	}
}

// A request whose target takes its time holds back the replies behind it, and programs, which may want to use it; nothing else of the
// connection.
func TestSlowForwardDoesNotHoldTheConnection(t *testing.T) {
	asked, release := make(chan struct{}, 64), make(chan struct{})
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.backend.listen = func(network, address string) (Listener, error) {
			asked <- struct{}{}
			<-release
			return nil, errors.New("too late")
		}
	})
	f := g.forwards("web1")
	running, err := f.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, _ := running.StdinPipe()
	out, _ := running.StdoutPipe()
	if err := running.Start("cat"); err != nil {
		t.Fatal(err)
	}
	var replies sync.WaitGroup
	for range 40 { // more than x/crypto lets wait
		replies.Go(func() {
			if ok, _ := f.tcp(reqForwardTCPIP, "", 0); ok {
				t.Error("accepted")
			}
		})
	}
	<-asked
	io.WriteString(in, "goes on")
	in.Close()
	if got, err := io.ReadAll(out); string(got) != "goes on" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	s, err := f.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	if out, err := s.Output("echo in"); string(out) != "in\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	replies.Wait()
}

// As with sshd a program finds what was asked for before it.
func TestProgramsFindTheForwardsBeforeThem(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.backend.listen = func(network, address string) (Listener, error) {
			close(asked)
			<-release
			l, err := net.Listen(network, address)
			if err != nil {
				return nil, err
			}
			return newFakeListener(l), nil
		}
	})
	f := g.forwards("web1")
	path := filepath.Join(g.dir, "s")
	var both sync.WaitGroup
	both.Go(func() {
		if !f.unix(reqForwardUnix, path) {
			t.Error("not listening")
		}
	})
	<-asked
	both.Go(func() {
		s, err := f.NewSession()
		if err == nil {
			err = s.Run("test -S " + path)
		}
		if err != nil {
			t.Error(err)
		}
	})
	for g.backend.connects.Load() < 2 { // the program could start now
		runtime.Gosched()
	}
	close(release)
	both.Wait()
}

// stuckListener offers connections without end, and does not hear that they are refused.
type stuckListener struct {
	reset chan struct{}
	once  sync.Once
}

func (l *stuckListener) Port() int { return 80 }
func (l *stuckListener) Accept(ctx context.Context) (Incoming, error) {
	return l, ctx.Err()
}
func (l *stuckListener) Close(context.Context) error          { return nil }
func (l *stuckListener) Reset(error)                          { l.once.Do(func() { close(l.reset) }) }
func (l *stuckListener) Take(context.Context) (Stream, error) { return nil, errors.New("never") }
func (l *stuckListener) Refuse(error)                         { <-l.reset }
func (l *stuckListener) Origin() netip.AddrPort               { return netip.AddrPort{} }

// A target that takes nothing holds up nobody's end. That nothing is left is checked by startGateway.
func TestStuckTargetDoesNotHoldTheEnd(t *testing.T) {
	l := &stuckListener{reset: make(chan struct{})}
	g := startGateway(t, func(cfg *Config, g *gateway) {
		cfg.MaxChannels = 1
		g.backend.listen = func(string, string) (Listener, error) { return l, nil }
	})
	f := g.forwards("web1")
	if ok, _ := f.tcp(reqForwardTCPIP, "", 0); !ok {
		t.Fatal("not listening")
	}
	<-f.came[chanForwardedTCPIP]
	f.Close()
	<-l.reset
	g.audit.await(t, EventForwardEnd)
}

func TestTooManyGlobalRequestsEndTheConnection(t *testing.T) {
	var q globals
	for i := range maxWaiting {
		if begin, ok := q.add(&gossh.Request{}); begin != (i == 0) || !ok {
			t.Fatalf("request %d: %v, %v", i, begin, ok)
		}
	}
	if _, ok := q.add(&gossh.Request{}); ok {
		t.Error("one too many")
	}
	for range maxWaiting {
		if q.next() == nil {
			t.Fatal("one is gone")
		}
	}
	if q.next() != nil {
		t.Error("one too many")
	}
	if begin, _ := q.add(&gossh.Request{}); !begin {
		t.Error("nobody serves")
	}
}

// Close ends listeners and what they carry.
func TestCloseEndsForwards(t *testing.T) {
	g := startGateway(t)
	f := g.forwards("web1")
	_, port := f.tcp(reqForwardTCPIP, "", 0)
	address := destination("127.0.0.1", int(port))
	nc := connectTo(t, "tcp", address)
	f.accept(chanForwardedTCPIP)
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	_, _ = io.ReadAll(nc) // it ends
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("it still listens")
	}
}

// agentSession asks for a session with the client's agent.
func (f *forwards) agentSession() (*gossh.Session, bool) {
	f.t.Helper()
	s, err := f.NewSession()
	if err != nil {
		f.t.Fatal(err)
	}
	ok, err := s.SendRequest(reqAgent, true, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return s, ok
}

func TestAgentForwarding(t *testing.T) {
	g := startGateway(t)
	f := g.forwards("web1")
	s, ok := f.agentSession()
	if !ok {
		t.Fatal("refused")
	}
	in, _ := s.StdinPipe()
	out, _ := s.StdoutPipe()
	if err := s.Start(`echo "$SSH_AUTH_SOCK"; cat`); err != nil {
		t.Fatal(err)
	}
	path := make([]byte, 256)
	n, err := out.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	nc := connectTo(t, "unix", strings.TrimSpace(string(path[:n])))
	ch, payload := f.accept(chanAgent)
	if len(payload) != 0 {
		t.Errorf("payload %q", payload)
	}
	io.WriteString(nc, "question")
	nc.CloseWrite()
	if got, err := io.ReadAll(ch); string(got) != "question" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	io.WriteString(ch, "answer")
	ch.Close()
	if got, err := io.ReadAll(nc); string(got) != "answer" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	in.Close()
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if ev := g.audit.await(t, EventForwardEnd)[0]; ev.Action != authz.AgentForward || ev.Count != 1 || ev.In != 6 || ev.Out != 8 || ev.Account != "deploy" {
		t.Errorf("audited %+v", ev)
	}
}

// Policy takes the agent away and leaves the session.
func TestRefusedAgentForwarding(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.policy.deny = func(r authz.Request) bool { return r.Action == authz.AgentForward && r.Account == "deploy" }
		g.policy.never = func(r authz.Request) bool { return r.Action == authz.AgentForward && r.Target == "local" }
	})
	for user, possible := range map[string]bool{"web1": true, "local": false} {
		s, ok := g.forwards(user).agentSession()
		if ok != possible {
			t.Errorf("%s: %v", user, ok)
		}
		if out, err := s.Output(`echo "<$SSH_AUTH_SOCK>"`); err != nil || strings.Contains(string(out), "fake-agent-") {
			t.Errorf("%s: %q, %v", user, out, err)
		}
		if g.backend.lastSpec().Agent {
			t.Errorf("%s: the agent was asked for a socket", user)
		}
	}
}
