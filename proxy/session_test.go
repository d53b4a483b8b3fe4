package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// packetTypes are the channel packets that a real client received, from its debug output.
func packetTypes(stderr string) []string {
	names := map[string]string{"91": "confirm", "96": "eof", "97": "close", "98": "request", "99": "success", "100": "failure"}
	var types []string
	for _, m := range regexp.MustCompile(`receive packet: type (\d+)`).FindAllStringSubmatch(stderr, -1) {
		if name, ok := names[m[1]]; ok {
			types = append(types, name)
		}
	}
	return types
}

// A real client sees: the reply when the program exists, the exit, EOF, close. It does not report data; see TestFrames.
func TestTeardownOrder(t *testing.T) {
	g := startGateway(t)
	want := []string{"confirm", "success", "request", "eof", "close"}
	tests := []struct {
		dest, command string
		want          []string
	}{
		{"web1@gw", "echo out; exit 1", want},
		{"web1@gw", "kill -9 $$", want},
		{"nosuch@gw", "true", want},
	}
	for _, tt := range tests {
		got := run(t, g.ssh("-n", "-vvv", "-o", "LogLevel=DEBUG3", tt.dest, tt.command))
		if types := packetTypes(got.stderr); !slices.Equal(types, tt.want) {
			t.Errorf("%s %q: got %q, want %q", tt.dest, tt.command, types, tt.want)
		}
	}
}

func TestOutputIsWholeBothWays(t *testing.T) {
	const size = 24 << 20
	g := startGateway(t)
	for _, dest := range [][]string{{"web1@gw"}, {"-J", "gw", "alice@web1"}} {
		random := io.LimitReader(rand.Reader, size)
		sent, received := sha256.New(), sha256.New()
		cmd := g.ssh(append(dest, "cat")...)
		cmd.Stdin, cmd.Stdout = io.TeeReader(random, sent), received
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
			t.Errorf("ssh %q cat: the output is not the input", dest)
		}
	}
}

func TestHalfClosedInputEndsTheProgram(t *testing.T) {
	g := startGateway(t)
	cmd := g.ssh("web1@gw", "cat; echo end; exit 4")
	cmd.Stdin = strings.NewReader("text\n")
	if got := run(t, cmd); got != (result{"text\nend\n", "", 4}) {
		t.Errorf("got %+v", got)
	}
}

// `ssh web1 yes | head -1`: the client says that nobody reads any more, and the program gets SIGPIPE.
func TestUnreadOutputEndsTheProgram(t *testing.T) {
	g := startGateway(t)
	for _, dest := range [][]string{{"web1@gw"}, {"-J", "gw", "alice@web1"}} {
		cmd := g.ssh(append(dest, "yes; exit 5")...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 2)
		if _, err := io.ReadFull(out, line); err != nil || string(line) != "y\n" {
			t.Errorf("%q: got %q, %v", dest, line, err)
		}
		out.Close()
		if cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
			t.Errorf("%q: %v", dest, cmd.ProcessState)
		}
	}
}

