package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"fakessh/integration/bed"
)

// terminal is a program on a pty, with everything that it printed.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	mu   sync.Mutex
	seen bytes.Buffer
}

func newTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	cmd.Env = append(os.Environ(), "TERM=xterm")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, cmd: cmd, tty: tty}
	go x.read() // ends when the pty closes
	t.Cleanup(func() { cmd.Process.Kill(); tty.Close() })
	return x
}

func (x *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.tty.Read(buf)
		x.mu.Lock()
		x.seen.Write(buf[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// want waits until text has been printed, and forgets everything up to it.
func (x *terminal) want(text string) {
	x.t.Helper()
	found := bed.Eventually(x.t.Context(), 10*time.Second, func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		i := bytes.Index(x.seen.Bytes(), []byte(text))
		if i >= 0 {
			x.seen.Next(i + len(text))
		}
		return i >= 0
	})
	if !found {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.t.Fatalf("no %q in %q", text, tail(x.seen.String()))
	}
}

func (x *terminal) typed(text string) { fmt.Fprint(x.tty, text) }

func TestTerminalResizesEditsAndSurvivesInterrupt(t *testing.T) {
	onChains(t, func(t *testing.T, chain string) {
		x := newTerminal(t, b.SSH("-tt", chain+"@gw"))
		x.typed("PS1='re''ady> '; stty -echo; stty size\n")
		x.want("30 100")
		pty.Setsize(x.tty, &pty.Winsize{Rows: 41, Cols: 133})
		x.want("ready> ")
		if !bed.Eventually(t.Context(), 5*time.Second, func() bool {
			x.typed("stty size | tr ' ' x; echo nex''t\n")
			x.mu.Lock()
			defer x.mu.Unlock()
			return strings.Contains(x.seen.String(), "41x133")
		}) {
			t.Error("the new size does not arrive")
		}
		x.typed("echo sta''rted; sleep 1000\n")
		x.want("started")
		time.Sleep(100 * time.Millisecond) // until sleep has the terminal; there is nothing to wait for
		x.typed("\x03")
		x.typed("echo still $((40+2))\n")
		x.want("still 42")
		x.typed("exit 12\n")
		x.cmd.Wait()
		if code := x.cmd.ProcessState.ExitCode(); code != 12 {
			t.Errorf("exit %d", code)
		}
	})
}

func TestVimEditsAFile(t *testing.T) {
	far := farDir(t, "web1")
	x := newTerminal(t, b.SSH("-tt", "web1@gw", "vi -u NONE "+far+"/note"))
	x.want("note")
	x.typed("ihello from vim\x1b")
	x.typed(":wq\r")
	x.cmd.Wait()
	if r := ok(t, b.SSH("web1@gw", "cat "+far+"/note")); r.out != "hello from vim\n" {
		t.Errorf("the file has %q", r.out)
	}
}

func TestTerminalModesAndLocalCharacters(t *testing.T) {
	x := newTerminal(t, exec.Command("sh", "-c", `stty intr ^G; exec "$@"`, "sh", "ssh", "-F", b.Path("ssh_config"), "-tt", "web1@gw", "stty -a; tty; echo $SSH_TTY $TERM"))
	x.want("intr = ^G")
	x.want("/dev/pts/")
	x.want("xterm")
}
