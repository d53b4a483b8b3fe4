package agent

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
	"fakessh/router/routertest"
)

// world is a gateway's router with one agent beneath it.
type world struct {
	t     *testing.T
	nodes *routertest.Nodes
	agent *Agent
	peer  *router.Context // the agent, as the gateway sees it
	// Of its sftp sessions: where they begin ("" = home), and whether they only read.
	dir      string
	readOnly bool
}

// newWorld starts an agent in this process. Its end, and that it leaves no goroutine, is checked by the test's cleanup.
func newWorld(t *testing.T) *world {
	t.Helper()
	routertest.Leaks(t)
	w := &world{t: t, nodes: routertest.Tree(t, "agent")}
	child := w.nodes.Node("agent")
	w.agent = New(Config{Router: child, Version: "test"})
	w.peer = w.nodes.View("master", "agent")
	t.Cleanup(func() {
		child.Close()
		w.agent.Close()
	})
	return w
}

// result is all of a session.
type result struct {
	stdout, stderr string
	exit           session.Exit
}

// start starts spec; the session is closed when the test ends.
func (w *world) start(spec session.Spec) *session.Client {
	w.t.Helper()
	c, err := session.Start(w.t.Context(), w.peer, &spec)
	if err != nil {
		w.t.Fatalf("start %+v: %v", spec, err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// collect reads c to its end.
func collect(t testing.TB, c *session.Client) result {
	t.Helper()
	var out, errs bytes.Buffer
	for {
		chunk, err := c.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("read session: %v", err)
		}
		if chunk.Class == router.Main {
			out.Write(chunk.Data)
		} else {
			errs.Write(chunk.Data)
		}
		chunk.Release()
	}
	exit, err := c.Wait(t.Context())
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return result{out.String(), errs.String(), exit}
}

// run runs spec to its end, with stdin.
func (w *world) run(spec session.Spec, stdin string) result {
	w.t.Helper()
	c := w.start(spec)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.WriteString(c, stdin)
		_ = c.CloseWrite()
	})
	r := collect(w.t, c)
	wg.Wait()
	if err := c.Close(); err != nil {
		w.t.Errorf("close: %v", err)
	}
	return r
}

func sh(command string) session.Spec { return session.Spec{Kind: session.Exec, Command: command} }

// eventually waits for a condition that the system brings about without telling.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// openFiles counts this process's descriptors.
func openFiles(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(names)
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