func TestSignalsReachTheClient(t *testing.T) {
	g := startGateway(t)
	s, err := g.client("web1").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, _ := s.StdoutPipe()
	if err := s.Start("echo ready; sleep 60"); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(out, make([]byte, 6))
	if err := s.Signal(gossh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *gossh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("got %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	g := startGateway(t)
	s, err := g.client("web1").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"LC_TEST": true, "GIT_PROTOCOL": true, "LD_PRELOAD": false, "BASH_ENV": false, "PATH": false, "FOO": false, "LC_A\x00B": false} {
		if err := s.Setenv(name, "value"); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := s.Run("true"); err != nil {
		t.Fatal(err)
	}
	if got, want := g.backend.lastSpec().Env, map[string]string{"LC_TEST": "value", "GIT_PROTOCOL": "value"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOneProgramPerChannel(t *testing.T) {
	g := startGateway(t)
	ch, reqs, err := g.client("web1").OpenChannel(chanSession, nil)
	if err != nil {
		t.Fatal(err)
	}
	go gossh.DiscardRequests(reqs)
	exec := gossh.Marshal(struct{ Command string }{"cat"})
	for i, want := range []bool{true, false} {
		if ok, err := ch.SendRequest(reqExec, true, exec); ok != want || err != nil {
			t.Errorf("request %d: %v, %v", i, ok, err)
		}
	}
	for _, name := range []string{reqX11, reqAgent, reqPTY, "no-such-request"} {
		if ok, err := ch.SendRequest(name, true, nil); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if ok, err := ch.SendRequest(reqKeepAlive, true, nil); !ok || err != nil {
		t.Errorf("keepalive: %v, %v", ok, err)
	}
	ch.Close()
}

func TestUnknownSubsystem(t *testing.T) {
	g := startGateway(t)
	if got := run(t, g.ssh("-s", "web1@gw", "netconf")); got.status != 255 || !strings.Contains(got.stderr, "subsystem request failed") {
		t.Errorf("got %+v", got)
	}
}

// stalledStart is a backend whose programs start when told to.
type stalledStart struct {
	begun   chan struct{}
	release chan struct{}
	session *scriptedSession
}

func (s *stalledStart) start(ctx context.Context, _ *session.Spec) (Session, error) {
	close(s.begun)
	select {
	case <-s.release:
		return s.session, nil
	case <-ctx.Done():
		close(s.session.canceled)
		return nil, ctx.Err()
	}
}

// scriptedSession is a program that says what a test wants it to.
type scriptedSession struct {
	output   func(stdout, stderr io.Writer) error
	exit     session.Exit
	canceled chan struct{}

	mu     sync.Mutex
	sizes  []session.Size
	items  []string
	cause  error
	once   sync.Once
	resets chan struct{}
	broken chan struct{} // closed by a break
}

func newScripted(output func(stdout, stderr io.Writer) error) *scriptedSession {
	return &scriptedSession{output: output, canceled: make(chan struct{}), resets: make(chan struct{}), broken: make(chan struct{})}
}

func (s *scriptedSession) Output(stdout, stderr io.Writer) error { return s.output(stdout, stderr) }
func (s *scriptedSession) ReadFrom(r io.Reader) (int64, error)   { return io.Copy(io.Discard, r) }
func (s *scriptedSession) CloseWrite() error                     { return nil }
func (s *scriptedSession) Close() error                          { return nil }
func (s *scriptedSession) Agent(func(Incoming))                  {}
func (s *scriptedSession) Resize(size session.Size) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = append(s.sizes, size)
	return nil
}
func (s *scriptedSession) Signal(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = append(s.items, name)
	return nil
}
func (s *scriptedSession) Break(ms uint32) error {
	defer close(s.broken)
	return s.Signal(fmt.Sprint("break ", ms))
}
func (s *scriptedSession) StopOutput(class router.Class) error {
	return s.Signal(fmt.Sprint("stop ", class))
}
func (s *scriptedSession) Wait(context.Context) (session.Exit, error) {
	return s.exit, nil
}
func (s *scriptedSession) Reset(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.resets)
	})
}

// While the target is being connected, the client goes on talking: the last size and all signals reach the program, and
// replies come in the order of the requests.
func TestRequestsDuringConnect(t *testing.T) {
	program := newScripted(nil)
	program.output = func(io.Writer, io.Writer) error {
		<-program.broken // the last of what the client sends
		return nil
	}
	stall := &stalledStart{begun: make(chan struct{}), release: make(chan struct{}), session: program}
	g := startGateway(t, func(_ *Config, g *gateway) { g.backend.start = stall.start })
	c := g.client("web1")
	ch, reqs, err := c.OpenChannel(chanSession, nil)
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() { gossh.DiscardRequests(reqs); close(drained) }()
	pty := gossh.Marshal(struct {
		Term       string
		C, R, W, H uint32
		Modes      string
	}{"xterm", 80, 24, 0, 0, "\x00"})
	if ok, err := ch.SendRequest(reqPTY, true, pty); !ok || err != nil {
		t.Fatalf("pty: %v, %v", ok, err)
	}
	started := make(chan bool)
	go func() {
		ok, _ := ch.SendRequest(reqShell, true, nil)
		started <- ok
	}()
	<-stall.begun
	for _, columns := range []uint32{100, 132} {
		ch.SendRequest(reqWindowChange, false, gossh.Marshal(session.Size{Columns: columns, Rows: 50}))
	}
	ch.SendRequest(reqSignal, false, gossh.Marshal(struct{ Name string }{"INT"}))
	ch.SendRequest(reqEndOfWrite, false, nil)
	ch.SendRequest(reqBreak, false, gossh.Marshal(struct{ MS uint32 }{500}))
	select {
	case <-started:
		t.Fatal("shell was answered before the program existed")
	default:
	}
	close(stall.release)
	if !<-started {
		t.Error("shell was refused")
	}
	<-drained
	s := stall.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if want := (session.Size{Columns: 132, Rows: 50}); len(s.sizes) == 0 || s.sizes[len(s.sizes)-1] != want {
		t.Errorf("sizes %v, want %v in the end", s.sizes, want)
	}
	if want := []string{"INT", "stop 0", "break 500"}; !slices.Equal(s.items, want) {
		t.Errorf("items %q, want %q", s.items, want)
	}
}

func TestDisconnectCancelsConnect(t *testing.T) {
	stall := &stalledStart{begun: make(chan struct{}), release: make(chan struct{}), session: newScripted(nil)}
	g := startGateway(t, func(_ *Config, g *gateway) { g.backend.start = stall.start })
	c := g.client("web1")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	go s.Run("true")
	<-stall.begun
	c.Close()
	<-stall.session.canceled
}

func TestDisconnectResetsTheProgram(t *testing.T) {
	for _, how := range []string{"channel", "connection"} {
		program := newScripted(nil)
		program.output = func(io.Writer, io.Writer) error { <-program.resets; return program.cause }
		g := startGateway(t, func(_ *Config, g *gateway) {
			g.backend.start = func(context.Context, *session.Spec) (Session, error) { return program, nil }
		})
		c := g.client("web1")
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("cat"); err != nil {
			t.Fatal(err)
		}
		if how == "channel" {
			s.Close()
		} else {
			c.Close()
		}
		<-program.resets
		if program.cause == nil {
			t.Errorf("%s closed: reset without a cause", how)
		}
	}
}

func TestLostTargetEndsWithOneLine(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.backend.start = func(context.Context, *session.Spec) (Session, error) {
			return newScripted(func(stdout, _ io.Writer) error {
				io.WriteString(stdout, "partial\n")
				return errors.New("lost web1: agent killed:\n\x1b[31msignal 9\x1b[0m")
			}), nil
		}
	})
	want := result{"partial\n", "fakesshd: lost web1: agent killed: ?[31msignal 9?[0m\n", 255}
	if got := run(t, g.ssh("web1@gw", "cat")); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRefusalIsOneFixedSentence(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.policy.deny = func(r authz.Request) bool {
			return r.Action == authz.Exec || r.Action == authz.SFTPRead || r.Action == authz.ForwardLocal
		}
	})
	want := result{"", "fakesshd: you may not do that here\n", 255}
	for _, args := range [][]string{{"web1@gw", "id"}, {"-s", "web1@gw", "sftp"}} {
		if got := run(t, g.ssh(args...)); got != want {
			t.Errorf("ssh %q: got %+v", args, got)
		}
	}
	if got := run(t, g.ssh("-o", "LogLevel=INFO", "-W", "127.0.0.1:1", "web1@gw")); got.status == 0 || !strings.Contains(got.stderr, "administratively prohibited: you may not do that here") {
		t.Errorf("-W: got %+v", got)
	}
	if len(g.backend.specs) != 0 {
		t.Error("a program was started")
	}
}

