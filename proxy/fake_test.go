package proxy

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	gossh "golang.org/x/crypto/ssh"

	"fakessh"
	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// fakeBackend is a tree whose every target is this machine: sessions are local processes.
type fakeBackend struct {
	targets map[string]*Target
	exits   map[string]*Target
	hosts   map[string]string // target → address of its real sshd
	start   func(ctx context.Context, spec *session.Spec) (Session, error)
	dial    func() error // nil: really
	listen  func(network, address string) (Listener, error)

	accounts map[string]string
	places   atomic.Int32 // not released
	connects atomic.Int32 // ever asked for

	mu    sync.Mutex
	specs []session.Spec
}

func (b *fakeBackend) Target(name string) (*Target, error) {
	if t, ok := b.targets[name]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("no target %q", name)
}

func (b *fakeBackend) Exit(host string) *Target { return b.exits[host] }

func (b *fakeBackend) Connect(_ context.Context, t *Target, account string) (Place, error) {
	b.connects.Add(1)
	own := b.accounts[t.Name]
	if account != "" && account != own {
		return nil, &fakessh.NoAccountError{Account: account, Target: t.Name, Own: own}
	}
	b.places.Add(1)
	return &fakePlace{b, t, own}, nil
}

func (b *fakeBackend) DialHost(ctx context.Context, t *Target) (Stream, error) {
	return (&fakePlace{b, t, ""}).Dial(ctx, "tcp", b.hosts[t.Name])
}

type fakePlace struct {
	b       *fakeBackend
	t       *Target
	account string
}

func (p *fakePlace) Account() string { return p.account }
func (p *fakePlace) Release()        { p.b.places.Add(-1) }

func (p *fakePlace) Start(ctx context.Context, spec *session.Spec) (Session, error) {
	p.b.mu.Lock()
	p.b.specs = append(p.b.specs, *spec)
	p.b.mu.Unlock()
	if p.b.start != nil {
		return p.b.start(ctx, spec)
	}
	return startLocal(spec)
}

func (p *fakePlace) Dial(ctx context.Context, network, address string) (Stream, error) {
	if p.b.dial != nil {
		return nil, p.b.dial()
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s in %s: connection refused", address, p.t.Name)
	}
	return fakeStream{nc.(halfConn)}, nil
}

func (p *fakePlace) Listen(_ context.Context, network, address string) (Listener, error) {
	if p.b.listen != nil {
		return p.b.listen(network, address)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return newFakeListener(l), nil
}

// fakeListener listens on this machine.
type fakeListener struct {
	net.Listener
	lost     chan struct{} // closed by Reset
	once     sync.Once
	cause    error
	incoming chan Incoming
	closed   chan struct{} // closed when nothing more comes
}

func newFakeListener(l net.Listener) *fakeListener {
	f := &fakeListener{Listener: l, lost: make(chan struct{}), incoming: make(chan Incoming), closed: make(chan struct{})}
	go func() { // ends with the listener
		defer close(f.closed)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case f.incoming <- &fakeIncoming{nc.(halfConn)}:
			case <-f.lost:
				nc.Close()
			}
		}
	}()
	return f
}

func (l *fakeListener) Port() int {
	if addr, ok := l.Addr().(*net.TCPAddr); ok {
		return addr.Port
	}
	return 0
}

func (l *fakeListener) Accept(ctx context.Context) (Incoming, error) {
	select {
	case in := <-l.incoming:
		return in, nil
	case <-l.lost:
		return nil, l.cause
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.closed:
		return nil, io.EOF
	}
}

func (l *fakeListener) Close(context.Context) error { return l.Listener.Close() }

func (l *fakeListener) Reset(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.lost)
		l.Listener.Close()
	})
}

type fakeIncoming struct{ nc halfConn }

func (i *fakeIncoming) Take(context.Context) (Stream, error) { return fakeStream{i.nc}, nil }
func (i *fakeIncoming) Refuse(error)                         { i.nc.Close() }
func (i *fakeIncoming) Origin() netip.AddrPort {
	addr, _ := netip.ParseAddrPort(i.nc.RemoteAddr().String())
	return addr
}

