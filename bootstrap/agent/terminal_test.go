package agent

import (
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap/agent/session"
)

func onPTY(command string) session.Spec {
	spec := sh(command)
	spec.PTY = &session.PTY{Term: "vt100", Size: session.Size{Columns: 80, Rows: 24, Width: 800, Height: 480}}
	return spec
}

func TestTerminal(t *testing.T) {
	w := newWorld(t)
	got := w.run(onPTY(`tty; stty size; echo $SSH_TTY $TERM; stat -c %a $(tty); echo err >&2; exit 3`), "")
	lines := strings.Split(strings.ReplaceAll(got.stdout, "\r\n", "\n"), "\n")
	if len(lines) != 6 || got.stderr != "" || got.exit.Status != 3 {
		t.Fatalf("got %+v", got)
	}
	if !strings.HasPrefix(lines[0], "/dev/") || lines[2] != lines[0]+" vt100" {
		t.Errorf("tty %q, SSH_TTY and TERM %q", lines[0], lines[2])
	}
	if lines[1] != "24 80" || lines[4] != "err" {
		t.Errorf("got %q", lines)
	}
	if os.Geteuid() == 0 && lines[3] != "620" { // others get what devpts was mounted with
		t.Errorf("mode %s", lines[3])
	}
}

func TestTerminalModes(t *testing.T) {
	w := newWorld(t)
	spec := onPTY("stty -a")
	spec.PTY.Modes = encodeModes(terminalMode{53, 0}, terminalMode{3, 8}, terminalMode{70, 0}, terminalMode{129, 19200}, terminalMode{128, 19200})
	got := w.run(spec, "")
	for _, want := range []string{"-echo ", "erase = ^H", "-opost", "speed 19200 baud"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("stty lacks %q:\n%s", want, got.stdout)
		}
	}
}

func TestResize(t *testing.T) {
	w := newWorld(t)
	c := w.start(onPTY(`trap 'stty size; exit' WINCH; stty -echo; echo ready; while :; do sleep 0.01; done`))
	readLine(t, c, "ready")
	if err := c.Resize(session.Size{Columns: 132, Rows: 1 << 20, Width: 5, Height: 6}); err != nil {
		t.Fatal(err)
	}
	readLine(t, c, "65535 132")
	if got := collect(t, c); got.exit.Status != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestPixelSizes(t *testing.T) {
	term, err := openTerminal(&session.PTY{Size: session.Size{Columns: 1, Rows: 2, Width: 3, Height: 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer term.close()
	ws, err := unix.IoctlGetWinsize(int(term.slave.Fd()), unix.TIOCGWINSZ)
	if err != nil || *ws != (unix.Winsize{Col: 1, Row: 2, Xpixel: 3, Ypixel: 4}) {
		t.Errorf("got %+v, %v", ws, err)
	}
	if err := term.sendBreak(); err != nil {
		t.Errorf("break: %v", err)
	}
}

func TestInterruptKeyReachesTheForeground(t *testing.T) {
	w := newWorld(t)
	c := w.start(onPTY(`stty -echo; echo ready; exec sleep 100`))
	readLine(t, c, "ready")
	if _, err := io.WriteString(c, "\x03"); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, c); got.exit.Signal != "INT" {
		t.Errorf("got %+v", got)
	}
}

// TestSignalGoesToTheForegroundGroup: the program runs another in a group of its own, as shells do.
func TestSignalGoesToTheForegroundGroup(t *testing.T) {
	w := newWorld(t)
	c := w.start(onPTY(`set -m; stty -echo; trap '' TERM; (trap - TERM; exec sh -c 'echo ready; exec sleep 100'); echo job $?; exit 2`))
	readLine(t, c, "ready")
	if err := c.Signal("TERM"); err != nil {
		t.Fatal(err)
	}
	got := collect(t, c)
	if !strings.Contains(got.stdout, "job 143") || got.exit.Status != 2 {
		t.Errorf("got %+v", got)
	}
}

// TestTerminalEndsWithItsLeader: what still holds the terminal is hung up, and all output comes first.
func TestTerminalEndsWithItsLeader(t *testing.T) {
	w := newWorld(t)
	started := time.Now()
	got := w.run(onPTY(`sleep 100 & head -c 40000 /dev/zero | tr '\\0' x; exit 5`), "")
	if len(got.stdout) != 40000 || got.exit.Status != 5 {
		t.Errorf("%d bytes, %+v", len(got.stdout), got.exit)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestFloodedTerminalStillObeys: a program that does not read its terminal blocks stdin, and nothing else.
// An interactive shell puts its jobs into groups of their own, which the kernel does not hang up when the shell ends.
func TestJobsInTheBackgroundDoNotKeepATerminalOpen(t *testing.T) {
	for name, job := range map[string]string{
		"silent": `sleep 60 & echo job $!; exit 3`,
		"flood":  `yes & echo job $!; sleep 0.1; exit 3`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got := w.run(onPTY(`set -m; `+job), "")
			_, after, _ := strings.Cut(got.stdout, "job ")
			pid, err := strconv.Atoi(strings.TrimSpace(after[:strings.IndexAny(after+"\r", "\r\n")]))
			if err != nil || got.exit.Status != 3 {
				t.Fatalf("got %.80q, %+v", got.stdout, got.exit)
			}
			_ = unix.Kill(pid, unix.SIGKILL) // as under sshd, a silent job goes on
		})
	}
}

func TestFloodedTerminalStillObeys(t *testing.T) {
	w := newWorld(t)
	c := w.start(onPTY(`stty raw -echo; echo ready; exec sleep 100`))
	readLine(t, c, "ready")
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(c, zeros{}) }) // ends when the stream is closed
	if err := c.Resize(session.Size{Columns: 10, Rows: 10}); err != nil {
		t.Error(err)
	}
	if err := c.Signal("KILL"); err != nil {
		t.Error(err)
	}
	if got := collect(t, c); got.exit.Signal != "KILL" {
		t.Errorf("got %+v", got)
	}
	c.Close()
	wg.Wait()
}

// TestEndOfInputMeansNothingToATerminal, as with sshd: only a typed ^D does.
func TestEndOfInputMeansNothingToATerminal(t *testing.T) {
	w := newWorld(t)
	c := w.start(onPTY(`stty -echo; echo ready; cat; echo end; exit 1`))
	readLine(t, c, "ready")
	if _, err := io.WriteString(c, "line\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	readLine(t, c, "line")
	if err := c.Signal("INT"); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, c); got.exit.Status == 0 && got.exit.Signal == "" {
		t.Errorf("got %+v", got)
	}
}
