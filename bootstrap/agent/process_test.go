package agent

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
	"fakessh/router/routertest"
)

// agentProcess is an agent in a process of its own, over pipes, as every method starts it.
type agentProcess struct {
	cmd  *exec.Cmd
	r    *router.Router
	peer *router.Context
}

// pipeEnds is the parent's end of an agent's stdin and stdout.
type pipeEnds struct {
	io.Reader
	io.WriteCloser
	out io.Closer
}

func (p pipeEnds) Close() error { return errors.Join(p.WriteCloser.Close(), p.out.Close()) }

func startAgent(t *testing.T, env ...string) *agentProcess {
	t.Helper()
	r := router.New(router.Config{})
	id, err := r.AllocateID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -Sn 512; exec "$0" "$@"`, os.Args[0], "agent", strconv.Itoa(int(id)), "0", "-", "n:test")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	for line := ""; !strings.Contains(line, "ready "); {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatalf("before ready: %v", err)
		}
	}
	peer, err := r.AddLink(pipeEnds{lines, in, out}, router.LinkConfig{Remote: id, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return &agentProcess{cmd, r, peer}
}

func (a *agentProcess) run(t *testing.T, spec session.Spec) result {
	t.Helper()
	c, err := session.Start(background(t), a.peer, &spec)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.CloseWrite()
	return collect(t, c)
}

// ended waits until the agent has ended by itself.
func (a *agentProcess) ended(t *testing.T) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- a.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("agent: %v", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("the agent does not end")
	}
}

func TestAgentProcess(t *testing.T) {
	routertest.Leaks(t)
	a := startAgent(t, "FAKESSH_LEAK=1", "GOGC=off")
	info, err := session.GetInfo(background(t), a.peer)
	if err != nil || info.PID != a.cmd.Process.Pid || info.UID != os.Geteuid() || info.Version != Version {
		t.Errorf("info %+v, %v", info, err)
	}
	if d, err := session.Ping(background(t), a.peer); err != nil || d <= 0 {
		t.Errorf("ping %v, %v", d, err)
	}
	got := a.run(t, sh("env; echo ---; readlink /proc/$PPID/cwd; umask; ulimit -Sn"))
	env, rest, _ := strings.Cut(got.stdout, "---\n")
	for _, name := range []string{"FAKESSH_LEAK", "GOGC", "GORACE"} {
		if strings.Contains(env, name+"=") {
			t.Errorf("%s has leaked into the session", name)
		}
	}
	lines := strings.Fields(rest)
	if len(lines) != 3 || lines[0] != "/" || lines[2] != "512" {
		t.Fatalf("agent's directory, umask and limit of files: %q", rest)
	}
	if mask, err := strconv.ParseInt(lines[1], 8, 32); err != nil || mask&0o022 != 0o022 {
		t.Errorf("umask %q", lines[1])
	}
}

// TestAgentIsQuietOnItsStandardStreams: what lands on the agent's stderr becomes log records.
func TestAgentForwardsWhatIsPrinted(t *testing.T) {
	lines := make(chan string, 1)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		capture(r, func(line string) { lines <- line })
		close(done)
	}()
	for _, tc := range [][2]string{{"one\n", "one"}, {"\n\ntwo\n", "two"}} {
		_, _ = io.WriteString(w, tc[0])
		if got := <-lines; got != tc[1] {
			t.Errorf("got %q, want %q", got, tc[1])
		}
	}
	_, _ = io.WriteString(w, "tail")
	w.Close()
	if got := <-lines; got != "tail" {
		t.Errorf("got %q", got)
	}
	<-done
}

func TestAgentEndsWithItsLink(t *testing.T) {
	routertest.Leaks(t)
	a := startAgent(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := session.Start(ctx, a.peer, &session.Spec{Kind: session.Exec, Command: "echo $$; exec cat /dev/zero"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pid := readPID(t, c)
	if _, err := io.CopyN(io.Discard, c, 1<<20); err != nil {
		t.Fatal(err)
	}
	a.r.Close()
	a.ended(t)
	eventually(t, "the session's process ends", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) })
}

func readPID(t testing.TB, r io.Reader) int {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); b[0] != '\n'; line = append(line, b[0]) {
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// TestDaemonsStay: what has left the session's process group survives the agent, as with sshd.
func TestDaemonsStay(t *testing.T) {
	routertest.Leaks(t)
	tool(t, "setsid")
	a := startAgent(t)
	c, err := session.Start(background(t), a.peer, &session.Spec{Kind: session.Exec,
		Command: "setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1 </dev/null' & exec sleep 1000"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pid := readPID(t, c)
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	a.r.Close()
	a.ended(t)
	if err := syscall.Kill(pid, 0); err != nil || zombie(pid) {
		t.Errorf("the daemon is gone: %v", err)
	}
}

func TestAgentEndsOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		a := startAgent(t)
		a.run(t, sh("true"))
		_ = a.cmd.Process.Signal(syscall.SIGPIPE) // means nothing
		_ = a.cmd.Process.Signal(sig)
		a.ended(t)
	}
}

func TestAgentsArguments(t *testing.T) {
	if got := Main([]string{"probe"}); got != 0 {
		t.Errorf("probe gives %d", got)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	status := Main([]string{"nonsense"})
	os.Stderr = stderr
	w.Close()
	if text, _ := io.ReadAll(r); status != exitUsage || !strings.HasPrefix(string(text), "fakessh agent: ") {
		t.Errorf("nonsense gives %d, %q", status, text)
	}
}

// TestIdleAgentIsSmall: the figure is for an ordinary build, race detection multiplies it.
func TestIdleAgentIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is not the agent's")
	}
	a := startAgent(t)
	a.run(t, sh("true"))
	if kb := rss(t, a.cmd.Process.Pid); kb > 16<<10 {
		t.Errorf("resident: %d KiB", kb)
	} else {
		t.Logf("resident: %d KiB", kb)
	}
}

func rss(t testing.TB, pid int) int {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Skip("no /proc")
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb
}
