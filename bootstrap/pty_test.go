package bootstrap

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// bootPTY is boot with a terminal of ours as the stream, in its usual cooked state.
func (f *far) bootPTY(before string, shell ...string) (*Ready, error) {
	f.t.Helper()
	argv, err := Argv(f.im, f.cfg, f.opt.Local)
	if err != nil {
		f.t.Fatal(err)
	}
	line := before + "exec " + quoted(slices.Concat(shell, argv[1:]))
	c := exec.Command("dash", "-c", line)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.home}
	master, err := pty.StartWithAttrs(c, nil, &syscall.SysProcAttr{Setsid: true, Setctty: true})
	if err != nil {
		f.t.Fatal(err)
	}
	f.close = func() {
		master.Close()
		c.Process.Kill()
		c.Wait()
	}
	f.t.Cleanup(f.close)
	return f.begin(f.t.Context(), struct{ io.ReadWriter }{master})
}

func TestThroughATerminal(t *testing.T) {
	t.Parallel()
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			need(t, append(shell[:1:1], "stty")...)
			f := newFar(t)
			f.opt.PTY = true
			var noise []string
			f.opt.Noise = func(line string) { noise = append(noise, line) }
			for _, cached := range []bool{false, true} {
				r, err := f.bootPTY("echo Welcome; printf 'Password: '; ", shell...)
				if err != nil {
					t.Fatal(err)
				}
				if r.Cached != cached {
					t.Errorf("%+v", r)
				}
				f.echo(r)
				if !slices.Equal(noise, []string{"Welcome", "Password: "}) {
					t.Errorf("noise %q", noise)
				}
				noise = nil
			}
		})
	}
}

// The end of a terminal is an error to read, and an end like any other to us.
func TestEndOfATerminal(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.opt.PTY = true
	_, err := f.bootPTY("echo going; exit 3; ", "dash")
	if e := stageError(t, err); e.Err != io.ErrUnexpectedEOF || !slices.Equal(e.Tail, []string{"going"}) {
		t.Errorf("%+v", e)
	}
}

func TestTerminalWithoutSTTY(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.opt.PTY = true
	_, err := f.bootPTY("stty() { return 1; }; PATH="+tools(t, append(fewest, "head", "gzip", "sha256sum")...)+"; ", "sh")
	if e := stageError(t, err); e.Err.Error() != "stty does not work" {
		t.Errorf("%+v", e)
	}
}
