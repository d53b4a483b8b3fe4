package agent

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

func TestExitStatuses(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		command string
		want    session.Exit
	}{
		{"true", session.Exit{}},
		{"exit 7", session.Exit{Status: 7}},
		{"exit 255", session.Exit{Status: 255}},
		{"kill -TERM $$", session.Exit{Signal: "TERM"}},
		{"kill -KILL $$", session.Exit{Signal: "KILL"}},
		{"no-such-program-anywhere 2>/dev/null", session.Exit{Status: 127}},
	} {
		got := w.run(sh(tc.command), "").exit
		got.Core = false
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.command, got, tc.want)
		}
	}
}

func TestOutputsAreSeparateAndComplete(t *testing.T) {
	w := newWorld(t)
	got := w.run(sh("cat; echo err >&2; exit 3"), "in")
	if want := (result{"in", "err\n", session.Exit{Status: 3}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestArgvWithoutAShell(t *testing.T) {
	w := newWorld(t)
	got := w.run(session.Spec{Kind: session.Argv, Args: []string{"printf", "%s|", "a b", "$HOME", "'"}}, "")
	if got.stdout != "a b|$HOME|'|" {
		t.Errorf("got %+v", got)
	}
	got = w.run(session.Spec{Kind: session.Argv, Args: []string{"no-such-program"}}, "")
	if want := (result{"", "no-such-program: command not found\n", session.Exit{Status: 127}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = w.run(session.Spec{Kind: session.Argv, Args: []string{"/etc/passwd"}}, "")
	if got.exit.Status != 126 || got.stderr != "/etc/passwd: Permission denied\n" {
		t.Errorf("got %+v", got)
	}
	got = w.run(session.Spec{Kind: session.Argv, Args: []string{"true", strings.Repeat("x", 1<<18)}}, "")
	if got.exit.Status != 126 || !strings.Contains(got.stderr, "Argument list too long") {
		t.Errorf("got %+v", got)
	}
}

func TestLoginShell(t *testing.T) {
	w := newWorld(t)
	got := w.run(session.Spec{Kind: session.Shell}, "echo $0; exit 5\n")
	a := w.agent.account()
	if want := "-" + filepath.Base(a.Shell); !strings.HasSuffix(got.stdout, want+"\n") || got.exit.Status != 5 {
		t.Errorf("got %+v, want $0 %s", got, want)
	}
}

func TestProgramsSurroundings(t *testing.T) {
	closeOnExec() // as Main does: what the test was started with is not the agent's
	w := newWorld(t)
	a := w.agent.account()
	t.Setenv("FAKESSH_LEAK", "1")
	got := w.run(sh(`pwd; umask; echo "$USER:$LOGNAME:$HOME:$SHELL:$FAKESSH_LEAK"; ps -o sid= -p $$ | tr -d ' '; echo $$; ls -l /proc/self/fd | wc -l; readlink /proc/self/fd/0 | cut -c1-4`), "")
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	if len(lines) != 7 {
		t.Fatalf("got %+v", got)
	}
	if lines[0] != a.Home {
		t.Errorf("directory %q, want %q", lines[0], a.Home)
	}
	if want := strings.Join([]string{a.Name, a.Name, a.Home, a.Shell, ""}, ":"); lines[2] != want {
		t.Errorf("environment %q, want %q", lines[2], want)
	}
	if lines[3] != lines[4] {
		t.Errorf("session %s of process %s: it does not lead its own", lines[3], lines[4])
	}
	if lines[5] != "5" { // a heading, 0, 1, 2 and ls's own directory
		t.Errorf("descriptors: %s lines, want 5", lines[5])
	}
	if lines[6] != "pipe" {
		t.Errorf("stdin is a %s", lines[6])
	}
}

func TestDirectoryAskedFor(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	spec := sh("pwd")
	spec.Dir = dir
	if got := w.run(spec, ""); got.stdout != dir+"\n" {
		t.Errorf("got %+v", got)
	}
	spec.Dir = dir + "/absent"
	_, err := session.Start(t.Context(), w.peer, &spec)
	var call *router.CallError
	if !errors.As(err, &call) || call.Text != "chdir "+spec.Dir+": No such file or directory" || call.Type != session.TypeError {
		t.Errorf("got %v", err)
	}
}

func TestHalfCloseEndsAFilter(t *testing.T) {
	w := newWorld(t)
	c := w.start(sh("sort; echo end"))
	if _, err := io.WriteString(c, "b\na\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, c); got.stdout != "a\nb\nend\n" {
		t.Errorf("got %+v", got)
	}
}

func TestProgramThatDoesNotReadStdin(t *testing.T) {
	w := newWorld(t)
	c := w.start(sh("exec <&-; echo closed; exit 4"))
	var wg sync.WaitGroup
	wg.Go(func() { // far more than windows and pipes hold: it has to be dropped
		_, err := io.Copy(c, io.LimitReader(zeros{}, 8<<20))
		if err == nil {
			err = c.CloseWrite()
		}
		if err != nil {
			t.Errorf("write: %v", err)
		}
	})
	if got := collect(t, c); got.stdout != "closed\n" || got.exit.Status != 4 {
		t.Errorf("got %+v", got)
	}
	wg.Wait()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestBulkBothWaysAgrees(t *testing.T) {
	w := newWorld(t)
	c := w.start(sh("cat"))
	size := 100 << 20
	if raceEnabled || testing.Short() {
		size = 16 << 20
	}
	sent := sha256.New()
	var wg sync.WaitGroup
	wg.Go(func() {
		block := make([]byte, 1<<20)
		_, _ = rand.Read(block)
		for i := range size / len(block) {
			block[0] = byte(i)
			sent.Write(block)
			if _, err := c.Write(block); err != nil {
				t.Errorf("write: %v", err)
				return
			}
		}
		_ = c.CloseWrite()
	})
	got := sha256.New()
	n, err := c.WriteTo(got)
	wg.Wait()
	if err != nil || n != int64(size) || string(got.Sum(nil)) != string(sent.Sum(nil)) {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	if exit, err := c.Wait(t.Context()); err != nil || exit != (session.Exit{}) {
		t.Errorf("exit %+v, %v", exit, err)
	}
}

func TestSignals(t *testing.T) {
	w := newWorld(t)
	c := w.start(sh(`trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.01; done`))
	readLine(t, c, "ready")
	for _, bad := range []string{"", "NOSUCH NAME"} {
		if c.Signal(bad) == nil {
			t.Errorf("signal %q is sent", bad)
		}
	}
	if err := c.Signal("SIGUSR1"); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, c); got.stdout != "caught\n" || got.exit.Status != 9 {
		t.Errorf("got %+v", got)
	}
	c = w.start(sh("echo ready; exec sleep 100"))
	readLine(t, c, "ready")
	_ = c.Signal("UNHEARDOF")
	_ = c.Signal("KILL")
	if got := collect(t, c); got.exit.Signal != "KILL" {
		t.Errorf("got %+v", got)
	}
}

// readLine reads one line of stdout, byte by byte, and compares it.
func readLine(t testing.TB, r io.Reader, want string) {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatalf("read after %q: %v", line, err)
		}
		if b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	if got := strings.TrimSuffix(string(line), "\r"); got != want {
		t.Fatalf("line %q, want %q", got, want)
	}
}

// TestOutputThatNobodyReads ends the program that writes it, as a pipe would.
func TestOutputThatNobodyReads(t *testing.T) {
	w := newWorld(t)
	for _, spec := range []session.Spec{sh("exec yes"), onPTY("exec yes")} {
		c := w.start(spec)
		if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := c.StopOutput(router.Main); err != nil {
			t.Fatal(err)
		}
		if got := collect(t, c); got.exit.Signal != "PIPE" && got.exit.Signal != "HUP" && got.exit.Status == 0 {
			t.Errorf("got %+v", got.exit)
		}
		c.Close()
	}
}

// TestBackgroundKeepsThePipes: as with sshd, output is complete when all who can write have closed it.
func TestBackgroundKeepsThePipes(t *testing.T) {
	w := newWorld(t)
	got := w.run(sh("(sleep 0.2; echo late) & echo early; exit 6"), "")
	if got.stdout != "early\nlate\n" || got.exit.Status != 6 {
		t.Errorf("got %+v", got)
	}
}

func TestLostStreamEndsTheProcessGroup(t *testing.T) {
	w := newWorld(t)
	c := w.start(sh(`sleep 1000 & echo $! $$; exec 2>&-; cat >/dev/null`))
	var line strings.Builder
	for b := make([]byte, 1); b[0] != '\n'; line.WriteByte(b[0]) {
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	c.Reset(errors.New("client is gone"))
	for _, f := range strings.Fields(line.String()) {
		pid, _ := strconv.Atoi(f)
		eventually(t, "process "+f+" ends", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) })
	}
}

// TestLostStreamEndsWhatAProgramHasLeftBehind: its group is the session's, also when it has ended before.
func TestLostStreamEndsWhatAProgramHasLeftBehind(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells that a program has ended without collecting it")
	}
	w := newWorld(t)
	w.agent.grace = 100 * time.Millisecond
	c := w.start(sh(`sleep 1000 & sh -c 'trap "" TERM; while :; do sleep 0.1; done' & echo $(jobs -p)`))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the program ends", func() bool {
		w.agent.reaper.mu.Lock()
		defer w.agent.reaper.mu.Unlock()
		return len(w.agent.reaper.procs) == 0
	})
	c.Reset(errors.New("client is gone"))
	for _, f := range strings.Fields(line) {
		pid, _ := strconv.Atoi(f)
		eventually(t, "process "+f+" ends", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) })
	}
}

