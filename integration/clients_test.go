package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// tool finds a program of Debian's. Without it a test is skipped, except where CI is set.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed: see setup.sh", name)
		}
		t.Skipf("%s is not installed: see setup.sh", name)
	}
	return path
}

// python is the system's, which has what Debian packages for it.
func python(t *testing.T, module string) string {
	t.Helper()
	path := tool(t, "/usr/bin/python3")
	if exec.Command(path, "-W", "ignore", "-c", "import "+module).Run() != nil {
		tool(t, "python3-"+module) // there is no such program: skips or fails
	}
	return path
}

// client is another program than OpenSSH's that logs in: with its own key format, and its own way to know the gateway's key.
type client struct {
	t           *testing.T
	dir         string // of its own
	port        string
	fingerprint string // of the gateway's key, "SHA256:…"
	file        string // to be transferred
	far         string // a directory at the target
}

func newClient(t *testing.T) *client {
	c := &client{t: t, dir: t.TempDir(), port: fmt.Sprint(b.GWPort), far: farDir(t, "web1")}
	c.fingerprint = strings.Fields(ok(t, exec.Command("ssh-keygen", "-lf", gatewayKey(t))).out)[1]
	c.file = filepath.Join(c.dir, "file")
	writeRandom(t, c.file, 3<<20+17)
	return c
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

func (c *client) path(name string) string { return filepath.Join(c.dir, name) }

// text writes a file in which words of the form DIR, FAR, FILE, PORT, KEY and CONFIG are replaced.
func (c *client) text(name, text string) string {
	c.t.Helper()
	text = strings.NewReplacer("DIR", c.dir, "FAR", c.far, "FILE", c.file, "PORT", c.port, "KEY", b.Path("id"),
		"CONFIG", b.Path("ssh_config")).Replace(text)
	if err := writeFile(c.path(name), text); err != nil {
		c.t.Fatal(err)
	}
	return c.path(name)
}

// came checks that what the client fetched is what it had sent.
func (c *client) came(name string) {
	c.t.Helper()
	sameFile(c.t, c.file, c.path(name))
}

// ppk is the key as PuTTY's tools want it, with the options that all of them take.
func (c *client) ppk() []string {
	c.t.Helper()
	ok(c.t, exec.Command(tool(c.t, "puttygen"), b.Path("id"), "-O", "private", "-o", c.path("k.ppk"), "--new-passphrase", os.DevNull))
	return []string{"-batch", "-hostkey", c.fingerprint, "-i", c.path("k.ppk"), "-P", c.port}
}

func TestOtherClientsLogInAndTransfer(t *testing.T) {
	for name, use := range map[string]func(*client){
		"plink": (*client).plink, "psftp": (*client).psftp, "pscp": (*client).pscp, "dbclient": (*client).dbclient,
		"paramiko": (*client).paramiko, "asyncssh": (*client).asyncssh, "curl": (*client).curl, "sshfs": (*client).sshfs,
		"lftp": (*client).lftp, "rclone": (*client).rclone,
	} {
		t.Run(name, func(t *testing.T) { use(newClient(t)) })
	}
}

// exits7 runs a client whose remote command echoes its input and exits with 7.
func (c *client) exits7(cmd *exec.Cmd) {
	c.t.Helper()
	cmd.Stdin = strings.NewReader("text")
	if r := do(c.t, cmd); r.code != 7 || r.out != "text" {
		c.t.Errorf("exit %d, %q: %s", r.code, r.out, r.err)
	}
}

func (c *client) plink() {
	c.exits7(exec.Command(tool(c.t, "plink"), append(c.ppk(), "web1@127.0.0.1", "cat; exit 7")...))
}

func (c *client) psftp() {
	batch := c.text("batch", "put FILE FAR/a\nmkdir FAR/d\nmv FAR/a FAR/d/b\nget FAR/d/b DIR/back\nrm FAR/d/b\nrmdir FAR/d\n")
	ok(c.t, exec.Command(tool(c.t, "psftp"), append(c.ppk(), "-b", batch, "web1@127.0.0.1")...))
	c.came("back")
}

func (c *client) pscp() {
	for _, protocol := range []string{"-sftp", "-scp"} {
		options := append(c.ppk(), "-q", "-l", "web1", protocol)
		ok(c.t, exec.Command(tool(c.t, "pscp"), append(options, c.file, "127.0.0.1:"+c.far+"/a")...))
		ok(c.t, exec.Command("pscp", append(options, "127.0.0.1:"+c.far+"/a", c.path("back"+protocol))...))
		c.came("back" + protocol)
	}
}

func (c *client) dbclient() {
	key := c.path("key")
	ok(c.t, exec.Command(tool(c.t, "dropbearconvert"), "openssh", "dropbear", b.Path("id"), key))
	c.exits7(exec.Command(tool(c.t, "dbclient"), "-y", "-y", "-i", key, "-p", c.port, "web1@127.0.0.1", "cat; exit 7"))
}

func (c *client) paramiko() {
	script := c.text("client.py", `
import paramiko
c = paramiko.SSHClient()
c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect("127.0.0.1", PORT, "web1", key_filename="KEY", allow_agent=False, look_for_keys=False)
i, o, e = c.exec_command("cat; echo err >&2; exit 7")
i.write(b"in")
i.channel.shutdown_write()
assert (o.read(), e.read(), o.channel.recv_exit_status()) == (b"in", b"err\n", 7)
s = c.open_sftp()
s.put("FILE", "FAR/a")
s.symlink("a", "FAR/link")
assert s.readlink("FAR/link") == "a"
s.get("FAR/link", "DIR/back")
c.close()
`)
	ok(c.t, exec.Command(python(c.t, "paramiko"), "-W", "ignore", script))
	c.came("back")
}

func (c *client) asyncssh() {
	port := echoServer(c.t)
	script := c.text("client.py", fmt.Sprintf(`
import asyncio, asyncssh
async def main():
    async with asyncssh.connect("127.0.0.1", port=PORT, username="web1", client_keys=["KEY"], known_hosts=None, config=None, agent_path=None) as c:
        r = await c.run("cat; echo err >&2; exit 7", input="in")
        assert (r.stdout, r.stderr, r.exit_status) == ("in", "err\n", 7), r
        async with c.start_sftp_client() as s:
            await s.put("FILE", "FAR/a")
            await s.symlink("a", "FAR/link")
            assert await s.readlink("FAR/link") == "a"
            await s.get("FAR/link", "DIR/back", follow_symlinks=True)
        reader, writer = await c.open_connection("127.0.0.1", %d)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"got hello"
asyncio.run(main())
`, port))
	ok(c.t, exec.Command(python(c.t, "asyncssh"), "-W", "ignore", script))
	c.came("back")
}

func (c *client) curl() {
	path := tool(c.t, "curl")
	if out, _ := exec.Command(path, "-V").Output(); !strings.Contains(string(out), "libssh2") {
		tool(c.t, "curl with libssh2")
	}
	options := []string{"-sS", "-u", "web1:", "--key", b.Path("id"), "--pubkey", b.Path("id.pub"),
		"--hostpubsha256", strings.TrimPrefix(c.fingerprint, "SHA256:")}
	for _, scheme := range []string{"sftp", "scp"} {
		url := scheme + "://127.0.0.1:" + c.port + c.far + "/" + scheme
		ok(c.t, exec.Command(path, append(options, "-T", c.file, url)...))
		ok(c.t, exec.Command(path, append(options, "-o", c.path(scheme), url)...))
		c.came(scheme)
	}
}

func (c *client) sshfs() {
	path := tool(c.t, "sshfs")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		c.t.Skip("no /dev/fuse here")
	}
	mnt := c.path("mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		c.t.Fatal(err)
	}
	ok(c.t, exec.Command(path, "-F", b.Path("ssh_config"), "web1@gw:"+c.far, mnt))
	defer ok(c.t, exec.Command("fusermount3", "-u", mnt))
	ok(c.t, exec.Command("sh", "-ec", `cp "$0" "$1/a"; mkdir "$1/d"; mv "$1/a" "$1/d/b"; ln -s b "$1/d/link"; cp "$1/d/link" "$2"`, c.file, mnt, c.path("back")))
	c.came("back")
}

