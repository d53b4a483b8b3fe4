package fakessh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fakessh"
	"fakessh/bootstrap/agent/session"
)

// daemon serves tree on a control socket, as fakesshd does, and returns its path.
func daemon(t *testing.T, srv *fakessh.ControlServer) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "control.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; !errors.Is(err, fakessh.ErrControlClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return path
}

// shortDir is a directory whose path fits in a socket's address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "fakessh-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// questions is an Authorize that admits all and remembers.
type questions struct {
	mu    sync.Mutex
	asked []string
	deny  func(a *fakessh.Access) error
}

func (q *questions) authorize(_ context.Context, a *fakessh.Access) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	text := a.Invocation.Op + " " + a.Dest.String()
	if a.Lease != nil {
		text += " as " + a.Lease.Info().User
	}
	if a.Peer.UID != os.Geteuid() || a.Peer.PID == 0 {
		text += fmt.Sprintf(" by %+v", a.Peer)
	}
	q.asked = append(q.asked, text)
	if q.deny != nil {
		return q.deny(a)
	}
	return nil
}

// take returns what has been asked since it was last called.
func (q *questions) take() (asked []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	asked, q.asked = q.asked, nil
	return asked
}

func TestRunByADaemon(t *testing.T) {
	images := ownImages(t)
	tree := treeWithImages(t, images, map[string]fakessh.TargetConfig{"web1": sh("local"), "db": sh("local")})
	q := &questions{}
	path := daemon(t, &fakessh.ControlServer{Tree: tree, Authorize: q.authorize})
	run := func(dest, stdin, command string, opts ...fakessh.RunOption) result {
		t.Helper()
		return collectRun(t, stdin, func(opt fakessh.RunOption) (int, error) {
			opts = append(opts, opt, fakessh.ControlSocket("/nonexistent/socket", path), fakessh.UseConfig(fakessh.Config{Images: images}))
			return fakessh.Run(t.Context(), dest, script(command), opts...)
		})
	}
	if got, want := run("web1", "in", "ssh any.host 'cat; echo err >&2; exit 4'"), (result{"in", "err\n", 4}); got != want {
		t.Errorf("got %q", fmt.Sprint(got))
	}
	me := tree.Nodes()[0].User
	if got := strings.Join(q.take(), "; "); got != "session web1; session web1 as "+me {
		t.Errorf("asked %q", got)
	}
	if got, want := run("", "in", "ssh db 'cat; exit 5'", fakessh.From("web1")), (result{"in", "", 5}); got != want {
		t.Errorf("from: got %q", fmt.Sprint(got))
	}
	if got, want := run("db", "", "ssh x 'kill -9 $$'; kill -KILL $$", fakessh.From("web1")), (result{"", "", 137}); got != want {
		t.Errorf("from, killed: got %q", fmt.Sprint(got))
	}
	q.deny = func(a *fakessh.Access) error {
		if a.Lease != nil {
			return errors.New("access denied")
		}
		return nil
	}
	if got, want := run("db", "", "ssh any.host true"), (result{"", "ssh: access denied\n", 255}); got != want {
		t.Errorf("denied: got %q", fmt.Sprint(got))
	}
}

// collectRun gives run three pipes, and collects what comes.
func collectRun(t *testing.T, stdin string, run func(stdio fakessh.RunOption) (int, error)) result {
	t.Helper()
	in, inW := mustPipe(t)
	outR, out := mustPipe(t)
	errR, stderr := mustPipe(t)
	var r result
	var wg sync.WaitGroup
	wg.Go(func() { io.WriteString(inW, stdin); inW.Close() })
	wg.Go(func() { data, _ := io.ReadAll(outR); r.out = string(data) })
	wg.Go(func() { data, _ := io.ReadAll(errR); r.err = string(data) })
	exit, err := run(fakessh.Stdio(in, out, stderr))
	if err != nil {
		t.Error(err)
	}
	r.exit = exit
	in.Close()
	out.Close()
	stderr.Close()
	wg.Wait()
	return r
}

func TestRunWithNeitherDaemonNorConfig(t *testing.T) {
	_, err := fakessh.Run(t.Context(), "local", []string{"true"}, fakessh.ControlSocket("/nonexistent/socket"))
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/socket") {
		t.Error(err)
	}
}