func (b *fakeBackend) lastSpec() session.Spec {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.specs[len(b.specs)-1]
}

type halfConn interface {
	net.Conn
	CloseWrite() error
}

type fakeStream struct{ halfConn }

func (s fakeStream) Reset(error) { s.Close() }

// localSession is a process of this machine.
type localSession struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     io.Reader
	err     io.Reader
	tty     *os.File
	once    sync.Once
	cause   error
	reset   chan struct{}
	drained chan struct{} // closed when Output is done
	waited  func() error
	agent   net.Listener // of Spec.Agent
}

func startLocal(spec *session.Spec) (*localSession, error) {
	cmd := exec.Command("sh", "-c", spec.Command)
	switch spec.Kind {
	case session.Shell:
		cmd = exec.Command("sh")
	case session.Subsystem:
		cmd = exec.Command("/usr/lib/openssh/sftp-server")
	}
	cmd.Env = os.Environ()
	for k, v := range spec.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	s := &localSession{cmd: cmd, reset: make(chan struct{}), drained: make(chan struct{}), waited: sync.OnceValue(cmd.Wait)}
	if spec.Agent {
		dir, err := os.MkdirTemp("", "fake-agent-")
		if err != nil {
			return nil, err
		}
		if s.agent, err = net.Listen("unix", filepath.Join(dir, "s")); err != nil {
			return nil, err
		}
		cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+s.agent.Addr().String())
	}
	if spec.PTY != nil {
		size := &pty.Winsize{Rows: uint16(spec.PTY.Size.Rows), Cols: uint16(spec.PTY.Size.Columns)}
		f, err := pty.StartWithSize(cmd, size)
		if err != nil {
			return nil, err
		}
		s.tty, s.in, s.out, s.err = f, struct {
			io.Writer
			io.Closer
		}{f, io.NopCloser(nil)}, f, strings.NewReader("")
		return s, nil
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.in, _ = cmd.StdinPipe()
	s.out, _ = cmd.StdoutPipe()
	s.err, _ = cmd.StderrPipe()
	return s, cmd.Start()
}

func (s *localSession) Output(stdout, stderr io.Writer) error {
	defer close(s.drained)
	errs := make(chan error, 1)
	go func() { _, err := io.Copy(stderr, s.err); errs <- err }()
	_, err := io.Copy(stdout, s.out)
	if s.tty != nil && errors.Is(err, syscall.EIO) {
		err = nil // the other side of the pty is closed
	}
	if errors.Is(err, os.ErrClosed) {
		err = nil // by StopOutput
	}
	err = errors.Join(err, <-errs)
	select {
	case <-s.reset:
		return s.cause
	default:
		return err
	}
}

func (s *localSession) ReadFrom(r io.Reader) (int64, error) { return io.Copy(s.in, r) }
func (s *localSession) CloseWrite() error                   { return s.in.Close() }
func (s *localSession) Resize(size session.Size) error {
	return pty.Setsize(s.tty, &pty.Winsize{Rows: uint16(size.Rows), Cols: uint16(size.Columns)})
}
func (s *localSession) Signal(name string) error {
	sig := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[name]
	return syscall.Kill(-s.cmd.Process.Pid, sig)
}
func (s *localSession) Agent(serve func(Incoming)) {
	go func() { // ends with Close
		for {
			nc, err := s.agent.Accept()
			if err != nil {
				return
			}
			serve(&fakeIncoming{nc.(halfConn)})
		}
	}()
}
func (s *localSession) Break(uint32) error { return nil }
func (s *localSession) StopOutput(class router.Class) error {
	if class != router.Main {
		return errors.New("not stdout")
	}
	return s.out.(io.Closer).Close()
}

