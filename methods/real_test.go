package methods_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fakessh/bootstrap"
	"fakessh/methods"
	"fakessh/methods/methodtest"
)

// needRoot skips a test that has to make accounts or become another one. Where CI is set, nothing is skipped.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root")
	}
}

// withRealTool lets a test run beside the others of its kind; they are left out with -short.
func withRealTool(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("uses real tools")
	}
	t.Parallel()
}

// need skips a test that lacks a program.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name)
		}
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what + " is missing")
	}
	t.Skip(what + " is missing")
}

// dial connects with a real tool.
func dial(t *testing.T, method string, params methods.Params) (*methods.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := methods.Dial(ctx, methods.Request{
		Spec:   methods.Spec{Method: method, Params: params},
		Agent:  bootstrap.Config{ID: 7, ParentIDs: []uint32{0}},
		Images: methodtest.Images(t),
	})
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// wantEcho dials, and sends something through and back.
func wantEcho(t *testing.T, method string, params methods.Params) *methods.Conn {
	t.Helper()
	conn, err := dial(t, method, params)
	if err != nil {
		var e *methods.Error
		if errors.As(err, &e) {
			t.Log(strings.Join(e.Tail, "\n"))
		}
		t.Fatal(err)
	}
	sent := []byte("\x00\x03\x04\r\n\x11\x13\x7f\xff~.\n")
	got := make([]byte, len(sent))
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%q came back as %q, %v", sent, got, err)
	}
	return conn
}

// wantError dials and wants that text, within a second of being able to know.
func wantError(t *testing.T, method string, params methods.Params, want string) error {
	t.Helper()
	conn, err := dial(t, method, params)
	if err == nil {
		conn.Close()
		t.Fatalf("Dial gave no error, want %q", want)
	}
	if text, _, _ := strings.Cut(err.Error(), ": Permission denied"); text != want { // ssh's words follow ours
		t.Errorf("Dial gave %q, want %q", err, want)
	}
	return err
}

// account is a unix account of the test's own.
type account struct {
	name, password, home string
	uid, gid             int
}

var accounts struct {
	sync.Mutex
	n int
}

// newAccount makes an account with that login shell.
func newAccount(t *testing.T, shell string) account {
	t.Helper()
	needRoot(t)
	need(t, "useradd", "chpasswd", "userdel")
	accounts.Lock() // they all lock the same files
	defer accounts.Unlock()
	accounts.n++
	acc := account{name: fmt.Sprintf("fkm%d-%d", os.Getpid(), accounts.n), password: "sec ret'$x" + strconv.Itoa(accounts.n)}
	acc.home = filepath.Join("/home", acc.name)
	mustRun(t, nil, "useradd", "-m", "-d", acc.home, "-s", shell, acc.name)
	t.Cleanup(func() {
		accounts.Lock()
		defer accounts.Unlock()
		mustRun(t, nil, "userdel", "-f", "-r", acc.name)
	})
	mustRun(t, strings.NewReader(acc.name+":"+acc.password+"\n"), "chpasswd")
	acc.uid, _ = strconv.Atoi(strings.TrimSpace(mustRun(t, nil, "id", "-u", acc.name)))
	acc.gid, _ = strconv.Atoi(strings.TrimSpace(mustRun(t, nil, "id", "-g", acc.name)))
	return acc
}

func mustRun(t *testing.T, stdin io.Reader, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	var errs strings.Builder
	cmd.Stdin, cmd.Stderr = stdin, &errs
	out, err := cmd.Output()
	if err != nil && !strings.Contains(errs.String(), "mail spool") { // userdel's warning
		t.Fatalf("%q: %v\n%s", argv, err, errs.String())
	}
	return string(out)
}

// sshd is a real server on a port of its own.
type sshd struct {
	port int
	dir  string
	cmd  *exec.Cmd
	log  *syncBuffer
}

// newSSHD starts a server with a fresh host key. Keys of the file ID are let in as anybody.
func newSSHD(t *testing.T, config ...string) *sshd {
	t.Helper()
	needRoot(t)
	const program = "/usr/sbin/sshd"
	need(t, program, "ssh", "ssh-keygen")
	s := &sshd{dir: publicDir(t), log: &syncBuffer{}}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	mustRun(t, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path("host"))
	mustRun(t, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path("id"))
	s.port = freePort(t)
	lines := append(config, "Port "+strconv.Itoa(s.port), "ListenAddress 127.0.0.1", "HostKey "+s.path("host"), "PidFile none",
		"AuthorizedKeysFile "+s.path("id.pub"), "StrictModes no", "UsePAM yes", "PermitRootLogin yes", "LogLevel DEBUG1")
	s.write(t, "config", strings.Join(lines, "\n")+"\n")
	s.cmd = exec.Command(program, "-D", "-e", "-f", s.path("config"))
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	s.await(t)
	return s
}

// publicDir is a temporary directory that every account can look into.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != filepath.Clean(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (s *sshd) path(name string) string { return filepath.Join(s.dir, name) }

func (s *sshd) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.path(name)
}

func (s *sshd) await(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port))
		if err == nil {
			conn.Close()
			return
		}
	}
	t.Fatalf("sshd does not listen:\n%s", s.log)
}

// knownHosts writes a known_hosts file with the key in that file of s.
func (s *sshd) knownHosts(t *testing.T, key string) string {
	t.Helper()
	pub, err := os.ReadFile(s.path(key))
	if err != nil {
		t.Fatal(err)
	}
	return s.write(t, "known_"+key, "# a comment\n\n[127.0.0.1]:"+strconv.Itoa(s.port)+" "+string(pub))
}

// params are those that let root in by key.
func (s *sshd) params(t *testing.T) methods.Params {
	return methods.Params{
		"hostname":          "127.0.0.1",
		"port":              s.port,
		"username":          "root",
		"identity_file":     s.path("id"),
		"ssh_config":        "none",
		"known_hosts_files": []string{s.knownHosts(t, "host.pub")},
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
