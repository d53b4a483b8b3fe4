package fakessh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fakessh"
	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/role"
	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
)

// The test binary is its own agent.
func TestMain(m *testing.M) {
	if status, ok := role.Main(os.Args); ok {
		os.Exit(status)
	}
	os.Exit(withCache(m.Run))
}

// withCache has the agents' image cached in a directory of the tests' own. (A program under the race detector otherwise takes a second to exit.)
func withCache(run func() int) int {
	if cache, err := os.UserCacheDir(); err == nil && os.Getenv("GOCACHE") == "" {
		_ = os.Setenv("GOCACHE", filepath.Join(cache, "go-build")) // shippedProgram's is where it was
	}
	removeOld()
	dir, err := os.MkdirTemp("", "fakessh-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = errors.Join(os.Setenv("XDG_CACHE_HOME", dir), os.Setenv("GORACE", "atexit_sleep_ms=0"))
	}
	if err != nil {
		panic(err)
	}
	return run()
}

// removeOld removes what tests have left that were killed. None takes a day.
func removeOld() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "fakessh*-test-*"))
	for _, dir := range dirs {
		if st, err := os.Lstat(dir); err == nil && time.Since(st.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(dir)
		}
	}
}

// realTree makes a tree of real contexts. When the test is over, nothing of them may be left:
// no process, goroutine or open file.
func realTree(t *testing.T, targets map[string]fakessh.TargetConfig) *fakessh.Tree {
	t.Helper()
	return treeWithImages(t, ownImages(t), targets)
}

// ownImages serves this test binary as image. It holds a file open as long as it lives, so all tests share one.
func ownImages(t testing.TB) *bootstrap.Images {
	t.Helper()
	images, err := theImages()
	if err != nil {
		t.Fatal(err)
	}
	return images
}

var theImages = sync.OnceValues(func() (*bootstrap.Images, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return bootstrap.NewImages(nil, self)
})

// shippedProgram builds it, which is a fraction of the test binary's size.
func shippedProgram(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts agents")
	}
	path := filepath.Join(t.TempDir(), "fakessh")
	out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "fakessh/cmd/fakessh").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

func treeWithImages(t *testing.T, images *bootstrap.Images, targets map[string]fakessh.TargetConfig) *fakessh.Tree {
	t.Helper()
	if testing.Short() {
		t.Skip("starts agents")
	}
	mark := "FAKESSH_TEST=" + strconv.FormatInt(time.Now().UnixNano(), 36)
	t.Setenv("FAKESSH_TEST", strings.TrimPrefix(mark, "FAKESSH_TEST="))
	goroutines, files := runtime.NumGoroutine(), openFiles()
	tree, err := fakessh.NewTree(fakessh.Config{Targets: targets, Images: images})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nodes := tree.Nodes()
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		eventually(t, "agents end", func() bool { return !anyAlive(nodes) && len(marked(mark)) == 0 })
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
		eventually(t, "no file is left open", func() bool { return len(openFiles()) <= len(files) })
		if t.Failed() {
			t.Logf("open before: %q, now: %q", files, openFiles())
		}
	})
	return tree
}

// openFiles says what the descriptors of this process are.
func openFiles() (files []string) {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if file, err := os.Readlink(fd); err == nil { // not that of the listing itself
			files = append(files, file)
		}
	}
	return files
}

func anyAlive(nodes []fakessh.Node) bool {
	for _, n := range nodes {
		if n.PID > 0 && syscall.Kill(n.PID, 0) == nil {
			return true
		}
	}
	return false
}

// marked lists the processes, but for this one, whose environment has mark.
func marked(mark string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var out []string
	for _, f := range files {
		pid := filepath.Base(filepath.Dir(f))
		if env, err := os.ReadFile(f); err == nil && bytes.Contains(env, []byte(mark)) && pid != strconv.Itoa(os.Getpid()) {
			out = append(out, pid)
		}
	}
	return out
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("not after five seconds: %s", what)
			return
		}
	}
}

