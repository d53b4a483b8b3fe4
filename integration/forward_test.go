package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"fakessh/integration/bed"
)

// echoServer answers each connection with what it got, after the peer's EOF, and ends with the test.
func echoServer(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				got, _ := io.ReadAll(c)
				c.Write(append([]byte("got "), got...))
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func TestStdioForwardDialsInsideTheTarget(t *testing.T) {
	port := echoServer(t)
	cmd := b.SSH("-W", fmt.Sprintf("127.0.0.1:%d", port), "web1@gw")
	cmd.Stdin = strings.NewReader("hello")
	if r := ok(t, cmd); r.out != "got hello" {
		t.Errorf("got %q: the half-close is lost", r.out)
	}
	r := do(t, b.SSH("-W", "127.0.0.1:1", "web1@gw"))
	if r.code != 255 || !strings.Contains(r.err, "refused") {
		t.Errorf("exit %d: %q", r.code, r.err)
	}
	cmd = b.SSH("-W", fmt.Sprintf("127.0.0.1:%d", port), "app@gw") // the container has no network
	if r := do(t, cmd); r.code != 255 {
		t.Errorf("the dial did not happen inside: %q", r.out)
	}
}

func TestLocalForward(t *testing.T) {
	port := echoServer(t)
	here, err := bed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cmd := b.SSH("-N", "-L", fmt.Sprintf("127.0.0.1:%d:localhost:%d", here, port), "web1@gw")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if err := bed.WaitPort(here, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", here))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data := bytes.Repeat([]byte("0123456789"), 100000)
	go func() { c.Write(data); c.(*net.TCPConn).CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, append([]byte("got "), data...)) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

func TestOtherClientsLogIn(t *testing.T) {
	dir := t.TempDir()
	port := fmt.Sprint(b.GWPort)
	setup := `ssh-keygen -q -y -f "$1" >/dev/null && puttygen "$1" -o "$2/k.ppk" -O private && dropbearconvert openssh dropbear "$1" "$2/k.db" 2>/dev/null`
	if out, err := exec.Command("sh", "-c", setup, "sh", b.Path("id"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fingerprint := strings.Fields(ok(t, exec.Command("sh", "-c", `ssh-keygen -lf "$0"`, gatewayKey(t))).out)[1]
	paramiko := `
import sys, paramiko
c = paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect("127.0.0.1", int(sys.argv[1]), "web1", key_filename=sys.argv[2], allow_agent=False, look_for_keys=False)
i, o, e = c.exec_command("cat; echo err >&2; exit 7"); i.write(b"in"); i.channel.shutdown_write()
out, err = o.read(), e.read(); code = o.channel.recv_exit_status()
s = c.open_sftp(); f = s.open("/tmp/fk-paramiko", "w"); f.write("x" * 100000); f.close(); n = s.stat("/tmp/fk-paramiko").st_size; s.remove("/tmp/fk-paramiko")
sys.exit(0 if (out, err, code, n) == (b"in", b"err\n", 7, 100000) else repr((out, err, code, n)))`
	for _, c := range []struct {
		name string
		cmd  *exec.Cmd
		code int
	}{
		{"plink", exec.Command("plink", "-batch", "-hostkey", fingerprint, "-i", dir+"/k.ppk", "-P", port, "web1@127.0.0.1", "exit 7"), 7},
		{"dbclient", exec.Command("dbclient", "-y", "-y", "-i", dir+"/k.db", "-p", port, "web1@127.0.0.1", "exit 7"), 7},
		{"paramiko", exec.Command("/usr/bin/python3", "-c", paramiko, port, b.Path("id")), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := do(t, c.cmd); r.code != c.code {
				t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
			}
		})
	}
}

// gatewayKey is a file with the gateway's plain host key.
func gatewayKey(t *testing.T) string {
	t.Helper()
	out := ok(t, exec.Command("ssh-keyscan", "-t", "ed25519", "-p", fmt.Sprint(b.GWPort), "127.0.0.1")).out
	file := t.TempDir() + "/host.pub"
	if err := writeFile(file, out); err != nil {
		t.Fatal(err)
	}
	return file
}
