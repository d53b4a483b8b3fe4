package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"sync"
	"testing"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// gateway is a daemon at work in a directory of its own.
type gateway struct {
	*daemon
	dir string
	log *syncBuffer
}

// syncBuffer is a buffer for several writers.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startGateway starts a daemon whose user "me" is the account of this test. config is added to its file. It ends with the test.
func startGateway(t *testing.T, config, policy string) *gateway {
	t.Helper()
	if testing.Short() {
		t.Skip("starts agents")
	}
	dir, err := os.MkdirTemp("/tmp", "fakesshd-test-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &gateway{dir: dir, log: &syncBuffer{}}
	g.write(t, "p.cedar", policy)
	g.write(t, "c.yaml", fmt.Sprintf(`
listen: ["127.0.0.1:0"]
state_dir: state
control_socket: control.sock
policy: p.cedar
users: {me: {unix: %s}}
`, ownAccount(t))+config)
	cfg, err := loadConfig(filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if g.daemon, err = newDaemon(cfg, slog.New(slog.NewTextHandler(g.log, nil))); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- g.serve(ctx, stdio{err: io.Discard}) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return g
}

func ownAccount(t *testing.T) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return me.Username
}

func (g *gateway) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answer is what came of an invocation.
type answer struct {
	out, err string // stdout; the text of a refusal
	exit     uint32
}

// ask makes an invocation as a hostile client of the control socket would: with bytes of its own.
func (g *gateway) ask(t *testing.T, inv *session.Invocation) answer {
	t.Helper()
	return g.askWith(t, "", inv)
}

// askWith is ask with some bytes on stdin, not more than a pipe holds.
func (g *gateway) askWith(t *testing.T, stdin string, inv *session.Invocation) (a answer) {
	t.Helper()
	conn, err := session.DialInvoke(g.cfg.ControlSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := typed.WriteString(stdin); err != nil {
		t.Fatal(err)
	}
	typed.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = conn.Ask(inv, int(in.Fd()), int(w.Fd()), int(null.Fd()))
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := conn.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch m.Kind {
		case session.InvokeError:
			a.err = string(m.Data)
		case session.InvokeExit:
			exit, err := session.ParseExit(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			a.exit = exit.Status
		default:
			continue
		}
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		a.out = string(out)
		return a
	}
}

// audit is what is on record so far.
func (g *gateway) audit(t *testing.T) (records []authz.Record) {
	t.Helper()
	f, err := os.Open(filepath.Join(g.dir, "state", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var rec authz.Record
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return records
}

// decisions are the audit's answers, as text.
func (g *gateway) decisions(t *testing.T) (list []string) {
	t.Helper()
	for _, r := range g.audit(t) {
		if r.Action == "" || r.Event == authz.EventEnd {
			continue
		}
		word := "deny"
		if r.Allow {
			word = "allow"
		}
		list = append(list, fmt.Sprintf("%s %s %s %q", word, r.Action, r.Target, r.Command))
	}
	return list
}
