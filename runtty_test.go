//go:build linux

package fakessh_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"fakessh"
	"fakessh/bootstrap"
)

// runHere marks a copy of the test binary that is to run its arguments in a tree of its own, like `fakesshd run local`.
const runHere = "FAKESSH_TEST_RUN"

func init() {
	if os.Getenv(runHere) == "" || len(os.Args) < 2 || os.Args[0] != runHere {
		return
	}
	os.Exit(runAsProgram(os.Args[1:]))
}

func runAsProgram(argv []string) int {
	os.Unsetenv(runHere)
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	images, err := bootstrap.NewImages(nil, self)
	if err != nil {
		panic(err)
	}
	tree, err := fakessh.NewTree(fakessh.Config{Images: images})
	if err != nil {
		panic(err)
	}
	defer tree.Close()
	exit, err := tree.Run(context.Background(), "local", argv, fakessh.ForwardSignals())
	if err != nil {
		panic(err)
	}
	return exit
}

// runCommand is the command line of such a copy.
func runCommand(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &exec.Cmd{Path: self, Args: append([]string{runHere}, argv...), Env: append(os.Environ(), runHere+"=1", "TERM=xterm-test", "PS1=$ ", "ENV=", "TMPDIR="+shortDir(t))}
}

// console is a program on a terminal of its own, and what it has shown.
type console struct {
	t    *testing.T
	tty  *os.File // the master
	cmd  *exec.Cmd
	mu   sync.Mutex
	seen []byte
	news chan struct{}
}

func startConsole(t *testing.T, cmd *exec.Cmd) *console {
	t.Helper()
	if testing.Short() {
		t.Skip("starts agents")
	}
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 90})
	if err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, tty: tty, cmd: cmd, news: make(chan struct{}, 1)}
	go c.read() // ends with the terminal
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGHUP) // ends what is on the terminal, in order
		timer := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait()
		tty.Close()
	})
	return c
}