func TestControlOperations(t *testing.T) {
	ops := map[string]fakessh.ControlOp{
		"echo": func(_ context.Context, r *fakessh.ControlRequest) error {
			for _, arg := range r.Invocation.Args {
				if err := r.Reply([]byte(arg)); err != nil {
					return err
				}
			}
			return nil
		},
		"fail": func(context.Context, *fakessh.ControlRequest) error { return errors.New("it\nfailed") },
		"wait": func(ctx context.Context, _ *fakessh.ControlRequest) error { <-ctx.Done(); return context.Cause(ctx) },
	}
	path := daemon(t, &fakessh.ControlServer{Ops: ops})
	var got []string
	collect := func(data []byte) error { got = append(got, string(data)); return nil }
	if err := fakessh.AskControl(t.Context(), path, "echo", []string{"a", "", "b"}, collect); err != nil || strings.Join(got, ",") != "a,,b" {
		t.Errorf("got %q, %v", got, err)
	}
	for op, want := range map[string]string{"fail": "it; failed", "none": `no operation "none"`} {
		if err := fakessh.AskControl(t.Context(), path, op, nil, collect); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", op, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := fakessh.AskControl(ctx, path, "wait", nil, collect); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestPanicEndsOneControlConnection(t *testing.T) {
	path := daemon(t, &fakessh.ControlServer{Ops: map[string]fakessh.ControlOp{
		"panic": func(context.Context, *fakessh.ControlRequest) error { panic("a mistake") },
		"fine":  func(context.Context, *fakessh.ControlRequest) error { return nil },
	}})
	for _, op := range []string{"panic", "fine"} {
		err := fakessh.AskControl(t.Context(), path, op, nil, func([]byte) error { return nil })
		if (err != nil) != (op == "panic") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestControlSocketRefusesStrangeBytes(t *testing.T) {
	path := daemon(t, &fakessh.ControlServer{})
	good, err := (&session.Invocation{Op: "x"}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, bytes := range map[string]string{
		"mitogen.unix":  "\x00\x00\x10\x92",
		"http":          "GET / HTTP/1.1\r\n\r\n",
		"huge":          "Q\xff\xff\xff\xff",
		"no pickle":     "Q\x00\x00\x00\x04abcd",
		"other kind":    "x\x00\x00\x00\x00",
		"bytes behind":  "Q\x00\x00\x00" + string(rune(len(good)+1)) + string(good) + "x",
		"session alone": "Q\x00\x00\x00\x12\x80\x02}X\x02\x00\x00\x00opU\x01ss.",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, bytes)
		_ = c.(*net.UnixConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
		if len(answer) > 0 && answer[0] != session.InvokeError {
			t.Errorf("%s: %q", name, answer)
		}
		if name == "mitogen.unix" && len(answer) != 0 {
			t.Errorf("%s: answered %q", name, answer)
		}
		c.Close()
	}
}

func TestControlShutdownEndsSessions(t *testing.T) {
	images := ownImages(t)
	tree := treeWithImages(t, images, nil)
	srv := &fakessh.ControlServer{Tree: tree}
	path := daemon(t, srv)
	var once sync.Once
	stopped := make(chan struct{})
	r := collectRun(t, "", func(stdio fakessh.RunOption) (int, error) {
		file := filepath.Join(t.TempDir(), "started")
		go func() {
			waitFile(t, file)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			srv.Shutdown(ctx)
			once.Do(func() { close(stopped) })
		}()
		return fakessh.Run(t.Context(), "local", script("ssh x 'echo yes >"+file+"; exec sleep 1000'"), stdio,
			fakessh.ControlSocket(path), fakessh.UseConfig(fakessh.Config{Images: images}))
	})
	<-stopped
	if r.exit != 255 || r.err != "ssh: fakesshd: shutting down\n" {
		t.Errorf("exit %d, %q", r.exit, r.err)
	}
}

func TestDialsAndForwards(t *testing.T) {
	tree := realTree(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { // ends with ln
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				data, _ := io.ReadAll(c) // until the half-close
				fmt.Fprintf(c, "%d bytes", len(data))
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	r := runIn(t, tree, "local", strings.Repeat("x", 200_000), script("ssh -W 127.0.0.1:"+port+" any.host"))
	if r != (result{"200000 bytes", "", 0}) {
		t.Errorf("-W: %q", fmt.Sprint(r))
	}
	r = runIn(t, tree, "local", "", script("ssh -W 127.0.0.1:1 any.host"))
	if r.exit != 255 || !strings.Contains(r.err, "refused") {
		t.Errorf("-W to nobody: %q", fmt.Sprint(r))
	}
	need(t, "socat")
	dir := shortDir(t)
	r = runIn(t, tree, "local", "", script(`ssh -f -N -L `+dir+`/sock:127.0.0.1:`+port+` any.host
		printf abcde | socat -t 5 - UNIX-CONNECT:`+dir+`/sock`))
	if r != (result{"5 bytes", "ssh: the run has ended\n", 0}) {
		t.Errorf("-L: %q", fmt.Sprint(r))
	}
}

func TestNamedAccountIsPinned(t *testing.T) {
	tree := realTree(t, nil)
	q := &questions{deny: func(a *fakessh.Access) error {
		if a.Lease == nil && a.Invocation.Op == session.OpSession {
			return errors.New("asked")
		}
		return nil
	}}
	path := daemon(t, &fakessh.ControlServer{Tree: tree, Authorize: q.authorize})
	for _, tt := range []struct{ dest, command, want string }{
		{"web@local", "ssh -l root any.host true", "session web@local"},
		{"web@local", "ssh root@any.host true", "session web@local"},
		{"local", "ssh bob@any.host true", "session bob@local"},
		{"", "ssh bob@local true", "session bob@local"},
	} {
		for _, from := range []string{"", "local"} {
			opts := []fakessh.RunOption{fakessh.ControlSocket(path), fakessh.UseConfig(fakessh.Config{Images: ownImages(t)}), fakessh.From(from)}
			r := collectRun(t, "", func(stdio fakessh.RunOption) (int, error) {
				return fakessh.Run(t.Context(), tt.dest, script(tt.command), append(opts, stdio)...)
			})
			if r != (result{"", "ssh: asked\n", 255}) {
				t.Errorf("%s from %q: %q", tt.command, from, fmt.Sprint(r))
			}
			if asked := q.take(); len(asked) == 0 || asked[len(asked)-1] != tt.want {
				t.Errorf("%s to %q from %q: asked %q, want %q", tt.command, tt.dest, from, asked, tt.want)
			}
		}
	}
}

func TestShimsInTargetsSetNoStrangeVariables(t *testing.T) {
	tree := realTree(t, map[string]fakessh.TargetConfig{"db": sh("local")})
	const command = `ssh -o "SetEnv=PYTHONPATH=/evil LC_X=fine" -o SetEnv=GIT_SSH_COMMAND=/evil any.host env`
	for _, from := range []string{"", "local"} {
		r := runIn(t, tree, "db", "", script(command), fakessh.From(from))
		if strings.Contains(r.out, "evil") || !strings.Contains(r.out, "LC_X=fine\n") {
			t.Errorf("from %q:\n%s%s", from, r.out, r.err)
		}
	}
}

func TestStrangersAreTurnedAwayUnread(t *testing.T) {
	path := daemon(t, &fakessh.ControlServer{
		Admit:     func(p fakessh.Peer) error { return fmt.Errorf("uid %d is nobody", p.UID) },
		Authorize: func(context.Context, *fakessh.Access) error { t.Error("asked"); return nil },
	})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer, err := io.ReadAll(c) // nothing is asked for
	if want := fmt.Sprintf("uid %d is nobody", os.Geteuid()); err != nil || !strings.HasSuffix(string(answer), want) {
		t.Errorf("%q, %v", answer, err)
	}
	err = fakessh.AskControl(t.Context(), path, "tree", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "is nobody") {
		t.Errorf("asked all the same: %v", err)
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	wait := func(ctx context.Context, r *fakessh.ControlRequest) error {
		_ = r.Reply([]byte("here"))
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for name, srv := range map[string]*fakessh.ControlServer{
		"of one uid": {MaxPeerConns: 2}, "in total": {MaxConns: 2},
	} {
		srv.Ops = map[string]fakessh.ControlOp{"wait": wait}
		path := daemon(t, srv)
		ask := func() (cancel func(), here, ended chan error) {
			ctx, cancel := context.WithCancel(t.Context())
			here, ended = make(chan error, 1), make(chan error, 1)
			go func() { // ends with ctx
				ended <- fakessh.AskControl(ctx, path, "wait", nil, func([]byte) error { here <- nil; return nil })
			}()
			return cancel, here, ended
		}
		var ends []func()
		for range 2 {
			cancel, here, _ := ask()
			ends = append(ends, cancel)
			<-here
		}
		_, _, refused := ask()
		if err := <-refused; err == nil || err.Error() != "too many connections at once" {
			t.Errorf("%s: the third: %v", name, err)
		}
		ends[0]()
		eventually(t, name+": room again", func() bool {
			cancel, here, refused := ask()
			defer cancel()
			select {
			case <-here:
				return true
			case <-refused:
				return false
			}
		})
		ends[1]()
	}
}

// A client that takes no answers does not keep the gateway from stopping.
func TestShutdownDoesNotWaitForTheDeaf(t *testing.T) {
	flooding := make(chan struct{})
	srv := &fakessh.ControlServer{Ops: map[string]fakessh.ControlOp{"flood": func(_ context.Context, r *fakessh.ControlRequest) error {
		close(flooding)
		for {
			if err := r.Reply(make([]byte, session.MaxReply)); err != nil {
				return err
			}
		}
	}}}
	conn, err := session.DialInvoke(daemon(t, srv))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Ask(&session.Invocation{Op: "flood"}); err != nil {
		t.Fatal(err)
	}
	<-flooding
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	start := time.Now()
	srv.Shutdown(ctx)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}
