package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fakessh"
	"fakessh/authz"
	"fakessh/router"
	"fakessh/router/routertest"
)

// python is a script at work.
type python struct {
	t    *testing.T
	in   io.WriteCloser
	out  *bufio.Reader
	said bytes.Buffer // on stderr
	cmd  *exec.Cmd
}

// startPython starts a script with the real Mitogen, away from the script's directory. It ends within a minute.
func startPython(t *testing.T, stdin []byte, script string, args ...string) *python {
	t.Helper()
	interpreter := routertest.Mitogen(t)
	script, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	p := &python{t: t, cmd: exec.Command(interpreter, append([]string{"-B", script}, args...)...)}
	p.cmd.Dir, p.cmd.Stderr = "/", &p.said
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() {
		kill.Stop()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("python says:\n%s", &p.said)
		}
	})
	if stdin != nil {
		if _, err := p.in.Write(stdin); err != nil {
			t.Fatal(err)
		}
		p.in.Close()
	}
	return p
}

func (p *python) want(line string) {
	p.t.Helper()
	if got := p.line(); got != line {
		p.t.Errorf("it says %q, want %q", got, line)
	}
}

func (p *python) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (p *python) goOn() {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end, which has to be without complaint.
func (p *python) ended() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.out); len(rest) > 0 || err != nil {
		p.t.Errorf("it goes on: %q, %v", rest, err)
	}
	if err := p.cmd.Wait(); err != nil || p.said.Len() > 0 {
		p.t.Errorf("it ends with %v: %s", err, &p.said)
	}
}

// withLocal is a gateway whose target local is connected.
func withLocal(t *testing.T) (*gateway, *fakessh.Lease) {
	t.Helper()
	g := startGateway(t, "", permitAll)
	target, err := fakessh.ParseTarget("local")
	if err != nil {
		t.Fatal(err)
	}
	local, err := g.tree.Connect(t.Context(), fakessh.Dest{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(local.Release)
	return g, local
}

func TestRealMitogenAttaches(t *testing.T) {
	g, local := withLocal(t)
	p := startPython(t, nil, "testdata/attached.py", g.cfg.ControlSocket, local.Context().ID().String())
	p.want("gateway 0")
	p.want("ping 'grüße'")
	p.want(fmt.Sprint("agent ", local.Info().PID))
	p.want("invalid handle")
	p.want("no route to 4000000, my ID is 0")
	p.want("child of 0")
	p.want("served as master")

	var id router.ContextID
	if _, err := fmt.Sscanf(p.line(), "child %d", &id); err != nil {
		t.Fatal(err)
	}
	client := g.tree.Nodes()[1]
	if client.State != "attached" || client.Name != fmt.Sprint("unix_client.", p.cmd.Process.Pid) || client.User != ownAccount(t) {
		t.Errorf("it is seen as %+v", client)
	}
	if via := g.tree.Router().Routes()[id]; uint32(via) != client.ID {
		t.Errorf("its child is reached by %d", via)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := g.tree.Router().Context(id)
	if got, err := child.Call(ctx, "os.getppid"); got != int64(p.cmd.Process.Pid) || err != nil {
		t.Errorf("its child says %v, %v", got, err)
	}
	p.goOn()
	p.want("child gone")
	select {
	case <-child.Done():
	case <-ctx.Done():
		t.Error("the route of its child stays")
	}
	p.goOn()
	g.control.Close()
	p.want("gateway gone")
	p.ended()

	var story []string
	for _, r := range g.audit(t) {
		if r.UID == nil || *r.UID != os.Geteuid() || r.PID != p.cmd.Process.Pid || r.Source != fmt.Sprint("unix:", r.PID) || r.Principal != "me" || len(r.Conn) < 12 {
			t.Errorf("who? %+v", r)
		}
		story = append(story, fmt.Sprintf("%s allow=%v %s", r.Event, r.Allow, r.Reason))
	}
	if got := strings.Join(story, "; "); got != "attach allow=true ; detach allow=true fakesshd: shutting down" {
		t.Errorf("on record: %s", got)
	}
}

// The example runs as the README has it.
func TestAttachExample(t *testing.T) {
	g, local := withLocal(t)
	text, err := json.Marshal(g.tree.Nodes())
	if err != nil {
		t.Fatal(err)
	}
	p := startPython(t, text, "../../examples/attach.py", g.cfg.ControlSocket)
	info := local.Info()
	p.want(fmt.Sprintf("local: %s on %s, pid %d", info.User, info.Hostname, info.PID))
	p.ended()
}

// An account that may not is on record, and nothing is said to it. Not more often than others that are turned away.
func TestRefusedProgramsAreOnRecord(t *testing.T) {
	g := startGateway(t, "", permitAll)
	for range 300 {
		a := &fakessh.Attachment{Conn: "c0ffee", Peer: fakessh.Peer{UID: 65534, PID: 7}, Err: fmt.Errorf("no")}
		if err := g.attach(a); err != nil {
			t.Fatal(err)
		}
	}
	records := g.audit(t)
	r := records[0]
	if r.Event != authz.EventAttach || r.Allow || r.Reason != "no" || *r.UID != 65534 || r.PID != 7 || r.User != "nobody" || r.Principal != "" {
		t.Errorf("%+v", r)
	}
	if len(records) < 100 || len(records) > 200 {
		t.Errorf("%d records of 300 refusals", len(records))
	}
}
