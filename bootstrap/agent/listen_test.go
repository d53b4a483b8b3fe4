package agent

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// listenAt listens in the agent; the listener is reset when the test ends.
func (w *world) listenAt(network, address string) *session.Listener {
	w.t.Helper()
	l, err := session.Listen(w.t.Context(), w.peer, network, address)
	if err != nil {
		w.t.Fatalf("listen %s %s: %v", network, address, err)
	}
	w.t.Cleanup(func() { l.Reset(errors.New("test over")) })
	return l
}

// connect connects to address from outside.
func connect(t testing.TB, network, address string) halfConn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(halfConn)
}

// take takes the next connection that comes to l.
func (w *world) take(l *session.Listener) *router.Stream {
	w.t.Helper()
	in, err := l.Accept(background(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := in.Take(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

func addressOf(l *session.Listener) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Port()))
}

func TestAcceptedConnectionsHalfClose(t *testing.T) {
	w := newWorld(t)
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/s"} {
		l := w.listenAt(network, address)
		if network == "tcp" {
			address = addressOf(l)
		}
		c := connect(t, network, address)
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() { // ends when everything is taken
			_, _ = c.Write(data)
			_ = c.CloseWrite()
		}()
		s := w.take(l)
		if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", network, len(got), err)
		}
		_, _ = io.WriteString(s, "answer")
		_ = s.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "answer" {
			t.Errorf("%s: %q, %v", network, got, err)
		}
	}
}

func TestOriginIsTold(t *testing.T) {
	w := newWorld(t)
	l := w.listenAt("tcp", "127.0.0.1:0")
	c := connect(t, "tcp", addressOf(l))
	in, err := l.Accept(background(t))
	if err != nil || in.From.String() != c.LocalAddr().String() {
		t.Errorf("got %v, %v, want %v", in.From, err, c.LocalAddr())
	}
	path := t.TempDir() + "/s"
	l = w.listenAt("unix", path)
	connect(t, "unix", path)
	if in, err = l.Accept(background(t)); err != nil || in.From.IsValid() {
		t.Errorf("unix: %v, %v", in.From, err)
	}
}

func TestRefusedConnectionIsClosed(t *testing.T) {
	w := newWorld(t)
	l := w.listenAt("tcp", "127.0.0.1:0")
	c := connect(t, "tcp", addressOf(l))
	in, err := l.Accept(background(t))
	if err != nil {
		t.Fatal(err)
	}
	in.Refuse(errors.New("no"))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := in.Take(t.Context()); err == nil || !strings.Contains(err.Error(), errNoAsk.Error()) {
		t.Errorf("taken after that: %v", err)
	}
}