// zombie: an orphan may wait for an init that is slow, or none.
func zombie(pid int) bool {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(data), ") ")
	return strings.HasPrefix(rest, "Z")
}

func TestProgramThatIgnoresHangupIsKilled(t *testing.T) {
	w := newWorld(t)
	w.agent.grace = 100 * time.Millisecond
	c := w.start(sh(`trap '' HUP TERM PIPE; echo $$; while :; do sleep 0.1; done`))
	var line strings.Builder
	for b := make([]byte, 1); b[0] != '\n'; line.WriteByte(b[0]) {
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(line.String()))
	c.Reset(errors.New("client is gone"))
	eventually(t, "the process is killed", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
}

func TestNohupBesideALostProgramStays(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells who ignores a signal")
	}
	w := newWorld(t)
	w.agent.grace = 100 * time.Millisecond
	// What nohup does, but before the fork, so that it is done when the pids are told.
	c := w.start(sh(`trap '' HUP; sleep 1000 >/dev/null 2>&1 & trap - HUP; sleep 1000 & (trap : HUP; while :; do sleep 0.1; done) & echo $(jobs -p) $$; wait`))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range strings.Fields(line) {
		pid, _ := strconv.Atoi(f)
		pids = append(pids, pid)
	}
	if len(pids) != 4 {
		t.Fatalf("pids %q", line)
	}
	t.Cleanup(func() { _ = syscall.Kill(pids[0], syscall.SIGKILL) })
	c.Reset(errors.New("client is gone"))
	for _, pid := range pids[1:] {
		eventually(t, "process "+strconv.Itoa(pid)+" ends", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) })
	}
	if err := syscall.Kill(pids[0], 0); err != nil || zombie(pids[0]) {
		t.Error("what nohup protects has ended")
	}
}