// What could not be allowed for any account connects nothing; what is allowed for the account that was typed is asked about the one that there is.
func TestPolicyIsAskedBeforeAndAfterConnecting(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.backend.targets["local"].Account = "me"
		g.policy.never = func(r authz.Request) bool { return r.Account == "me" || r.Action == authz.ForwardLocal }
		g.policy.deny = func(r authz.Request) bool { return r.Account == "deploy" }
	})
	refused := result{"", "fakesshd: you may not do that here\n", 255}
	tests := []struct {
		dest     string
		connects int32
	}{
		{"local@gw", 0},           // its account is configured
		{"me@local@gw", 0},        // and typed
		{"web1@gw", 1},            // might be anybody, and turns out to be deploy
		{"deploy@web1@gw", 1},     // is deploy
		{"web1+docker.app@gw", 1}, // is root
	}
	for _, tt := range tests {
		g.backend.connects.Store(0)
		want := refused
		if tt.dest == "web1+docker.app@gw" {
			want = result{}
		}
		if got := run(t, g.ssh(tt.dest, "true")); got != want {
			t.Errorf("%s: got %+v", tt.dest, got)
		}
		if n := g.backend.connects.Load(); n != tt.connects {
			t.Errorf("%s: %d connections", tt.dest, n)
		}
	}
	g.backend.connects.Store(0)
	if _, err := g.client("web1").Dial("tcp", "127.0.0.1:1"); err == nil || g.backend.connects.Load() != 0 {
		t.Errorf("a forward: %v after %d connections", err, g.backend.connects.Load())
	}
	for _, r := range g.policy.asked {
		if r.Account == "" {
			t.Errorf("decided without an account: %+v", r)
		}
	}
}

