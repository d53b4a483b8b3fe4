package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fakessh/bootstrap/agent/session"
)

func runID(host string) *session.Invocation {
	return &session.Invocation{Op: session.OpSession, Host: host, Spec: &session.Spec{Kind: session.Exec, Command: "id -u"}}
}

// rewrite replaces a text in a file of the gateway's.
func (g *gateway) rewrite(t *testing.T, name, old, new string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q:\n%s", name, old, text)
	}
	g.write(t, name, strings.ReplaceAll(string(text), old, new))
}

func TestReload(t *testing.T) {
	g := startGateway(t, "targets: {a: {method: local}, b: {method: local}}\nexits: {\"*.x\": a}\n", permitAll)
	works := func(host, want string) {
		t.Helper()
		if a := g.ask(t, runID(host)); a.err != want {
			t.Errorf("%s: %+v, want %q", host, a, want)
		}
	}
	works("a", "")
	works("b", "")
	g.rewrite(t, "c.yaml", "b: {method: local}", "c: {method: local}")
	g.rewrite(t, "c.yaml", `"*.x": a`, `"*.x": c`)
	g.rewrite(t, "p.cedar", permitAll, `permit (principal, action, resource == Target::"c");`)
	works("a", "")
	if err := g.reload(); err != nil {
		t.Fatal(err)
	}
	works("a", "access denied")
	works("b", `no target "b"`)
	works("c", "")
	if exit := g.backend.Exit("h.x"); exit == nil || exit.Name != "c" {
		t.Errorf("exit %+v", exit)
	}
}

func TestReloadIsAllOrNothing(t *testing.T) {
	g := startGateway(t, "targets: {a: {method: local}}\n", permitAll)
	good, err := os.ReadFile(filepath.Join(g.dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"key":    "tragets: {}\n",
		"target": "targets: {a: {method: local, via: nosuch}}\n",
		"exit":   "targets: {}\nexits: {h: nosuch}\n",
		"users":  "",
	} {
		g.write(t, "p.cedar", `permit (principal, action, resource == Target::"c");`)
		switch name {
		case "users":
			g.write(t, "c.yaml", strings.ReplaceAll(string(good), "{unix:", "{keys: [nonsense], unix:"))
		default:
			g.write(t, "c.yaml", text)
		}
		if err := g.reload(); err == nil {
			t.Errorf("%s: reloaded", name)
		}
		if a := g.ask(t, runID("a")); a.err != "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	g.write(t, "c.yaml", string(good))
	g.write(t, "p.cedar", "permit nonsense")
	if err := g.reload(); err == nil {
		t.Error("policy: reloaded")
	}
	if a := g.ask(t, runID("a")); a.err != "" {
		t.Errorf("policy: %+v", a)
	}
}

// A session that runs in a target which is no longer there ends by itself.
func TestSessionsOutliveReload(t *testing.T) {
	g := startGateway(t, "targets: {a: {method: local}}\n", permitAll)
	fifo := filepath.Join(g.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan answer)
	go func() { // ends with the session
		inv := runID("a")
		inv.Spec.Command = "read x <" + fifo + "; echo $x; exit 5"
		done <- g.ask(t, inv)
	}()
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // the session runs when this returns
	if err != nil {
		t.Fatal(err)
	}
	g.rewrite(t, "c.yaml", "a: {method: local}", "z: {method: local}")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.waitLog(t, "configuration reloaded")
	if a := g.ask(t, runID("a")); a.err != `no target "a"` {
		t.Errorf("after: %+v", a)
	}
	w.WriteString("alive\n")
	w.Close()
	if a := <-done; a != (answer{out: "alive\n", exit: 5}) {
		t.Errorf("the session: %+v", a)
	}
	g.rewrite(t, "c.yaml", `"127.0.0.1:0"`, `"127.0.0.1:0", "127.0.0.2:0"`)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.waitLog(t, "this takes a restart\" key=listen")
}

// waitLog waits until the gateway has logged something.
func (g *gateway) waitLog(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !strings.Contains(g.log.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q in\n%s", text, g.log.String())
		}
	}
}
