package integration

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"fakessh/integration/bed"
)

// A connection to a port inside the target, from inside it, ends here: the half-close comes through too.
func TestRemoteForwardBeginsInsideTheTarget(t *testing.T) {
	port := echoServer(t)
	for _, dest := range [][]string{
		{"local@gw"}, {"web1@gw"}, {"root@web2@gw"}, {"hop3@gw"}, {"app@gw"}, {"far@gw"}, {"-J", "gw", bed.Ann + "@web1"}, {"-J", "gw", "root@app"},
	} {
		t.Run(strings.Join(dest, " "), func(t *testing.T) {
			there, err := bed.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			for _, from := range []string{"127.0.0.1", "localhost"} {
				args := append([]string{"-o", "ExitOnForwardFailure=yes", "-R", fmt.Sprintf("%d:127.0.0.1:%d", there, port)}, dest...)
				r := ok(t, b.SSH(append(args, fmt.Sprintf("printf hello | socat -t20 - TCP:%s:%d", from, there))...))
				if r.out != "got hello" {
					t.Errorf("from %s: got %q, %q", from, r.out, r.err)
				}
			}
		})
	}
}

func TestRemoteForwardOfManyConnectionsAtOnce(t *testing.T) { manyConnectionsAtOnce(t, "-R") }

func TestRemoteDynamicForward(t *testing.T) {
	port := echoServer(t)
	there := forwarding(t, "web1@gw", "-R", "%d")
	c, code := socks(t, there, "localhost", port)
	if code != 0 {
		t.Fatalf("reply %d", code)
	}
	if err := exchange(c, []byte("hello")); err != nil {
		t.Error(err)
	}
}

var allocated = regexp.MustCompile(`Allocated port (\d+) for remote forward`)

func TestRemoteForwardOfAnyPort(t *testing.T) {
	port := echoServer(t)
	r := ok(t, b.SSH("-R", fmt.Sprintf("0:127.0.0.1:%d", port), "-R", fmt.Sprintf("0:localhost:%d", port), "web1@gw", "ss -Htln"))
	ports := allocated.FindAllStringSubmatch(r.err, -1)
	if len(ports) != 2 || ports[0][1] == ports[1][1] {
		t.Fatalf("got %q", r.err)
	}
	for _, p := range ports {
		if !strings.Contains(r.out, "127.0.0.1:"+p[1]+" ") || strings.Contains(r.out, "0.0.0.0:"+p[1]+" ") || strings.Contains(r.out, "*:"+p[1]+" ") {
			t.Errorf("port %s is not on loopback:\n%s", p[1], r.out)
		}
	}
}

// A bind address is for sshd's GatewayPorts, which is "no" here.
func TestRemoteForwardIsOnLoopbackAlone(t *testing.T) {
	port := echoServer(t)
	for _, bind := range []string{"*", "0.0.0.0", "", "192.0.2.1"} {
		there, err := bed.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		r := ok(t, b.SSH("-o", "ExitOnForwardFailure=yes", "-R", fmt.Sprintf("%s:%d:127.0.0.1:%d", bind, there, port), "app@gw",
			fmt.Sprintf("ss -Htln; printf x | socat -t20 - TCP:127.0.0.1:%d", there)))
		if !strings.HasSuffix(r.out, "got x") || !strings.Contains(r.out, fmt.Sprintf("127.0.0.1:%d ", there)) || strings.Contains(r.out, fmt.Sprintf("0.0.0.0:%d ", there)) {
			t.Errorf("%q: %s", bind, r.out)
		}
	}
}

