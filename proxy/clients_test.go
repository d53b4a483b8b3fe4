package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Other clients than OpenSSH choose other ciphers, wait for other things and write other requests.

func TestDropbear(t *testing.T) {
	g := startGateway(t)
	key := filepath.Join(g.dir, "dropbear")
	if got := run(t, tool(t, "dropbearkey", "-t", "ed25519", "-f", key)); got.status != 0 {
		t.Fatalf("dropbearkey: %+v", got)
	}
	public := run(t, tool(t, "dropbearkey", "-y", "-f", key)).stdout
	g.trust(t, public)
	cmd := tool(t, "dbclient", "-y", "-y", "-i", key, "-p", g.port(), "web1@127.0.0.1", "cat; exit 6")
	cmd.Stdin = strings.NewReader("text")
	if got := run(t, cmd); got.stdout != "text" || got.status != 6 {
		t.Errorf("got %+v", got)
	}
}

// trust gives the public key in an authorized_keys line to alice, before anybody logs in.
func (g *gateway) trust(t *testing.T, line string) {
	for l := range strings.Lines(line) {
		if key, err := parseLine(l); err == nil {
			g.auth.add(key, "alice")
			return
		}
	}
	t.Fatalf("no key in %q", line)
}

func TestPutty(t *testing.T) {
	g := startGateway(t)
	key := filepath.Join(g.dir, "putty.ppk")
	if got := run(t, tool(t, "puttygen", filepath.Join(g.dir, "id"), "-O", "private", "-o", key, "--new-passphrase", os.DevNull)); got.status != 0 {
		t.Fatalf("puttygen: %+v", got)
	}
	fingerprint := run(t, tool(t, "ssh-keygen", "-lf", g.write("host.pub", authorizedLine(g.hostKey.PublicKey())))).stdout
	cmd := tool(t, "plink", "-batch", "-ssh", "-i", key, "-hostkey", strings.Fields(fingerprint)[1], "-P", g.port(), "-l", "web1", "127.0.0.1", "cat; exit 6")
	cmd.Env = append(cmd.Env, "HOME="+g.dir)
	cmd.Stdin = strings.NewReader("text")
	if got := run(t, cmd); got.stdout != "text" || got.status != 6 {
		t.Errorf("got %+v", got)
	}
}

func TestParamiko(t *testing.T) {
	g := startGateway(t)
	script := g.write("client.py", `
import os, sys, paramiko
c = paramiko.SSHClient()
c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
key = paramiko.Ed25519Key.from_private_key_file(sys.argv[2])
c.connect("127.0.0.1", int(sys.argv[1]), "web1", pkey=key, allow_agent=False, look_for_keys=False)
i, o, e = c.exec_command("cat; echo err >&2; exit 6")
i.write("text")
i.channel.shutdown_write()
assert o.read() == b"text" and e.read() == b"err\n" and o.channel.recv_exit_status() == 6
s = c.open_sftp()
with s.open(sys.argv[3], "wb") as f:
    f.write(b"x" * 300000)
assert s.stat(sys.argv[3]).st_size == 300000
c.close()
print("fine")
`)
	if run(t, tool(t, "/usr/bin/python3", "-c", "import paramiko")).status != 0 {
		tool(t, "paramiko") // fails or skips
	}
	got := run(t, tool(t, "/usr/bin/python3", "-W", "ignore", script, g.port(), filepath.Join(g.dir, "id"), filepath.Join(g.dir, "copy")))
	if got.stdout != "fine\n" {
		t.Errorf("got %+v", got)
	}
}
