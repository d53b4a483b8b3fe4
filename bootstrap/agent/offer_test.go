//go:build linux

package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
	"fakessh/router/routertest"
)

// needRoot skips a test that makes namespaces. Where CI is set, nothing is skipped.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("root is missing")
	}
	t.Skip("root is missing")
}

// stubImages has the test's program for an image, and a cache of the test's own to send it to.
func stubImages(t *testing.T) *bootstrap.Images {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	images, err := bootstrap.NewImages(nil, "")
	if err == nil {
		err = images.Add(bootstrap.Own(), standIn(t))
	}
	if err == nil {
		_, err = images.Lookup(bootstrap.Own()) // opens it, before descriptors are counted
	}
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// dialEngine connects by docker, whose place a script takes; the boot command is its "$@".
func dialEngine(t *testing.T, images *bootstrap.Images, engine string) *methods.Conn {
	t.Helper()
	docker := t.TempDir() + "/docker"
	script := "#!/bin/sh\nwhile [ \"$1\" != sh ]; do shift; done\n" + engine + "\n"
	if err := os.WriteFile(docker, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	conn, err := methods.Dial(background(t), methods.Request{
		Spec:   methods.Spec{Method: "docker", Params: methods.Params{"docker_path": docker, "container": "c"}},
		Agent:  bootstrap.Config{ID: 7, ParentIDs: []uint32{0}, Debug: true},
		Images: images,
		Log:    func(line string) { t.Log("engine: ", line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// talk gives an agent's link to a router and asks the agent who it is.
func talk(t *testing.T, link io.ReadWriteCloser) (*router.Router, session.Info) {
	t.Helper()
	r := router.New(router.Config{Unidirectional: true})
	t.Cleanup(func() { r.Close() })
	c, err := r.AddLink(link, router.LinkConfig{Remote: 7, Name: "child"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := session.GetInfo(background(t), c)
	if err != nil {
		t.Fatal(err)
	}
	inner := &world{t: t, peer: c}
	big := strings.Repeat("0123456789abcdef", 1<<16)
	if got := inner.run(sh("cat; exit 3"), big); got.stdout != big || got.exit.Status != 3 {
		t.Errorf("%d bytes came back, %+v", len(got.stdout), got.exit)
	}
	return r, info
}

// engines are ways to run the boot command that an engine has.
var engines = map[string]struct {
	script string
	root   bool
}{
	"same namespaces": {`exec "$@"`, false},
	"relay":           {`cat | "$@" | cat`, false},
	"container":       {`cat | unshare --pid --fork --mount-proc --mount --net --uts --ipc --cgroup --kill-child "$@" | cat`, true},
	"user namespace":  {`cat | unshare --user --map-root-user --pid --fork --mount-proc --kill-child "$@" | cat`, true},
}

func TestLinkPastTheEngine(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			if e.root {
				needRoot(t)
			}
			routertest.Leaks(t)
			if r, w, err := os.Pipe(); err == nil { // the first one makes the poller's own descriptors
				r.Close()
				w.Close()
			}
			images := stubImages(t)
			files := openFiles(t)
			conn := dialEngine(t, images, e.script)
			if !conn.Bypass || strings.Contains(strings.Join(conn.Ready.Caps, " "), "socket") {
				t.Errorf("bypass %v, capabilities %q", conn.Bypass, conn.Ready.Caps)
			}
			r, info := talk(t, conn)
			if strings.Contains(e.script, "--pid") && info.PID > 10 {
				t.Errorf("the agent has number %d", info.PID)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if status := conn.Exited(background(t)); status != "exit status 0" {
				t.Errorf("the engine ended with %q", status)
			}
			eventually(t, "no descriptors are left", func() bool { return openFiles(t) <= files })
		})
	}
}

// Whichever ends first, the engine, its relay or the link: all of it ends.
func TestBypassEnds(t *testing.T) {
	t.Run("by half-close", func(t *testing.T) {
		conn := dialEngine(t, stubImages(t), engines["same namespaces"].script)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		if status := conn.Exited(background(t)); status != "exit status 0" {
			t.Errorf("the engine ended with %q", status)
		}
	})
	t.Run("with stdin", func(t *testing.T) {
		pid := t.TempDir() + "/pid"
		conn := dialEngine(t, stubImages(t), `sh -c 'echo $$ >"$0"; exec cat' `+pid+` | "$@" | cat`)
		r, _ := talk(t, conn) // so that the choice has gone through that cat
		child := r.Context(7)
		text, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("kill", strings.TrimSpace(string(text))).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		select {
		case <-child.Done():
		case <-background(t).Done():
			t.Error("the link is still there")
		}
		if status := conn.Exited(background(t)); status != "exit status 0" {
			t.Errorf("the engine ended with %q", status)
		}
	})
	t.Run("with the engine", func(t *testing.T) {
		// What the engine has started lives on, as behind a service that does not notice; the link is lost nevertheless.
		pid := t.TempDir() + "/pid"
		conn := dialEngine(t, stubImages(t), `echo $$ >`+pid+`; exec 3<&0; setsid "$@" <&3 3<&- & wait`)
		text, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := exec.Command("kill", "-9", strings.TrimSpace(string(text))).Run(); err != nil {
			t.Fatal(err)
		}
		var eof *methods.EOFError
		if _, err = io.ReadAll(conn); !errors.As(err, &eof) || eof.Status != "signal: killed" || !eof.Late {
			t.Errorf("%v", err)
		}
	})
}

// startOffering starts the test's program as an agent that was asked for an offer.
func startOffering(t *testing.T) (cmd *exec.Cmd, ready *bootstrap.Ready, stdio io.ReadWriteCloser) {
	t.Helper()
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	cfg := bootstrap.Config{ID: 7, ParentIDs: []uint32{0}, Offer: true}
	cmd = exec.Command("/proc/self/exe", bootstrap.AgentArgv(cfg)[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p := stdPipes{out, in}
	ready, err = bootstrap.Start(background(t), p, nil, cfg, bootstrap.Options{Direct: true})
	if err != nil || ready.Offer == nil {
		t.Fatalf("%+v, %v", ready, err)
	}
	return cmd, ready, p
}

type stdPipes struct {
	io.ReadCloser
	in io.WriteCloser
}

func (p stdPipes) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p stdPipes) Close() error                { return errors.Join(p.in.Close(), p.ReadCloser.Close()) }

func TestParentChoosesStdio(t *testing.T) {
	cmd, ready, stdio := startOffering(t)
	if _, err := stdio.Write([]byte{bootstrap.ChooseStdio}); err != nil {
		t.Fatal(err)
	}
	if ready.Offer.PID != cmd.Process.Pid {
		t.Errorf("offer of process %d, not %d", ready.Offer.PID, cmd.Process.Pid)
	}
	r, _ := talk(t, stdio)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A parent that does not keep to the rules gets no frames, and no agent stays.
func TestParentChoosesNothing(t *testing.T) {
	for name, word := range map[string]string{"end": "", "unknown": "x", "not taken": string(bootstrap.ChooseSocket)} {
		t.Run(name, func(t *testing.T) {
			cmd, _, stdio := startOffering(t)
			if _, err := io.WriteString(stdio, word); err != nil {
				t.Fatal(err)
			}
			if err := stdio.(stdPipes).in.Close(); err != nil {
				t.Fatal(err)
			}
			if said, err := io.ReadAll(stdio); len(said) > 0 || err != nil {
				t.Errorf("%q, %v", said, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			defer context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })()
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}