func TestRemoteForwardOfUnixSockets(t *testing.T) {
	port, far, here := echoServer(t), farDir(t, "web1"), filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", here)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			got, _ := io.ReadAll(c)
			c.Write(append([]byte("unix "), got...))
			c.Close()
		}
	}()
	there, err := bed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	r := ok(t, b.SSH("-o", "ExitOnForwardFailure=yes", "-R", fmt.Sprintf("%s/a:127.0.0.1:%d", far, port), "-R", far+"/b:"+here,
		"-R", fmt.Sprintf("%d:%s", there, here), "web1@gw", fmt.Sprintf(
			"cd %s; stat -c '%%A %%U' a b; printf 1 | socat -t20 - UNIX:a; printf 2 | socat -t20 - UNIX:b; printf 3 | socat -t20 - TCP:127.0.0.1:%d", far, there)))
	want := strings.Repeat("srw------- "+bed.Ann+"\n", 2) + "got 1unix 2unix 3"
	if r.out != want {
		t.Errorf("got %q, want %q: %s", r.out, want, r.err)
	}
	if !bed.Eventually(t.Context(), 10*time.Second, func() bool { return ok(t, b.SSH("web1@gw", "ls "+far)).out == "" }) {
		t.Error("the sockets are left")
	}
	// What is there already is not taken away.
	ok(t, b.SSH("web1@gw", "echo mine >"+far+"/a"))
	r = do(t, b.SSH("-o", "ExitOnForwardFailure=yes", "-R", fmt.Sprintf("%s/a:127.0.0.1:%d", far, port), "web1@gw", "true"))
	if r.code != 255 || !strings.Contains(r.err, "remote port forwarding failed for listen path "+far+"/a") {
		t.Errorf("exit %d, %q", r.code, r.err)
	}
	if r := ok(t, b.SSH("web1@gw", "cat "+far+"/a")); r.out != "mine\n" {
		t.Errorf("got %q", r.out)
	}
}

func TestRemoteForwardThatCannotBe(t *testing.T) {
	port := echoServer(t) // taken
	for name, args := range map[string][]string{
		"a port that is taken":     {"-R", fmt.Sprintf("%d:127.0.0.1:1", port), "web1@gw"},
		"a port of root's":         {"-R", "77:127.0.0.1:1", "web1@gw"},
		"no target":                {"-R", "0:127.0.0.1:1", "gw"},
		"a target that is down":    {"-R", "0:127.0.0.1:1", "down@gw"},
		"policy":                   {"-R", "0:127.0.0.1:1", "sec@gw"},
		"policy, a virtual host":   {"-R", "0:127.0.0.1:1", "-J", "gw", bed.Ann + "@sec"},
		"a directory that is none": {"-R", "/nonexistent/s:127.0.0.1:1", "web1@gw"},
	} {
		r := do(t, b.SSH(append([]string{"-N", "-o", "ExitOnForwardFailure=yes"}, args...)...))
		if r.code != 255 || !strings.Contains(r.err, "remote port forwarding failed for listen p") {
			t.Errorf("%s: exit %d, %q", name, r.code, r.err)
		}
	}
	// Without the option it is a warning, and the session goes on.
	if r := do(t, b.SSH("-R", "0:127.0.0.1:1", "sec@gw", "exit 3")); r.code != 3 || !strings.Contains(r.err, "remote port forwarding failed") {
		t.Errorf("exit %d, %q", r.code, r.err)
	}
	log, err := os.ReadFile(b.Path("state", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`"event":"forward".*"action":"forward_remote","target":"sec".*"dest_host":"localhost".*"allow":false`).Match(log) {
		t.Error("the refusal is not on record")
	}
}

// refused waits until nobody accepts on a port any more.
func refused(t *testing.T, port int) {
	t.Helper()
	if !bed.Eventually(t.Context(), 10*time.Second, func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err != nil
	}) {
		t.Errorf("port %d: somebody still listens", port)
	}
}