func TestClosedListenerLeavesWhatIsTaken(t *testing.T) {
	w := newWorld(t)
	path := t.TempDir() + "/s"
	l := w.listenAt("unix", path)
	taken, waits := connect(t, "unix", path), connect(t, "unix", path)
	s := w.take(l)
	if _, err := l.Accept(background(t)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(background(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if _, err := l.Accept(background(t)); err != io.EOF {
		t.Errorf("accept: %v", err)
	}
	if n, err := waits.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a connection that waits: %d, %v", n, err)
	}
	_, _ = io.WriteString(taken, "still here")
	_ = taken.CloseWrite()
	if got, err := io.ReadAll(s); err != nil || string(got) != "still here" {
		t.Errorf("%q, %v", got, err)
	}
	w.listenAt("unix", path) // it is free again, at once
}

// What has been announced and is not taken is bounded: the rest stays in the kernel's queue.
func TestWaitingConnectionsAreBounded(t *testing.T) {
	w := newWorld(t)
	l := w.listenAt("tcp", "127.0.0.1:0")
	for range maxWaiting + 10 {
		connect(t, "tcp", addressOf(l))
	}
	var waiting []*session.Incoming
	for range maxWaiting {
		in, err := l.Accept(background(t))
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, in)
	}
	w.agent.asks.mu.Lock()
	n := len(w.agent.asks.waiting)
	w.agent.asks.mu.Unlock()
	if n != maxWaiting {
		t.Errorf("%d wait", n)
	}
	for _, in := range waiting {
		in.Refuse(errors.New("no"))
	}
	for range 10 { // there is room for them now
		if _, err := l.Accept(background(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLostListenerClosesWhatWaits(t *testing.T) {
	w := newWorld(t)
	path := t.TempDir() + "/s"
	l := w.listenAt("unix", path)
	c := connect(t, "unix", path)
	if _, err := l.Accept(background(t)); err != nil {
		t.Fatal(err)
	}
	l.Reset(errors.New("gone"))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	eventually(t, "the socket goes", func() bool {
		_, err := os.Lstat(path)
		return errors.Is(err, os.ErrNotExist)
	})
}

// Who listens again right after a loss gets the address: what is about to be freed is waited for.
func TestAddressOfALostListenerIsFreeForTheNext(t *testing.T) {
	w := newWorld(t)
	l := w.listenAt("tcp", "localhost:0")
	for range 100 {
		address := net.JoinHostPort("localhost", strconv.Itoa(l.Port()))
		l.Reset(errors.New("gone"))
		l = w.listenAt("tcp", address)
	}
}

func TestListenErrors(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ network, address, want string }{
		{"tcp", "127.0.0.1:" + port, "listen: Address already in use"},
		{"tcp", "localhost:" + port, "listen: Address already in use"},
		{"tcp", "0.0.0.0:0", "listen: Not a loopback address: 0.0.0.0"},
		{"tcp", ":0", "listen: Not a loopback address: "},
		{"tcp", "127.0.0.1:65536", "listen: "},
		{"tcp", "127.0.0.1", "listen: "},
		{"udp", "127.0.0.1:0", "listen: Unknown network udp"},
		{"unix", dir + "/file", "listen: Address already in use"},
		{"unix", dir + "/none/s", "listen: No such file or directory"},
		{"unix", dir + "/" + strings.Repeat("x", 200), "listen: Invalid argument"},
	} {
		_, err := session.Listen(t.Context(), w.peer, tc.network, tc.address)
		var call *router.CallError
		if !errors.As(err, &call) || !strings.HasPrefix(call.Text, tc.want) {
			t.Errorf("%s %s: %v, want %q", tc.network, tc.address, err, tc.want)
		}
	}
	if _, err := os.Stat(dir + "/file"); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
}

func TestLocalhostIsBothFamilies(t *testing.T) {
	w := newWorld(t)
	l := w.listenAt("tcp", "localhost:0")
	addresses := []string{addressOf(l)}
	if probe, err := net.Listen("tcp", "[::1]:0"); err == nil {
		probe.Close()
		addresses = append(addresses, net.JoinHostPort("::1", strconv.Itoa(l.Port())))
	}
	for _, a := range addresses {
		connect(t, "tcp", a)
		if in, err := l.Accept(background(t)); err != nil || in.From.Port() == 0 {
			t.Errorf("%s: %+v, %v", a, in, err)
		}
	}
}

func TestUnixSocketsAreTheAccountsAlone(t *testing.T) {
	b, err := bind("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(b.path); err != nil || st.Mode() != os.ModeSocket|socketMode {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	// Somebody else's file in its place is not removed.
	if err := os.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.close()
	if _, err := os.Lstat(b.path); err != nil {
		t.Error(err)
	}
	// A name with an @ is a file's, not that of a socket without a mode.
	t.Chdir(t.TempDir())
	if b, err = bind("unix", "@s"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat("@s"); err != nil {
		t.Error(err)
	}
	b.close()
}

// The socket of ssh -A: in a directory of the account's own, in the program's environment, and gone with the session.
func TestAgentSocketLivesAsLongAsItsSession(t *testing.T) {
	w := newWorld(t)
	spec := sh(`echo "$SSH_AUTH_SOCK"; stat -c %a "$(dirname "$SSH_AUTH_SOCK")" "$SSH_AUTH_SOCK"; cat`)
	spec.Agent = true
	c := w.start(spec)
	incoming := make(chan *session.Incoming, 1)
	c.Accepted = func(in *session.Incoming) { incoming <- in }
	waited := make(chan struct{})
	go func() { // ends with the session
		defer close(waited)
		_, _ = c.Wait(t.Context())
	}()
	text := make([]byte, 0, 256)
	for strings.Count(string(text), "\n") < 3 {
		chunk, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, chunk.Data...)
		chunk.Release()
	}
	lines := strings.Split(string(text), "\n")
	if lines[1] != "700" || lines[2] != "600" {
		t.Errorf("modes %q", lines[1:])
	}
	conn := connect(t, "unix", lines[0])
	s, err := (<-incoming).Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, _ = io.WriteString(conn, "question")
	_ = conn.CloseWrite()
	if got, err := io.ReadAll(s); err != nil || string(got) != "question" {
		t.Errorf("%q, %v", got, err)
	}
	_ = c.CloseWrite()
	collect(t, c)
	<-waited
	c.Close()
	eventually(t, "the directory goes", func() bool {
		_, err := os.Lstat(filepath.Dir(lines[0]))
		return errors.Is(err, os.ErrNotExist)
	})
	if r := w.run(sh(`echo "<$SSH_AUTH_SOCK>"`), ""); r.stdout != "<>\n" {
		t.Errorf("a session without one: %q", r.stdout)
	}
}

// An item of one session answers nothing that another waits for: at its other end there may be another target (docs/protocol.md 2.9).
func TestAnswersOfOtherStreamsAreIgnored(t *testing.T) {
	w := newWorld(t)
	l, other := w.listenAt("tcp", "127.0.0.1:0"), w.start(sh("cat"))
	c := connect(t, "tcp", addressOf(l))
	in, err := l.Accept(background(t))
	if err != nil {
		t.Fatal(err)
	}
	w.agent.asks.mu.Lock()
	id := w.agent.asks.last
	w.agent.asks.mu.Unlock()
	if err := other.SendControl(router.Control{Kind: session.ItemAnswer, Data: session.AppendAsk(nil, id, "no")}); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(other, "after it")
	_ = other.CloseWrite()
	if r := collect(t, other); r.stdout != "after it" {
		t.Errorf("got %+v", r)
	}
	s, err := in.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_ = c.CloseWrite()
	if _, err := io.ReadAll(s); err != nil {
		t.Error(err)
	}
}