func lease(t *testing.T, tree *fakessh.Tree, account, name string) *fakessh.Lease {
	t.Helper()
	target, err := fakessh.ParseTarget(name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tree.Connect(t.Context(), fakessh.Dest{Target: target, Account: account})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	return l
}

// run runs a program in l and returns what it printed.
func run(t *testing.T, l *fakessh.Lease, args ...string) string {
	t.Helper()
	c, err := session.Start(t.Context(), l.Context(), &session.Spec{Kind: session.Argv, Args: args, Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := c.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	exit, err := c.Wait(t.Context())
	if err != nil || exit.Status != 0 {
		t.Fatalf("%q: %+v, %v", args, exit, err)
	}
	return strings.TrimSpace(out.String())
}

// sh is a context behind one more shell.
func sh(via string) fakessh.TargetConfig {
	return fakessh.TargetConfig{Spec: methods.Spec{Method: "exec", Params: methods.Params{"command": []string{"sh"}}}, Via: via}
}

func TestLocal(t *testing.T) {
	tree := realTree(t, nil)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	l := lease(t, tree, "", "local")
	if got := run(t, l, "id", "-un"); got != me.Username || l.Info().User != got {
		t.Errorf("runs as %q, says %q", got, l.Info().User)
	}
	if again := lease(t, tree, me.Username, "local"); again.Context() != l.Context() {
		t.Error("my own account is another context")
	}
	n := tree.Nodes()
	if len(n) != 1 || n[0].PID != l.Info().PID || n[0].Sessions != 2 || n[0].ID == 0 {
		t.Errorf("nodes %+v", n)
	}
}

func TestChainOfShells(t *testing.T) {
	tree := realTree(t, map[string]fakessh.TargetConfig{"one": sh(""), "two": sh("one"), "three": sh("two"), "far": sh("three")})
	l := lease(t, tree, "", "far")
	if got := run(t, l, "echo", "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
	nodes := tree.Nodes()
	for i, n := range nodes {
		if i > 0 && n.Parent != nodes[i-1].ID {
			t.Errorf("%+v is not beneath %+v", n, nodes[i-1])
		}
	}
	if len(nodes) != 4 {
		t.Errorf("nodes %+v", nodes)
	}
}

// With `cache: false` nothing of ours is left on a machine while its agents run, whoever started them: the gateway, an agent, or a hop that
// no entry describes.
func TestNothingStaysWithoutCache(t *testing.T) {
	cache := t.TempDir()
	uncached := func(c fakessh.TargetConfig) fakessh.TargetConfig {
		c.Spec.Params["cache"] = false
		return c
	}
	in := func(c fakessh.TargetConfig) fakessh.TargetConfig {
		c.Spec.Params["command"] = []string{"env", "XDG_CACHE_HOME=" + cache, "sh"}
		return c
	}
	tree := realTree(t, map[string]fakessh.TargetConfig{
		"one": uncached(in(sh(""))), "two": uncached(sh("one")), "three": in(sh("")), "four": uncached(in(sh("local"))),
	})
	for _, name := range []string{"one", "two", "one+local", "one+local+local", "four"} {
		if got := run(t, lease(t, tree, "", name), "echo", "hello"); got != "hello" {
			t.Errorf("%s: got %q", name, got)
		}
		if left := cached(t, cache); len(left) > 0 {
			t.Fatalf("%s leaves %q", name, left)
		}
	}
	lease(t, tree, "", "three")
	if left := cached(t, cache); len(left) != 2 {
		t.Errorf("with a cache there is %q", left)
	}
}

// cached lists what is below dir.
func cached(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// A loss is one line: what was lost, in the words of the inventory, on which hop, and why.
func TestLossNamesTheHopAndTheCause(t *testing.T) {
	for hop, want := range map[string]map[string]string{
		"two":   {"two": "lost two: connection lost (signal: killed)", "three": "lost three: lost two: connection lost (signal: killed)"},
		"one":   {"one": "lost one: connection lost (signal: killed)", "three": "lost three: lost one: connection lost (signal: killed)"},
		"three": {"three": "lost three: connection lost (signal: killed)"},
	} {
		t.Run(hop, func(t *testing.T) {
			tree := realTree(t, map[string]fakessh.TargetConfig{"one": sh(""), "two": sh("one"), "three": sh("two")})
			leases := map[string]*fakessh.Lease{}
			for name := range want {
				leases[name] = lease(t, tree, "", name)
			}
			for _, n := range tree.Nodes() {
				if n.Name == hop {
					if err := syscall.Kill(n.PID, syscall.SIGKILL); err != nil {
						t.Fatal(err)
					}
				}
			}
			for name, text := range want {
				<-leases[name].Done()
				if err := leases[name].Err(); err == nil || err.Error() != text || !errors.Is(err, router.ErrLost) {
					t.Errorf("%v, want %q", err, text)
				}
			}
		})
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func TestAccountsBySetuidAndSudo(t *testing.T) {
	needRoot(t)
	tree := realTree(t, map[string]fakessh.TargetConfig{"inner": sh("local")})
	tests := []struct{ account, target, name string }{
		{"nobody", "local", "local+setuid.nobody"},
		{"", "local+setuid.nobody", "local+setuid.nobody"},
		{"nobody", "inner", "inner+setuid.nobody"},
		{"", "local+sudo.nobody", "local+sudo.nobody"},
		{"", "inner+sudo.nobody", "inner+sudo.nobody"},
	}
	for _, tt := range tests {
		t.Run(tt.account+"@"+tt.target, func(t *testing.T) {
			if _, err := exec.LookPath("sudo"); err != nil && strings.Contains(tt.target, "sudo") && os.Getenv("CI") == "" {
				t.Skip("no sudo")
			}
			l := lease(t, tree, tt.account, tt.target)
			if got := run(t, l, "id", "-un"); got != "nobody" || l.Info().User != "nobody" || l.Target().String() != tt.name {
				t.Errorf("runs as %q, says %q, is %s", got, l.Info().User, l.Target())
			}
			if got := run(t, l, "sh", "-c", "cat /proc/self/status | grep ^Groups:"); strings.Contains(" "+got+" ", " 0 ") {
				t.Errorf("keeps root's groups: %s", got)
			}
		})
	}
	_, err := tree.Connect(t.Context(), fakessh.Dest{Target: fakessh.Target{Name: "local"}, Account: "no-such-account"})
	var missing *fakessh.NoAccountError
	if !errors.As(err, &missing) || err.Error() != `no account "no-such-account" on local; try root@local` {
		t.Errorf("got %v", err)
	}
	_, err = tree.Connect(t.Context(), fakessh.Dest{Target: fakessh.Target{Name: "inner"}, Account: "no-such-account"})
	if !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	_, err = tree.Connect(t.Context(), fakessh.Dest{Target: lease(t, tree, "", "local+setuid.nobody").Target(), Account: "root"})
	if !errors.As(err, &missing) || err.Error() != `no account "root" on local+setuid.nobody; try nobody@local+setuid.nobody` {
		t.Errorf("got %v", err)
	}
}

// An agent that is killed ends its sessions within a second, with a reason; the next request connects again.
func TestKilledAgent(t *testing.T) {
	for _, target := range []string{"one", "two"} {
		t.Run(target, func(t *testing.T) {
			tree := realTree(t, map[string]fakessh.TargetConfig{"one": sh(""), "two": sh("one")})
			l := lease(t, tree, "", target)
			c, err := session.Start(t.Context(), l.Context(), &session.Spec{Kind: session.Argv, Args: []string{"cat"}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			start := time.Now()
			if err := syscall.Kill(l.Info().PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Wait(t.Context()); err == nil || time.Since(start) > time.Second {
				t.Errorf("the session got %v after %v", err, time.Since(start))
			}
			<-l.Done()
			if err := l.Err(); !errors.Is(err, router.ErrLost) || !strings.HasPrefix(err.Error(), "lost "+target+": ") || time.Since(start) > time.Second {
				t.Errorf("the lease got %v after %v", err, time.Since(start))
			}
			again := lease(t, tree, "", target)
			if got := run(t, again, "echo", "back"); got != "back" || again.Info().PID == l.Info().PID {
				t.Errorf("got %q", got)
			}
		})
	}
}

// An agent that is stopped answers no more: nothing but the keepalive sees that, and Close gets rid of it all the same.
func TestCloseEndsStoppedAgents(t *testing.T) {
	tree := realTree(t, map[string]fakessh.TargetConfig{"one": sh(""), "two": sh("one")})
	l := lease(t, tree, "", "two")
	if err := syscall.Kill(l.Info().PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

func TestDialInsideATarget(t *testing.T) {
	tree := realTree(t, map[string]fakessh.TargetConfig{"one": sh("")})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { // ends with the connection
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		text, _ := io.ReadAll(conn)
		fmt.Fprintf(conn, "heard %s", text)
	}()
	dest := fakessh.Dest{Target: fakessh.Target{Name: "one"}}
	conn, err := tree.Dial(t.Context(), dest, "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "half"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "heard half" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if n := tree.Nodes(); n[0].Sessions != 1 {
		t.Errorf("nodes %+v", n)
	}
	conn.Close()
	if n := tree.Nodes(); n[0].Sessions != 0 {
		t.Errorf("nodes %+v", n)
	}
	ln.Close()
	if _, err := tree.Dial(t.Context(), dest, "tcp", ln.Addr().String()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	tree := realTree(t, map[string]fakessh.TargetConfig{
		"one":   sh(""),
		"false": {Spec: methods.Spec{Method: "exec", Params: methods.Params{"command": []string{"sh", "-c", "echo no entry >&2; exit 3"}}}},
		"far":   {Spec: methods.Spec{Method: "exec", Params: methods.Params{"command": []string{"sh", "-c", "echo no entry >&2; exit 3"}}}, Via: "one"},
		"none":  {Spec: methods.Spec{Method: "exec", Params: methods.Params{"command": []string{"/no/such/program"}}}, Via: "one"},
	})
	for name, want := range map[string]string{"false": "dial false: ", "far": "dial far via one: ", "none": "dial none via one: "} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := tree.Connect(ctx, fakessh.Dest{Target: fakessh.Target{Name: name}})
		cancel()
		var de *fakessh.DialError
		if !errors.As(err, &de) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A platform that the agent in between has no image for gets it from the gateway. (uname tells a lie; the image is our own.)
func TestImageIsSentThroughAnAgent(t *testing.T) {
	lie := t.TempDir()
	if err := os.WriteFile(filepath.Join(lie, "uname"), []byte("#!/bin/sh\necho Linux riscv64\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	far := sh("one")
	far.Spec.Params["command"] = []string{"env", "PATH=" + lie + ":" + os.Getenv("PATH"), "sh"}
	program := shippedProgram(t)
	images, err := bootstrap.NewImages(nil, program)
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]fakessh.TargetConfig{"one": sh(""), "far": far}
	t.Run("the gateway has none", func(t *testing.T) {
		_, err := treeWithImages(t, images, targets).Connect(t.Context(), fakessh.Dest{Target: fakessh.Target{Name: "far"}})
		if err == nil || !strings.Contains(err.Error(), "dial far via one: no image for linux/riscv64") {
			t.Errorf("got %v", err)
		}
	})
	if err := images.Add("linux/riscv64", program); err != nil {
		t.Fatal(err)
	}
	if got := run(t, lease(t, treeWithImages(t, images, targets), "", "far"), "echo", "there"); got != "there" {
		t.Errorf("got %q", got)
	}
}

// A connection through an agent that comes up after everybody has gone is ended.
func TestLateContextIsEnded(t *testing.T) {
	slow := sh("one")
	slow.Spec.Params["command"] = []string{"sh", "-c", "sleep 0.5; exec sh"}
	tree := realTree(t, map[string]fakessh.TargetConfig{"one": sh(""), "slow": slow})
	one := lease(t, tree, "", "one")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := tree.Connect(ctx, fakessh.Dest{Target: fakessh.Target{Name: "slow"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	children := func() string { return run(t, one, "sh", "-c", "cat /proc/$PPID/task/*/children") }
	eventually(t, "it is on its way", func() bool { return len(strings.Fields(children())) == 2 })
	eventually(t, "it is ended", func() bool { return len(tree.Router().Routes()) == 1 && len(strings.Fields(children())) == 1 })
	if names := tree.Nodes(); len(names) != 1 {
		t.Errorf("nodes %+v", names)
	}
}

// A hundred at once through one chain.
func TestManyAtOnce(t *testing.T) {
	tree := realTree(t, map[string]fakessh.TargetConfig{"one": sh(""), "two": sh("one")})
	errs := make(chan error)
	for range 100 {
		go func() { // ends with its session
			l, err := tree.Connect(t.Context(), fakessh.Dest{Target: fakessh.Target{Name: "two"}})
			if err == nil {
				defer l.Release()
				_, err = session.GetInfo(t.Context(), l.Context())
			}
			errs <- err
		}()
	}
	for range 100 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := tree.Nodes(); len(n) != 2 {
		t.Errorf("nodes %+v", n)
	}
}