func (c *client) lftp() {
	script := c.text("script", `set sftp:connect-program "ssh -a -x -F CONFIG"
set cmd:fail-exit yes
open sftp://web1:none@gw
put FILE -o FAR/a
get FAR/a -o DIR/back
mirror FAR DIR/mirror
bye
`)
	ok(c.t, exec.Command(tool(c.t, "lftp"), "-f", script))
	c.came("back")
	c.came("mirror/a")
}

func (c *client) rclone() {
	src := c.path("src")
	for i := range 30 {
		os.MkdirAll(filepath.Join(src, fmt.Sprint("d", i%3)), 0o755)
		writeRandom(c.t, filepath.Join(src, fmt.Sprint("d", i%3), fmt.Sprint(i)), int64(i*10000))
	}
	remote := fmt.Sprintf(":sftp,host=127.0.0.1,port=%s,user=web1,key_file=%s:%s/copy", c.port, b.Path("id"), c.far)
	for _, args := range [][]string{{"copy", src, remote}, {"check", src, remote}, {"copy", remote, c.path("back")}} {
		ok(c.t, exec.Command(tool(c.t, "rclone"), append([]string{"--config", "", "-q"}, args...)...))
	}
	ok(c.t, exec.Command("diff", "-r", src, c.path("back")))
}