func (c *console) read() {
	buf := make([]byte, 4096)
	for {
		n, err := c.tty.Read(buf)
		c.mu.Lock()
		c.seen = append(c.seen, buf[:n]...)
		c.mu.Unlock()
		select {
		case c.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// expect waits until text has been shown, and forgets everything up to it.
func (c *console) expect(text string) string {
	c.t.Helper()
	timeout := time.After(15 * time.Second)
	for {
		c.mu.Lock()
		if i := bytes.Index(c.seen, []byte(text)); i >= 0 {
			before := string(c.seen[:i])
			c.seen = c.seen[i+len(text):]
			c.mu.Unlock()
			return before
		}
		seen := string(c.seen)
		c.mu.Unlock()
		select {
		case <-c.news:
		case <-timeout:
			c.t.Fatalf("no %q; shown: %q", text, seen)
		}
	}
}

func (c *console) typed(text string) {
	c.t.Helper()
	if _, err := c.tty.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

// wait waits for the program's end.
func (c *console) wait() int {
	c.t.Helper()
	timer := time.AfterFunc(15*time.Second, func() { c.cmd.Process.Kill() })
	defer timer.Stop()
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

func (c *console) modes() unix.Termios {
	c.t.Helper()
	raw, err := c.tty.SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	var m *unix.Termios
	if e := raw.Control(func(fd uintptr) { m, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); e != nil || err != nil {
		c.t.Fatal(e, err)
	}
	return *m
}

func TestTerminalSession(t *testing.T) {
	c := startConsole(t, runCommand(t, "ssh", "-t", "web", "exec env PS1='$ ' sh -i"))
	before := c.modes()
	c.expect("$ ")
	if c.modes() == before {
		t.Error("the terminal is not raw")
	}
	c.typed("stty size; echo $TERM; tty -s && echo is a tty\r")
	c.expect("30 90\r\n")
	c.expect("xterm-test\r\n")
	c.expect("is a tty\r\n")
	if err := pty.Setsize(c.tty, &pty.Winsize{Rows: 40, Cols: 120}); err != nil {
		t.Fatal(err)
	}
	c.expect("$ ")
	c.typed("until stty size | grep -x '40 120'; do sleep 0.05; done\r")
	c.expect("\r\n40 120\r\n")
	c.expect("$ ")
	c.typed("sh -c 'echo sta\"\"rt; exec sleep 1000'\r")
	c.expect("start\r\n")
	c.typed("\x03")
	c.expect("$ ")
	c.typed("echo status=$?\r")
	c.expect("status=130")
	c.typed("exit 6\r")
	c.expect("Connection to web closed.")
	if exit := c.wait(); exit != 6 {
		t.Errorf("exit %d", exit)
	}
}

// The terminal is as it was found, however the session ends.
func TestTerminalIsRestored(t *testing.T) {
	ends := map[string]func(c *console, ssh string){
		"exit":       func(c *console, _ string) { c.typed("exit\r") },
		"disconnect": func(c *console, _ string) { c.typed("\r~.") },
		"TERM":       func(c *console, pid string) { kill(c.t, pid, syscall.SIGTERM) },
		"HUP":        func(c *console, pid string) { kill(c.t, pid, syscall.SIGHUP) },
		"run killed": func(c *console, _ string) { c.cmd.Process.Kill() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inner := runCommand(t, "sh", "-c", `sh -c 'echo pid $$.; exec ssh -tt web "exec env PS1=\"$ \" sh -i"'; exec sleep 1000`)
			c := startConsole(t, inner)
			c.expect("pid ")
			pid := c.expect(".")
			before := c.modes()
			c.expect("$ ")
			if c.modes() == before {
				t.Error("the terminal is not raw")
			}
			end(c, pid)
			eventually(t, "the terminal is restored", func() bool { return c.modes() == before })
		})
	}
}

func kill(t *testing.T, pid string, sig syscall.Signal) {
	t.Helper()
	if out, err := exec.Command("kill", "-"+strings.TrimPrefix(unix.SignalName(sig), "SIG"), pid).CombinedOutput(); err != nil {
		t.Fatalf("kill %s: %s", pid, out)
	}
}

func TestTerminalAsStdinOfAPlainCommand(t *testing.T) {
	c := startConsole(t, runCommand(t, "ssh", "web", "read line; echo \"got $line\"; cat; echo end; exit 3"))
	before := c.modes()
	c.typed("one\r")
	c.expect("got one\r\n") // the terminal itself turns \n into \r\n: it is not raw
	c.typed("two\r\x04")
	c.expect("two\r\ntwo\r\nend\r\n")
	if c.modes() != before {
		t.Error("the terminal's modes have changed")
	}
	if exit := c.wait(); exit != 3 {
		t.Errorf("exit %d", exit)
	}
}

func TestTerminalInterruptsARun(t *testing.T) {
	c := startConsole(t, runCommand(t, "ssh", "web", "echo started; exec sleep 1000"))
	c.expect("started\r\n")
	c.typed("\x03")
	if exit := c.wait(); exit != 255 {
		t.Errorf("exit %d", exit)
	}
}

func TestTerminalSuspend(t *testing.T) {
	need(t, "bash")
	run := runCommand(t, "ssh", "-t", "web", "exec env PS1='remote> ' sh -i")
	bash := exec.Command("bash", "--norc", "--noprofile", "-i")
	bash.Env = append(run.Env, "PS1=local> ", "RUN="+run.Path)
	c := startConsole(t, bash)
	c.expect("local> ")
	c.typed("(exec -a " + runHere + " \"$RUN\" ssh -t web \"exec env PS1='remote> ' sh -i\")\r")
	c.expect("sh -i")
	c.expect("remote> ")
	c.typed("\r~\x1a")
	c.expect("Stopped")
	c.expect("local> ")
	c.typed("echo in''side bash\r")
	c.expect("inside bash\r\n")
	c.typed("fg\r")
	c.expect("fg\r\n")
	c.typed("echo ba''ck\r")
	c.expect("back\r\n")
	c.typed("exit 5\r")
	c.expect("local> ")
	c.typed("echo status=$?\r")
	c.expect("status=5\r\n")
}