func (s *localSession) Wait(ctx context.Context) (session.Exit, error) {
	select {
	case <-s.drained: // or Wait would close what it reads from
	case <-ctx.Done():
		return session.Exit{}, ctx.Err()
	}
	err := s.waited()
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		if ws := ee.Sys().(syscall.WaitStatus); ws.Signaled() {
			return session.Exit{Signal: map[syscall.Signal]string{syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP"}[ws.Signal()]}, nil
		}
		return session.Exit{Status: uint32(ee.ExitCode())}, nil
	}
	return session.Exit{}, nil
}

func (s *localSession) Reset(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.reset)
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGHUP)
	})
}

func (s *localSession) Close() error {
	if s.agent != nil {
		s.agent.Close()
		os.Remove(filepath.Dir(s.agent.Addr().String()))
	}
	if s.tty != nil {
		s.tty.Close()
	}
	s.in.Close()
	return nil
}

// fakeAuth knows keys by their wire form.
type fakeAuth struct {
	mu    sync.Mutex
	keys  map[string][]string // marshalled key → principals
	names map[string][]string
}

func (a *fakeAuth) Subjects(key gossh.PublicKey, _ net.Addr) ([]authz.Subject, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var subjects []authz.Subject
	for _, p := range a.keys[string(key.Marshal())] {
		subjects = append(subjects, authz.Subject{Principal: p, KeyID: gossh.FingerprintSHA256(key)})
	}
	if len(subjects) == 0 {
		return nil, errors.New("nobody's key")
	}
	return subjects, nil
}

func (a *fakeAuth) add(key gossh.PublicKey, principal string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys[string(key.Marshal())] = []string{principal}
}

func parseLine(line string) (gossh.PublicKey, error) {
	key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
	return key, err
}

func (a *fakeAuth) LoginNames(principal string) []string { return a.names[principal] }

// fakePolicy allows what deny does not forbid, and finds possible what never does not.
type fakePolicy struct {
	mu    sync.Mutex
	asked []authz.Request
	deny  func(authz.Request) bool
	never func(authz.Request) bool
}

func (p *fakePolicy) Possible(req authz.Request) authz.Decision {
	if p.never != nil && p.never(req) {
		return authz.Decision{Public: "you may not do that here", Reason: "never"}
	}
	return authz.Decision{Allow: true}
}

func (p *fakePolicy) Decide(req authz.Request) authz.Decision {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, req)
	if p.deny != nil && p.deny(req) {
		return authz.Decision{Public: "you may not do that here", Reason: "test"}
	}
	return authz.Decision{Allow: true}
}

func (p *fakePolicy) actions() []authz.Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	var actions []authz.Action
	for _, r := range p.asked {
		actions = append(actions, r.Action)
	}
	return actions
}

// fakeAudit keeps events.
type fakeAudit struct {
	mu     sync.Mutex
	events []Event
	news   chan struct{} // closed by the next event
}

func (a *fakeAudit) Event(ev Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, ev)
	close(a.news)
	a.news = make(chan struct{})
}

// await returns the events of a kind when there is one.
func (a *fakeAudit) await(t testing.TB, kind EventKind) []Event {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		a.mu.Lock()
		news := a.news
		a.mu.Unlock()
		if found := a.find(kind); len(found) > 0 {
			return found
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("no %s", kind)
		}
	}
}

func (a *fakeAudit) find(kind EventKind) []Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.events), func(ev Event) bool { return ev.Kind != kind })
}

// gateway is a running server with a client's files.
type gateway struct {
	*Server
	t       testing.TB
	addr    string
	dir     string // of the client's files
	key     gossh.Signer
	hostKey gossh.Signer
	ca      gossh.Signer
	backend *fakeBackend
	auth    *fakeAuth
	policy  *fakePolicy
	audit   *fakeAudit
	served  chan struct{} // closed when Serve has returned
}

