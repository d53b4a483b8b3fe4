package fakessh_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"fakessh"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// attachments are hooks that remember.
type attachments struct {
	mu             sync.Mutex
	attach, detach []fakessh.Attachment
	deny           error
}

func (a *attachments) serve(t *testing.T, srv *fakessh.ControlServer) string {
	t.Helper()
	srv.Attach = func(at *fakessh.Attachment) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.attach = append(a.attach, *at)
		return a.deny
	}
	srv.Detach = func(at *fakessh.Attachment) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.detach = append(a.detach, *at)
	}
	return daemon(t, srv)
}

func (a *attachments) seen() (attach, detach []fakessh.Attachment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.attach, a.detach
}

// greet attaches as mitogen.unix.connect does, and returns what it is told: nothing if it is refused.
func greet(t *testing.T, path string) (conn net.Conn, told []uint32) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte("\x00\x00\x10\x92")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	defer conn.SetReadDeadline(time.Time{})
	answer := make([]byte, 12)
	if n, err := io.ReadFull(conn, answer); err != nil {
		if n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("answered %q, %v", answer[:n], err)
		}
		return conn, nil
	}
	for ; len(answer) > 0; answer = answer[4:] {
		told = append(told, binary.BigEndian.Uint32(answer))
	}
	return conn, told
}

// attached is a client of mitogen.unix, as a router of its own.
func attached(t *testing.T, path string) *router.Router {
	t.Helper()
	conn, told := greet(t, path)
	if len(told) != 3 || told[0] == 0 || told[1] != 0 || told[2] != uint32(os.Getpid()) {
		t.Fatalf("told %v", told)
	}
	r := router.New(router.Config{ID: router.ContextID(told[0]), ParentIDs: []router.ContextID{0}})
	t.Cleanup(func() { r.Close() })
	if _, err := r.AddLink(conn, router.LinkConfig{Remote: 0, Parent: true}); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestProgramsAttach(t *testing.T) {
	tree := realTree(t, nil)
	var hooks attachments
	path := hooks.serve(t, &fakessh.ControlServer{Tree: tree})
	local := lease(t, tree, "", "local")
	defer local.Release()

	client := attached(t, path)
	if info, err := session.GetInfo(t.Context(), client.Context(local.Context().ID())); err != nil || info.PID != local.Info().PID {
		t.Errorf("the agent says %+v, %v", info, err)
	}
	var dead *router.ChannelError
	if _, err := client.Context(0).Call(t.Context(), "os.getpid"); !errors.As(err, &dead) || dead.Reason != "invalid handle" {
		t.Errorf("a function of the gateway: %v", err)
	}
	nodes := tree.Nodes()
	n := nodes[len(nodes)-1]
	if n.ID != uint32(client.ID()) || n.Parent != 0 || n.Method != "mitogen.unix" || n.PID != os.Getpid() || n.State != "attached" || n.User == "" {
		t.Errorf("it is seen as %+v", n)
	}

	// What it brings along is there for other programs, and goes with it.
	other := attached(t, path)
	childID, err := client.AllocateID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	child := linked(t, client, childID)
	eventually(t, "its route is there", func() bool { return tree.Router().Routes()[childID] == client.ID() })
	if got, err := other.Context(childID).Call(t.Context(), "demo.id"); got != int64(childID) || err != nil {
		t.Errorf("the child says %v, %v", got, err)
	}
	lost := other.Context(childID).Done()
	client.Close()
	<-lost
	<-child.Done()
	eventually(t, "its routes are gone", func() bool { return len(tree.Router().Routes()) == 2 })
	eventually(t, "its end is told", func() bool { _, ended := hooks.seen(); return len(ended) == 1 })
	began, ended := hooks.seen()
	if len(began) != 2 || began[0].ID != client.ID() || began[0].Err != nil || began[0].Peer.PID != os.Getpid() || ended[0].Conn != began[0].Conn ||
		!strings.Contains(ended[0].Err.Error(), "closed by the other side") {
		t.Errorf("told of %+v, %+v", began, ended)
	}
	if n := len(tree.Nodes()); n != 2 {
		t.Errorf("%d nodes", n)
	}
}

// linked is a child of r, with a function that says its id.
func linked(t *testing.T, r *router.Router, id router.ContextID) *router.Router {
	t.Helper()
	child := router.New(router.Config{ID: id, ParentIDs: append([]router.ContextID{r.ID()}, r.ParentIDs()...)})
	t.Cleanup(func() { child.Close() })
	child.Register("demo.id", func(context.Context, *router.Call) (any, error) { return int64(id), nil })
	up, down := net.Pipe()
	if _, err := child.AddLink(up, router.LinkConfig{Remote: r.ID(), Parent: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddLink(down, router.LinkConfig{Remote: id, Name: "child"}); err != nil {
		t.Fatal(err)
	}
	return child
}

func TestAttachedProgramsAreCounted(t *testing.T) {
	tree := realTree(t, nil)
	var hooks attachments
	path := hooks.serve(t, &fakessh.ControlServer{Tree: tree, MaxAttached: 2})
	first := attached(t, path)
	attached(t, path)
	if _, told := greet(t, path); told != nil {
		t.Errorf("the third is told %v", told)
	}
	if began, _ := hooks.seen(); len(began) != 3 || began[2].Err == nil || began[2].ID != 0 {
		t.Errorf("told of %+v", began)
	}
	first.Close()
	eventually(t, "room again", func() bool { _, told := greet(t, path); return told != nil })
}

func TestWhatCannotBeRecordedDoesNotAttach(t *testing.T) {
	hooks := attachments{deny: errors.New("disk full")}
	path := hooks.serve(t, &fakessh.ControlServer{Tree: realTree(t, nil)})
	if _, told := greet(t, path); told != nil {
		t.Errorf("told %v", told)
	}
	if _, ended := hooks.seen(); len(ended) > 0 {
		t.Errorf("the end of what never was: %+v", ended)
	}
}

func TestShutdownEndsAttachedPrograms(t *testing.T) {
	tree := realTree(t, nil)
	var hooks attachments
	srv := &fakessh.ControlServer{Tree: tree}
	client := attached(t, hooks.serve(t, srv))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv.Shutdown(ctx)
	select {
	case <-client.Done():
	case <-time.After(10 * time.Second):
		t.Error("the program is still attached")
	}
	if _, ended := hooks.seen(); len(ended) != 1 || ended[0].Err.Error() != "fakesshd: shutting down" {
		t.Errorf("told of %+v", ended)
	}
	if n := len(tree.Router().Links()); n != 0 {
		t.Errorf("%d links are left", n)
	}
}

// Who may attach need not be one who may ask.
func TestOwnersAttachWithoutBeingUsers(t *testing.T) {
	var hooks attachments
	path := hooks.serve(t, &fakessh.ControlServer{
		Tree:  realTree(t, nil),
		Admit: func(fakessh.Peer) error { return errors.New("nobody is a user") },
		Ops:   map[string]fakessh.ControlOp{"x": func(context.Context, *fakessh.ControlRequest) error { t.Error("served"); return nil }},
	})
	attached(t, path)
	if err := fakessh.AskControl(t.Context(), path, "x", nil, nil); err == nil || err.Error() != "nobody is a user" {
		t.Errorf("asked: %v", err)
	}
}
