package agent

import (
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"fakessh/bootstrap/agent/session"
)

// bridgeEnv names a unix socket: the test's program then joins its stdin and stdout to it, and is what sftp -D and scp -D start.
const bridgeEnv = "AGENT_TEST_BRIDGE"

// TestMain lets the test's program be what the shipped program would be.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(bridgeEnv) != "":
		bridge(os.Getenv(bridgeEnv))
	case len(os.Args) > 1 && os.Args[1] == "agent":
		os.Exit(Main(os.Args[2:]))
	default:
		os.Exit(m.Run())
	}
}

func bridge(socket string) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		os.Exit(1)
	}
	go func() { // ends with the process
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, conn)
}

// tool finds a program that a test cannot do without: its absence fails the test in CI.
func tool(t testing.TB, name string) string {
	t.Helper()
	full, err := exec.LookPath(name)
	if err == nil {
		return full
	}
	if os.Getenv("CI") != "" {
		t.Fatal(name + " is not installed")
	}
	t.Skip(name + " is not installed")
	return ""
}

// sftpSocket serves sftp sessions of w's agent on a unix socket.
func (w *world) sftpSocket() string {
	w.t.Helper()
	dir, err := os.MkdirTemp("", "agent-sftp-")
	if err != nil {
		w.t.Fatal(err)
	}
	path := dir + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		w.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.joinSFTP(conn.(*net.UnixConn)) })
		}
	})
	w.t.Cleanup(func() {
		l.Close()
		wg.Wait()
		os.RemoveAll(dir)
	})
	return path
}

func (w *world) joinSFTP(conn *net.UnixConn) {
	defer conn.Close()
	c, err := session.Start(background(w.t), w.peer, &session.Spec{Kind: session.Subsystem, Command: "sftp", Dir: w.dir, ReadOnly: w.readOnly})
	if err != nil {
		w.t.Errorf("start sftp: %v", err)
		return
	}
	defer c.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(c, conn)
		_ = c.CloseWrite()
	})
	_, _ = io.Copy(conn, c)
	_ = conn.CloseWrite()
	exit, err := c.Wait(background(w.t))
	if err != nil || exit.Status != 0 || exit.Message != "" && !w.readOnly {
		w.t.Errorf("sftp session: %+v, %v", exit, err)
	}
	wg.Wait()
}
