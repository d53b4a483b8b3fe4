package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"fakessh/integration/bed"
)

// oneLine wants exit 255 and one clear line that has all the words, within a second and a bit.
func oneLine(t *testing.T, r result, words ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	if r.code != 255 || len(lines) != 1 {
		t.Errorf("exit %d, %d lines: %q", r.code, len(lines), r.err)
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			t.Errorf("no %q in %q", w, r.err)
		}
	}
	t.Logf("%v: %s", r.took, strings.TrimSpace(r.err))
}

func TestFailuresAreOneClearLineAnd255(t *testing.T) {
	for _, c := range []struct {
		target string
		words  []string
	}{
		{"nosuch", []string{"nosuch"}},
		{"down", []string{"dial down", "refused"}},
		{"wrongkey", []string{"dial wrongkey", "Permission denied"}},
		{"badsudo", []string{"dial badsudo", "password"}},
		{"nodocker", []string{"dial nodocker", "/nonexistent/docker"}},
		{"local+docker.nosuch", []string{"nosuch"}},
		{"nobody@web1", []string{"nobody", bed.Ann + "@web1"}},
	} {
		t.Run(c.target, func(t *testing.T) {
			r := do(t, b.SSH(c.target+"@gw", "true"))
			oneLine(t, r, c.words...)
			if c.target != "badsudo" && r.took > 3*time.Second { // PAM makes everybody wait after a wrong password
				t.Errorf("took %v", r.took)
			}
			r = do(t, b.SSH("web1@gw", "exit 3"))
			if r.code != 3 {
				t.Errorf("the next connection: exit %d: %s", r.code, r.err)
			}
		})
	}
}

func TestRightSudoPassword(t *testing.T) {
	if r := ok(t, b.SSH("root1@gw", "id -u")); r.out != "0\n" {
		t.Errorf("id -u says %q", r.out)
	}
}

func TestWrongKeyIsRefusedByTheGateway(t *testing.T) {
	r := do(t, b.SSH("-i", b.Path("stranger"), "-o", "IdentityFile="+b.Path("stranger"), "-F", "/dev/null", "-o", "IdentitiesOnly=yes",
		"-o", "UserKnownHostsFile="+b.Path("client_known_hosts"), "-o", "BatchMode=yes", "-p", fmt.Sprint(b.GWPort), "web1@127.0.0.1", "true"))
	oneLine(t, r, "Permission denied (publickey)")
}

func TestChangedHostKey(t *testing.T) {
	state := b.Path("state", "known_hosts")
	old, _ := os.ReadFile(state)
	pub, err := os.ReadFile(b.Path("stranger.pub"))
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(state, []byte(fmt.Sprintf("[127.0.0.1]:%d %s", b.SSHDPort, pub)), 0o600)
	defer os.WriteFile(state, old, 0o600)
	oneLine(t, do(t, b.SSH("fresh1@gw", "true")), "dial fresh1", "host key")
}

// agentPIDs lists the processes of our agents that run as an account.
func agentPIDs(t *testing.T, account string) []string {
	t.Helper()
	out, _ := exec.Command("pgrep", "-u", account, "-f", "^[^ ]*fakessh[^ ]* agent ").Output()
	return strings.Fields(string(out))
}

// bulk starts an endless download and waits until bytes flow.
func bulk(t *testing.T, target string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	cmd := b.SSH(target+"@gw", "exec cat /dev/zero")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1<<20)); err != nil {
		t.Fatalf("no bytes: %v: %s", err, stderr.String())
	}
	go io.Copy(io.Discard, out) // ends with the program
	return cmd, &stderr
}

// endsWith waits for the client's end after a cause.
func endsWith(t *testing.T, cmd *exec.Cmd, stderr *strings.Builder, words ...string) {
	t.Helper()
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Fatalf("the client does not end: %s", stderr.String())
	}
	took := time.Since(start)
	oneLine(t, result{code: cmd.ProcessState.ExitCode(), err: stderr.String(), took: took}, words...)
	if took > 1500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestAgentKilledInMidTransfer(t *testing.T) {
	for _, sig := range []string{"KILL", "TERM"} {
		t.Run(sig, func(t *testing.T) { agentKilled(t, sig) })
	}
}

// Behind agents too a loss names what was lost by the inventory's names, and says why.
func TestAgentKilledOnTheWay(t *testing.T) {
	cmd, stderr := bulk(t, "hop3")
	pids := agentPIDs(t, bed.Bob)
	if len(pids) == 0 {
		t.Fatal("no agent found")
	}
	exec.Command("kill", append([]string{"-KILL"}, pids...)...).Run()
	endsWith(t, cmd, stderr, "lost hop3: lost hop2: the server closed the connection")
	if r := do(t, b.SSH("hop3@gw", "exit 6")); r.code != 6 {
		t.Errorf("the next connection: exit %d: %s", r.code, r.err)
	}
}

func agentKilled(t *testing.T, sig string) {
	cmd, stderr := bulk(t, "web1")
	pids := agentPIDs(t, bed.Ann)
	if len(pids) == 0 {
		t.Fatal("no agent found")
	}
	exec.Command("kill", append([]string{"-" + sig}, pids...)...).Run()
	endsWith(t, cmd, stderr, "lost web1")
	if r := do(t, b.SSH("web1@gw", "exit 6")); r.code != 6 {
		t.Errorf("the next connection: exit %d: %s", r.code, r.err)
	}
	if !bed.Eventually(t.Context(), 5*time.Second, func() bool {
		return exec.Command("pgrep", "-u", bed.Ann, "-x", "cat").Run() != nil
	}) {
		t.Error("the program is still there")
	}
}

func TestLinkCutInMidTransfer(t *testing.T) {
	cmd, stderr := bulk(t, "web1")
	out, _ := exec.Command("pgrep", "-P", fmt.Sprint(b.GatewayPID()), "-x", "ssh").Output()
	exec.Command("kill", append([]string{"-KILL"}, strings.Fields(string(out))...)...).Run()
	endsWith(t, cmd, stderr, "web1")
	if r := do(t, b.SSH("web1@gw", "exit 6")); r.code != 6 {
		t.Errorf("the next connection: exit %d: %s", r.code, r.err)
	}
}

func TestClientKilledLeavesNothing(t *testing.T) {
	cmd, _ := bulk(t, "web2")
	cmd.Process.Kill()
	cmd.Wait()
	if !bed.Eventually(t.Context(), 5*time.Second, func() bool {
		return exec.Command("pgrep", "-u", bed.Bob, "-x", "cat").Run() != nil
	}) {
		t.Error("the program is still there")
	}
}

func TestGatewayStoppedInMidTransfer(t *testing.T) {
	cmd, stderr := bulk(t, "web1")
	syscall.Kill(b.GatewayPID(), syscall.SIGTERM)
	time.AfterFunc(12*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 255 || !strings.Contains(stderr.String(), "shutting down") {
		t.Errorf("exit %d: %q", code, stderr.String())
	}
	if err := b.RestartGateway(); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{bed.Ann, bed.Bob} {
		if !bed.Eventually(t.Context(), 5*time.Second, func() bool { return len(agentPIDs(t, a)) == 0 }) {
			t.Errorf("agents of %s are left", a)
		}
	}
	if r := do(t, b.SSH("web1@gw", "exit 6")); r.code != 6 {
		t.Errorf("the next connection: exit %d: %s", r.code, r.err)
	}
}