func TestCutLinkInMidTransferLeavesNothing(t *testing.T) {
	w := newWorld(t)
	c := w.start(sh("echo $$; exec cat /dev/zero"))
	var line strings.Builder
	for b := make([]byte, 1); b[0] != '\n'; line.WriteByte(b[0]) {
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(line.String()))
	if _, err := io.CopyN(io.Discard, c, 4<<20); err != nil {
		t.Fatal(err)
	}
	w.nodes.Cut("agent")
	eventually(t, "the process ends", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
	if _, err := c.Wait(t.Context()); err == nil {
		t.Error("a lost session has an exit status")
	}
}

func TestManySessionsAtOnce(t *testing.T) {
	w := newWorld(t)
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			c, err := session.Start(t.Context(), w.peer, &session.Spec{Kind: session.Exec, Command: "cat; exit " + strconv.Itoa(i)})
			if err != nil {
				t.Errorf("session %d: %v", i, err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, strconv.Itoa(i))
			_ = c.CloseWrite()
			if got := collect(t, c); got.stdout != strconv.Itoa(i) || got.exit.Status != uint32(i) {
				t.Errorf("session %d: %+v", i, got)
			}
		})
	}
	wg.Wait()
}

func TestShortCommandsLeaveNothing(t *testing.T) {
	n := 1000
	if raceEnabled || testing.Short() {
		n = 200
	}
	w := newWorld(t)
	w.run(sh("true"), "")
	before := openFiles(t)
	for i := range n {
		if got := w.run(sh("exit "+strconv.Itoa(i%256)), ""); got.exit.Status != uint32(i%256) {
			t.Fatalf("command %d: %+v", i, got)
		}
	}
	eventually(t, "descriptors are as before", func() bool { return openFiles(t) <= before })
	eventually(t, "no session is left", func() bool {
		w.agent.mu.Lock()
		defer w.agent.mu.Unlock()
		return w.agent.live == 0
	})
	w.agent.reaper.mu.Lock()
	defer w.agent.reaper.mu.Unlock()
	if left := len(w.agent.reaper.procs); left != 0 {
		t.Errorf("%d processes are left", left)
	}
}
