package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"fakessh/integration/bed"
)

func TestExitStatusIsTheProgramsOwn(t *testing.T) {
	onChains(t, func(t *testing.T, chain string) {
		for _, want := range []int{0, 1, 7, 127, 255} {
			if r := do(t, b.SSH(chain+"@gw", fmt.Sprintf("exit %d", want))); r.code != want {
				t.Errorf("exit %d gave %d: %s", want, r.code, r.err)
			}
		}
	})
}

func TestJumpGivesTheSameAnswersWithoutAQuestion(t *testing.T) {
	for _, c := range []struct{ host, account, user string }{
		{"web1", bed.Ann, bed.Ann}, {"web2", bed.Bob, bed.Bob}, {"web2", "root", "root"}, {"app", "root", "root"},
		{"local", "root", "root"}, {"local", bed.Bob, bed.Bob}, {"web2+sudo", "root", "root"}, {"far", "alice", "alice"},
	} {
		t.Run(c.account+"@"+c.host, func(t *testing.T) {
			r := do(t, b.SSH("-J", "gw", c.account+"@"+c.host, "id -un; exit 9"))
			if r.code != 9 || strings.TrimSpace(r.out) != c.user || r.err != "" {
				t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.out, r.err)
			}
		})
	}
}

func TestJumpToARealSSHDBehindAnExit(t *testing.T) {
	r := do(t, b.SSH("-o", "UserKnownHostsFile="+b.Path("known_hosts")+" "+b.Path("client_known_hosts"),
		"-J", "gw", "-p", fmt.Sprint(b.SSHDPort), bed.Ann+"@127.0.0.1", "id -un; exit 5"))
	if r.code != 5 || strings.TrimSpace(r.out) != bed.Ann {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.out, r.err)
	}
}

// `ssh web1 yes | head -1` ends, at both ends.
func TestUnreadOutputEndsTheProgram(t *testing.T) {
	onChains(t, func(t *testing.T, chain string) {
		for _, dest := range []string{chain + "@gw", "-J gw -l ann " + chain} {
			mark := fmt.Sprintf("unread-%d", time.Now().UnixNano())
			line := fmt.Sprintf("ssh -F %s %s yes %s | head -1", b.Path("ssh_config"), dest, mark)
			if r := do(t, exec.Command("bash", "-c", line)); r.out != mark+"\n" {
				t.Errorf("%s: stdout %q, stderr %q", dest, r.out, r.err)
			}
			if out, _ := exec.Command("pgrep", "-fx", "yes "+mark).Output(); len(out) > 0 {
				t.Errorf("%s: yes still runs", dest)
			}
		}
	})
}

func TestKilledProgramGivesItsSignal(t *testing.T) {
	onChains(t, func(t *testing.T, chain string) {
		r := do(t, b.SSH("-v", chain+"@gw", "kill -TERM $$"))
		if r.code != 255 || !strings.Contains(r.err, "exit-signal") {
			t.Errorf("exit %d; no exit-signal in %s", r.code, tail(r.err))
		}
	})
}

func TestStdoutAndStderrAreSeparateAndComplete(t *testing.T) {
	onChains(t, func(t *testing.T, chain string) {
		r := ok(t, b.SSH(chain+"@gw", `i=0; while [ $i -lt 2000 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done`))
		var out, err strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&out, "out %d\n", i)
			fmt.Fprintf(&err, "err %d\n", i)
		}
		if r.out != out.String() || r.err != err.String() {
			t.Errorf("stdout %d of %d bytes, stderr %d of %d", len(r.out), out.Len(), len(r.err), err.Len())
		}
	})
}

// random is a reader of n reproducible bytes.
func random(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1, 2, 3}), n)
}

func TestRandomBytesPassBothWays(t *testing.T) {
	const n = 200 << 20
	want := sha256.New()
	io.Copy(want, random(n))
	onChains(t, func(t *testing.T, chain string) {
		cmd := b.SSH(chain+"@gw", "cat")
		got := sha256.New()
		cmd.Stdin, cmd.Stdout = random(n), got
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, stderr.Bytes())
		}
		if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Error("the bytes differ")
		}
	})
}

func TestHalfClosedStdinEndsTheProgram(t *testing.T) {
	onChains(t, func(t *testing.T, chain string) {
		cmd := b.SSH(chain+"@gw", "cat; echo done; exit 4")
		cmd.Stdin = strings.NewReader("some\n")
		if r := do(t, cmd); r.code != 4 || r.out != "some\ndone\n" {
			t.Errorf("exit %d, stdout %q", r.code, r.out)
		}
	})
}

func TestEnvironmentIsThatOfALogin(t *testing.T) {
	r := ok(t, b.SSH("web1@gw", `echo "$USER $LOGNAME $HOME $SHELL"; pwd; umask; echo "${SSH_CONNECTION%% *}"`))
	want := strings.Join([]string{bed.Ann + " " + bed.Ann + " /home/" + bed.Ann + " /bin/bash", "/home/" + bed.Ann, "0022", "127.0.0.1"}, "\n") + "\n"
	if r.out != want {
		t.Errorf("got %q, want %q", r.out, want)
	}
	if r := ok(t, b.SSH("-o", "SetEnv=GIT_PROTOCOL=version=2 LD_PRELOAD=/x", "web1@gw", `echo "$GIT_PROTOCOL $LD_PRELOAD"`)); r.out != "version=2 \n" {
		t.Errorf("environment passed: %q", r.out)
	}
}

func TestManySessionsAtOnceOverOneLink(t *testing.T) {
	const n = 200
	sock := b.Path("cm-many")
	master := b.SSH("-o", "ControlPath="+sock, "-o", "ControlMaster=yes", "-N", "web1@gw")
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { master.Process.Kill(); master.Wait() }()
	waitFile(t, sock)
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		wg.Go(func() {
			out, err := b.SSH("-o", "ControlPath="+sock, "web1@gw", fmt.Sprintf("sleep 1; echo %d; exit %d", i, i%100)).Output()
			code := 0
			if x, isExit := err.(*exec.ExitError); isExit {
				code = x.ExitCode()
			}
			if code != i%100 || string(out) != fmt.Sprintln(i) {
				errs <- fmt.Errorf("session %d: exit %d, stdout %q", i, code, out)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

func waitFile(t *testing.T, path string) {
	t.Helper()
	if !bed.Eventually(t.Context(), 10*time.Second, func() bool { return exec.Command("test", "-e", path).Run() == nil }) {
		t.Fatalf("%s does not appear", path)
	}
}

func tail(s string) string { return s[max(0, len(s)-2000):] }