// startGateway starts a server with the targets web1 (whose own account is deploy) and local.
func startGateway(t testing.TB, change ...func(*Config, *gateway)) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir()}
	g.hostKey, g.ca = newSigner(t), newSigner(t)
	g.key = g.writeKey("id")
	g.backend = &fakeBackend{targets: map[string]*Target{}, accounts: map[string]string{}, exits: map[string]*Target{}, hosts: map[string]string{}}
	for name, account := range map[string]string{"web1": "deploy", "local": "me", "web1+docker.app": "root"} {
		g.backend.targets[name] = &Target{Name: name, Jump: JumpTerminate}
		g.backend.accounts[name] = account
	}
	g.auth = &fakeAuth{keys: map[string][]string{string(g.key.PublicKey().Marshal()): {"alice"}}, names: map[string][]string{"alice": {"al"}}}
	g.policy, g.audit = &fakePolicy{}, &fakeAudit{news: make(chan struct{})}
	cfg := Config{HostKeys: []gossh.Signer{g.hostKey}, HostCA: g.ca, Auth: g.auth, Decider: g.policy, Auditor: g.audit, Backend: g.backend}
	for _, f := range change {
		f(&cfg, g)
	}
	var err error
	if g.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = l.Addr().String()
	g.served = make(chan struct{})
	var served error
	go func() {
		served = g.Serve(l)
		close(g.served)
	}()
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if <-g.served; !errors.Is(served, ErrServerClosed) {
			t.Errorf("serve: %v", served)
		}
		if n := g.running.count() + g.busy.count() + g.startups.count(); n != 0 {
			t.Errorf("%d goroutines or connections are left", n)
		}
		if n := len(g.logins.n) + len(g.waiting.n); n != 0 {
			t.Errorf("%d connections or waiting sessions are still counted", n)
		}
		if n := g.backend.places.Load(); n != 0 {
			t.Errorf("%d places are not released", n)
		}
	})
	g.writeClientConfig()
	return g
}

// port is the gateway's.
func (g *gateway) port() string {
	_, port, _ := net.SplitHostPort(g.addr)
	return port
}

// writeKey makes a client key in the file name.
func (g *gateway) writeKey(name string) gossh.Signer {
	g.t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		g.t.Fatal(err)
	}
	g.write(name, string(pem.EncodeToMemory(block)))
	signer, err := gossh.NewSignerFromKey(private)
	if err != nil {
		g.t.Fatal(err)
	}
	return signer
}

func newSigner(t testing.TB) gossh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func (g *gateway) write(name, text string) string {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

// writeClientConfig writes an ssh_config under which nothing is ever asked: gw is the gateway, its key and CA are known.
func (g *gateway) writeClientConfig() {
	known := fmt.Sprintf("[127.0.0.1]:%s %s\n", g.port(), authorizedLine(g.hostKey.PublicKey()))
	known += KnownHosts([]string{"web1", "local"}, g.ca.PublicKey())
	g.write("known_hosts", known)
	g.write("config", fmt.Sprintf(`Host gw
  HostName 127.0.0.1
  Port %s
Host *
  IdentityFile %s
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile %s
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
`, g.port(), filepath.Join(g.dir, "id"), filepath.Join(g.dir, "known_hosts")))
}

// ssh prepares a run of the real client.
func (g *gateway) ssh(args ...string) *exec.Cmd {
	g.t.Helper()
	return tool(g.t, "ssh", append([]string{"-F", filepath.Join(g.dir, "config")}, args...)...)
}

// tool prepares a run of a program that has to be there; a machine without it skips the test, except where CI is set. Short
// runs need nothing but Go.
func tool(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skipf("%s is not run in short mode", name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// result is what a program did.
type result struct {
	stdout, stderr string
	status         int
}

func run(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// client connects with x/crypto's client.
func (g *gateway) client(user string) *gossh.Client {
	g.t.Helper()
	c, err := gossh.Dial("tcp", g.addr, &gossh.ClientConfig{
		User: user, Auth: []gossh.AuthMethod{gossh.PublicKeys(g.key)}, HostKeyCallback: gossh.FixedHostKey(g.hostKey.PublicKey()),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}
