// Package bed is the test bed: real accounts, sshd, sudo and containers on this machine, and a
// gateway in front of them. Tests, the benchmark and the demo share it. It needs root.
package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Accounts of the bed. Ann may sudo with her password, Bob without one.
const (
	Ann         = "fkann"
	AnnPassword = "ann-pw 1"
	Bob         = "fkbob"
	BobPassword = "bob-pw 2"
)

// Bed is what is up. Its fields are valid after the step that names them.
type Bed struct {
	Dir      string // everything of ours is below
	SSHDPort int    // after SSHD
	Docker   string // DOCKER_HOST, after Engine
	GWPort   int    // after Gateway
	Control  string // control socket, after Gateway
	gateway  *exec.Cmd
	undo     []func()
}

// New waits until no other bed is up, and makes a directory of its own in base ("" is the system's temporary one) and the accounts. Close
// takes everything back.
func New(base string) (*Bed, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("the test bed needs root: it makes accounts and starts sshd and containers")
	}
	if base == "" {
		base = os.TempDir()
	}
	b := &Bed{Dir: base}
	steps := []func() error{b.lock, b.directory, b.keys, b.accounts, b.sudoers}
	for _, step := range steps {
		if err := step(); err != nil {
			b.Close()
			return nil, err
		}
	}
	return b, nil
}

// Close undoes every step, last first.
func (b *Bed) Close() {
	for i := len(b.undo) - 1; i >= 0; i-- {
		b.undo[i]()
	}
	b.undo = nil
}

// Path is a file of the bed.
func (b *Bed) Path(name ...string) string { return filepath.Join(append([]string{b.Dir}, name...)...) }

func (b *Bed) write(name, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(b.Path(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(b.Path(name), []byte(text), mode)
}

// run runs a command and puts what it printed into the error.
func run(name string, args ...string) error {
	_, err := output(name, args...)
	return err
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// lock waits until no other bed is up: accounts and containers have fixed names.
func (b *Bed) lock() error {
	f, err := os.OpenFile("/run/fakesshd-testbed.lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	b.undo = append(b.undo, func() { f.Close() })
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}

// directory makes Dir. Those that are there already are of beds that were killed, as this one has the lock.
func (b *Bed) directory() error {
	const prefix = "fakesshd-bed-"
	dead, err := filepath.Glob(filepath.Join(b.Dir, prefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dead {
		if unmountBelow(dir) {
			_ = os.RemoveAll(dir) // what is left of it harms nobody
		}
	}
	if b.Dir, err = os.MkdirTemp(b.Dir, prefix); err != nil {
		return err
	}
	b.undo = append(b.undo, func() { os.RemoveAll(b.Dir) })
	return os.Chmod(b.Dir, 0o755)
}

// keys: one user key, one other key that nobody knows, a host key.
func (b *Bed) keys() error {
	for _, k := range []string{"id", "stranger", "host"} {
		if err := run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", k, "-f", b.Path(k)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bed) accounts() error {
	pub, err := os.ReadFile(b.Path("id.pub"))
	if err != nil {
		return err
	}
	for _, a := range [][2]string{{Ann, AnnPassword}, {Bob, BobPassword}} {
		_ = run("userdel", "-rf", a[0]) // of a run that was killed
		if err := run("useradd", "-m", "-s", "/bin/bash", a[0]); err != nil {
			return err
		}
		b.undo = append(b.undo, func() {
			_ = run("pkill", "-KILL", "-u", a[0])
			_ = run("userdel", "-rf", a[0])
		})
		if err := run("sh", "-c", `printf '%s:%s\n' "$1" "$2" | chpasswd`, "sh", a[0], a[1]); err != nil {
			return err
		}
		if err := b.write("ak/"+a[0], string(pub), 0o644); err != nil {
			return err
		}
	}
	return b.write("ak/root", string(pub), 0o644)
}

// sudoers: Ann with her password, Bob without.
func (b *Bed) sudoers() error {
	file := "/etc/sudoers.d/fakesshd-testbed"
	text := "Defaults:" + Ann + " !lecture\nDefaults:" + Bob + " !lecture\n" +
		Ann + " ALL=(ALL:ALL) ALL\n" + Bob + " ALL=(ALL:ALL) NOPASSWD: ALL\n"
	if err := os.WriteFile(file, []byte(text), 0o440); err != nil {
		return err
	}
	b.undo = append(b.undo, func() { os.Remove(file) })
	return nil
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// WaitPort waits until something accepts on 127.0.0.1:port.
func WaitPort(port int, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("port %d: %w", port, err)
		}
	}
}

// SSHD starts a real sshd for both accounts and root, by key and password, and gives every account the key and
// the host's key, so that each can reach the others.
func (b *Bed) SSHD() error {
	port, err := FreePort()
	if err != nil {
		return err
	}
	b.SSHDPort = port
	conf := fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey %s
PidFile none
AuthorizedKeysFile %s/%%u
StrictModes no
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
PermitRootLogin yes
MaxSessions 500
MaxStartups 300
AllowTcpForwarding yes
AcceptEnv LANG LC_* GIT_PROTOCOL
Subsystem sftp internal-sftp
`, port, b.Path("host"), b.Path("ak"))
	if err := b.write("sshd_config", conf, 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return err
	}
	if err := b.daemon(nil, b.Path("sshd.log"), "/usr/sbin/sshd", "-D", "-f", b.Path("sshd_config"), "-E", b.Path("sshd.log")); err != nil {
		return err
	}
	if err := WaitPort(port, 10*time.Second); err != nil {
		return err
	}
	return b.trust()
}

// trust writes known_hosts and gives each account the key.
func (b *Bed) trust() error {
	host, err := os.ReadFile(b.Path("host.pub"))
	if err != nil {
		return err
	}
	known := fmt.Sprintf("[127.0.0.1]:%d %s", b.SSHDPort, host)
	if err := b.write("known_hosts", known, 0o644); err != nil {
		return err
	}
	for _, a := range []string{Ann, Bob} {
		dir := "/home/" + a + "/.ssh"
		script := `mkdir -p "$1" && cp "$2" "$1/id_ed25519" && cp "$3" "$1/known_hosts" && chown -R "$4:" "$1" && chmod 700 "$1" && chmod 600 "$1"/*`
		if err := run("sh", "-c", script, "sh", dir, b.Path("id"), b.Path("known_hosts"), a); err != nil {
			return err
		}
	}
	return nil
}

// daemon starts a program in its own process group, which Close ends.
func (b *Bed) daemon(env []string, log string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	b.undo = append(b.undo, func() { stop(cmd, 5*time.Second) })
	return nil
}

// stop ends a process group: politely, then by force.
func stop(cmd *exec.Cmd, grace time.Duration) {
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(grace):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-done
	}
}

// Eventually polls until ok says true, or limit has passed.
func Eventually(ctx context.Context, limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}