func TestRemoteForwardEndsWithItsClient(t *testing.T) {
	port := echoServer(t)
	there, err := bed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cmd := b.SSH("-N", "-R", fmt.Sprintf("%d:127.0.0.1:%d", there, port), "web1@gw")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := bed.WaitPort(there, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	c := dial(t, there)
	c.Write([]byte("begun"))
	cmd.Process.Kill()
	cmd.Wait()
	if got, err := io.ReadAll(c); string(got) == "got begun" {
		t.Errorf("%q, %v", got, err)
	}
	refused(t, there)
}

// A client that is there for its forward alone hears of the end of the target, as it would from the target's own sshd.
func TestClientOfALostRemoteForwardIsDisconnected(t *testing.T) {
	cmd := b.SSH("-N", "-R", "0:127.0.0.1:1", "web1@gw")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if line := make([]byte, 256); true {
		n, err := stderr.Read(line)
		if err != nil || !allocated.Match(line[:n]) {
			t.Fatalf("%q, %v", line[:n], err)
		}
	}
	exec.Command("kill", append([]string{"-KILL"}, agentPIDs(t, bed.Ann)...)...).Run()
	text, _ := io.ReadAll(stderr)
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 255 {
		t.Errorf("exit %d, %q", cmd.ProcessState.ExitCode(), text)
	}
}

// sshAgent starts an ssh-agent with the bed's key, and returns its environment.
func sshAgent(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	env := append(os.Environ(), "SSH_AUTH_SOCK="+path)
	if !bed.Eventually(t.Context(), 10*time.Second, func() bool { _, err := os.Stat(path); return err == nil }) {
		t.Fatal("ssh-agent does not start")
	}
	add := exec.Command("ssh-add", "-q", b.Path("id"))
	add.Env = env
	ok(t, add)
	return env
}

func TestAgentForwarding(t *testing.T) {
	env := sshAgent(t)
	run := func(args ...string) result {
		cmd := b.SSH(args...)
		cmd.Env = env
		return do(t, cmd)
	}
	add := exec.Command("ssh-add", "-l")
	add.Env = env
	keys := ok(t, add).out
	for _, dest := range [][]string{
		{"local@gw"}, {"web1@gw"}, {"root@web2@gw"}, {"hop3@gw"}, {"app@gw"}, {"-tt", "web1@gw"}, {"-J", "gw", bed.Ann + "@web1"},
	} {
		r := run(append(append([]string{"-A"}, dest...), "ssh-add -l")...)
		if strings.ReplaceAll(r.out, "\r\n", "\n") != keys || r.code != 0 {
			t.Errorf("%q: exit %d, %q, %q", dest, r.code, r.out, r.err)
		}
	}
	// A login from there on, with no key but the agent's, and the agent's agent.
	hop := fmt.Sprintf("ssh -A -F none -o IdentityFile=none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -p %d %s@127.0.0.1 ",
		b.SSHDPort, bed.Bob)
	if r := run("-A", "web1@gw", hop+"'id -un; ssh-add -l'"); r.out != bed.Bob+"\n"+keys {
		t.Errorf("chained: exit %d, %q, %q", r.code, r.out, r.err)
	}
	// The socket is the account's own, and goes with the session.
	r := run("-A", "web1@gw", `echo $SSH_AUTH_SOCK; stat -c '%a %U' "$SSH_AUTH_SOCK" "${SSH_AUTH_SOCK%/*}"`)
	lines := strings.Split(r.out, "\n")
	if len(lines) != 4 || lines[1] != "600 "+bed.Ann || lines[2] != "700 "+bed.Ann {
		t.Fatalf("got %q", r.out)
	}
	if !bed.Eventually(t.Context(), 10*time.Second, func() bool { _, err := os.Stat(filepath.Dir(lines[0])); return err != nil }) {
		t.Error("the socket is left")
	}
	for _, args := range [][]string{{"web1@gw"}, {"-A", "sec@gw"}} { // not asked for; not allowed
		if r := run(append(args, `echo "<$SSH_AUTH_SOCK>"`)...); r.out != "<>\n" || r.code != 0 {
			t.Errorf("%q: %q, %q", args, r.out, r.err)
		}
	}
	if r := run("-A", "-s", "web1@gw", "sftp"); r.code != 0 { // no program that could use it
		t.Errorf("sftp: exit %d, %q", r.code, r.err)
	}
}

// Connections that come at once wait for each other at most.
func TestAgentForwardingForManyAtOnce(t *testing.T) {
	env := sshAgent(t)
	cmd := b.SSH("-A", "web1@gw", "for i in $(seq 100); do ssh-add -l >/dev/null & done; wait; for i in $(seq 20); do ssh-add -l || exit 1; done | sort -u | wc -l")
	cmd.Env = env
	if r := ok(t, cmd); r.out != "1\n" {
		t.Errorf("got %q, %q", r.out, r.err)
	}
}