func TestSFTP(t *testing.T) {
	g := startGateway(t)
	tool(t, "sftp")
	tool(t, "/usr/lib/openssh/sftp-server")
	data := make([]byte, 3<<20)
	rand.Read(data)
	from, to := g.write("from", string(data)), filepath.Join(g.dir, "to")
	got := run(t, tool(t, "scp", "-q", "-F", filepath.Join(g.dir, "config"), "scp://web1@gw/"+from, to))
	if copied, err := os.ReadFile(to); got.status != 0 || err != nil || !bytes.Equal(copied, data) {
		t.Errorf("got %+v, %v", got, err)
	}
	if actions := g.policy.actions(); !slices.Contains(actions, authz.SFTPRead) || !slices.Contains(actions, authz.SFTPWrite) {
		t.Errorf("asked for %q", actions)
	}
}

// Whoever may only read has a session that only reads.
func TestReadOnlySFTP(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		g := startGateway(t, func(_ *Config, g *gateway) {
			g.policy.deny = func(r authz.Request) bool { return readOnly && r.Action == authz.SFTPWrite }
		})
		run(t, g.ssh("-s", "web1@gw", "sftp"))
		if spec := g.backend.lastSpec(); spec.Kind != session.Subsystem || spec.ReadOnly != readOnly {
			t.Errorf("got %+v, want read-only: %v", spec, readOnly)
		}
	}
}

func TestManySessionsOnOneConnection(t *testing.T) {
	g := startGateway(t)
	socket := filepath.Join(g.dir, "mux")
	master := g.ssh("-M", "-S", socket, "-N", "web1@gw")
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		master.Process.Kill()
		master.Wait()
	})
	for run(t, g.ssh("-S", socket, "-O", "check", "web1@gw")).status != 0 {
		if len(g.audit.find(EventLoginFailed)) > 0 {
			t.Fatal("login failed")
		}
	}
	var wg sync.WaitGroup
	for i := range 40 {
		cmd := g.ssh("-S", socket, "web1@gw", fmt.Sprintf("echo %d; exit %d", i, i))
		wg.Go(func() {
			out, err := cmd.Output()
			var ee *exec.ExitError
			if i > 0 && (!errors.As(err, &ee) || ee.ExitCode() != i) || string(out) != fmt.Sprintln(i) {
				t.Errorf("session %d: %q, %v", i, out, err)
			}
		})
	}
	wg.Wait()
	if logins := g.audit.find(EventLogin); len(logins) != 1 {
		t.Errorf("%d logins", len(logins))
	}
}

func TestTerminal(t *testing.T) {
	g := startGateway(t)
	script := g.write("expect", `
set timeout 20
set stty_init "rows 24 columns 80"
spawn ssh -F $env(DIR)/config -tt web1@gw {stty size; trap 'case $(stty size) in "50 132") stty size; exit 5; esac' WINCH; echo re""ady; while :; do sleep 0.05; done}
expect "24 80"
expect "ready"
# stty changes one after the other, and either may be told by itself
stty rows 50 columns 132 < $spawn_out(slave,name)
exec kill -WINCH [exp_pid]
expect "50 132" {} timeout { exit 99 }
expect eof
exit [lindex [wait] 3]
`)
	cmd := tool(t, "expect", script)
	cmd.Env = append(cmd.Env, "DIR="+g.dir, "TERM=xterm")
	if got := run(t, cmd); got.status != 5 {
		t.Errorf("got %+v", got)
	}
	if p := g.backend.lastSpec().PTY; p == nil || p.Term != "xterm" || len(p.Modes) < 10 {
		t.Errorf("pty %+v", p)
	}
}

func TestAuditOfASession(t *testing.T) {
	g := startGateway(t)
	cmd := g.ssh("deploy@web1@gw", "cat; exit 9")
	cmd.Stdin = strings.NewReader("12345")
	run(t, cmd)
	logout := g.audit.await(t, EventLogout)
	end := g.audit.find(EventSessionEnd)
	if len(end) != 1 || end[0].Status != 9 || end[0].In != 5 || end[0].Out != 5 || end[0].Target != "web1" || end[0].Account != "deploy" || end[0].Subject.Principal != "alice" {
		t.Errorf("session end %+v", end)
	}
	if out := logout[0]; out.Subject.Principal != "alice" || out.Conn != end[0].Conn {
		t.Errorf("logout %+v", out)
	}
}