// A master carries many sessions at once, with input, both outputs and the exit of each its own.
func TestThirtySessionsOfOneMaster(t *testing.T) {
	for _, dest := range []string{"web1@gw", "app@gw"} {
		socket := filepath.Join(t.TempDir(), "m")
		master := b.SSH("-o", "ControlPath="+socket, "-o", "ControlMaster=yes", "-N", dest)
		if err := master.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { master.Process.Kill(); master.Wait() }()
		waitFile(t, socket)
		var wg sync.WaitGroup
		for i := range 30 {
			cmd := b.SSH("-o", "ControlPath="+socket, dest, fmt.Sprintf("cat; echo err %d >&2; exit %d", i, i))
			cmd.Stdin = strings.NewReader(strings.Repeat(fmt.Sprintln(i), 20000))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			wg.Go(func() {
				out, _ := cmd.Output()
				if code := cmd.ProcessState.ExitCode(); code != i || string(out) != strings.Repeat(fmt.Sprintln(i), 20000) || stderr.String() != fmt.Sprintf("err %d\n", i) {
					t.Errorf("session %d: exit %d, %d bytes, %q", i, code, len(out), stderr.String())
				}
			})
		}
		wg.Wait()
	}
}

func TestAnsible(t *testing.T) {
	c := newClient(t)
	hosts := c.text("hosts", `[all:vars]
ansible_python_interpreter=/usr/bin/python3
[all]
web1 ansible_host=gw ansible_user=web1
jumped ansible_host=web2 ansible_user=root ansible_ssh_common_args="-F CONFIG -J gw"
app ansible_host=gw ansible_user=app
`)
	play := c.text("play.yml", `- hosts: all
  tasks:
    - tempfile: {state: directory}
      register: dir
    - copy: {content: "for {{ inventory_hostname }}\n", dest: "{{ dir.path }}/text", mode: "0640"}
    - copy: {src: FILE, dest: "{{ dir.path }}/file"}
    - command: cat {{ dir.path }}/text
      register: out
    - stat: {path: "{{ dir.path }}/file"}
      register: stat
    - assert: {that: ["out.stdout == 'for ' ~ inventory_hostname", "stat.stat.size == 3145745"]}
    - fetch: {src: "{{ dir.path }}/file", dest: "DIR/fetched-{{ inventory_hostname }}", flat: true}
    - shell: exit 3
      register: sh
      failed_when: sh.rc != 3
    - file: {path: "{{ dir.path }}", state: absent}
`)
	for _, pipelining := range []string{"False", "True"} {
		t.Run("pipelining="+pipelining, func(t *testing.T) {
			run := func(name string, args ...string) result {
				cmd := exec.Command(tool(t, name), append([]string{"-i", hosts}, args...)...)
				cmd.Env = append(os.Environ(), "ANSIBLE_CONFIG="+c.text("ansible.cfg", ""), "ANSIBLE_HOME="+c.path("home"),
					"ANSIBLE_PIPELINING="+pipelining, "ANSIBLE_SSH_COMMON_ARGS=-F "+b.Path("ssh_config"),
					"ANSIBLE_SSH_CONTROL_PATH_DIR="+b.Path("cp"), "ANSIBLE_SSH_ARGS=-o ControlMaster=auto -o ControlPersist=2s", "LC_ALL=C.UTF-8")
				return ok(t, cmd)
			}
			if r := run("ansible", "all", "-m", "ping"); strings.Count(r.out, `"ping": "pong"`) != 3 {
				t.Errorf("ping: %s", r.out)
			}
			run("ansible-playbook", play)
			for _, host := range []string{"web1", "jumped", "app"} {
				c.came("fetched-" + host)
			}
		})
	}
}
