package fakessh

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
)

// fakeDialer makes contexts that are nothing but names. hook, if set, is asked before each.
type fakeDialer struct {
	hook func(ctx context.Context, via remote, s step) error

	mu      sync.Mutex
	dials   []string
	remotes map[string]*fakeRemote // the newest of each name
	open    int
	closed  bool
}

func (d *fakeDialer) dial(ctx context.Context, via remote, s step) (remote, error) {
	name := s.target.String()
	d.mu.Lock()
	d.dials = append(d.dials, name)
	id := len(d.dials)
	d.mu.Unlock()
	if d.hook != nil {
		if err := d.hook(ctx, via, s); err != nil {
			return nil, err
		}
	}
	r := &fakeRemote{d: d, num: router.ContextID(id), step: s, lost: make(chan struct{})}
	if name == "evil" {
		r.num = d.remote("b").num
	}
	if via != nil {
		go r.follow(via.(*fakeRemote))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.remotes == nil {
		d.remotes = map[string]*fakeRemote{}
	}
	d.remotes[name] = r
	d.open++
	return r, nil
}

func (d *fakeDialer) router() *router.Router { return nil }

func (d *fakeDialer) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

func (d *fakeDialer) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.dials, " ")
}

func (d *fakeDialer) openRemotes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

func (d *fakeDialer) remote(name string) *fakeRemote {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remotes[name]
}

type fakeRemote struct {
	d    *fakeDialer
	num  router.ContextID
	step step
	mute atomic.Bool // pings are not answered, nor is info by targets named mute…

	once  sync.Once
	lost  chan struct{}
	cause error
}

func (r *fakeRemote) id() router.ContextID     { return r.num }
func (r *fakeRemote) context() *router.Context { return nil }
func (r *fakeRemote) done() <-chan struct{}    { return r.lost }
func (r *fakeRemote) err() error               { <-r.lost; return r.cause }
func (r *fakeRemote) end(cause error)          { r.lose(cause) }

// follow ends when one of the two does.
func (r *fakeRemote) follow(parent *fakeRemote) {
	select {
	case <-parent.lost:
		r.lose(errors.New("parent lost"))
	case <-r.lost:
	}
}

func (r *fakeRemote) lose(cause error) {
	r.once.Do(func() {
		r.cause = &router.LostError{ID: r.num, Name: r.step.target.String(), Cause: cause}
		close(r.lost)
		r.d.mu.Lock()
		defer r.d.mu.Unlock()
		r.d.open--
	})
}

// info: an agent is root behind the targets named root…, and after setuid and sudo it is whom those were told; toor is root too.
func (r *fakeRemote) info(ctx context.Context) (session.Info, error) {
	if strings.HasPrefix(r.step.target.Name, "mute") {
		<-ctx.Done()
		return session.Info{}, ctx.Err()
	}
	user, _ := r.step.spec.Params["username"].(string)
	switch {
	case user != "":
	case strings.HasPrefix(r.step.target.Name, "root") || r.step.spec.Method == "sudo":
		user = "root"
	default:
		user = "me"
	}
	info := session.Info{User: user, UID: 1000, OS: "linux", Arch: "amd64", PID: int(r.num)}
	if user == "root" || user == "toor" {
		info.UID = 0
	}
	return info, nil
}

func (r *fakeRemote) ping(ctx context.Context) (time.Duration, error) {
	if r.mute.Load() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return time.Millisecond, nil
}

// exec is a spec that differs by its command.
func exec(command string) methods.Spec {
	return methods.Spec{Method: "exec", Params: methods.Params{"command": []string{command}}}
}

// testTargets: c via b via a; root; and others beside them.
func testTargets() map[string]TargetConfig {
	return map[string]TargetConfig{
		"a":      {Spec: exec("a")},
		"b":      {Spec: exec("b"), Via: "a", Become: "sudo", Groups: []string{"prod"}},
		"c":      {Spec: exec("c"), Via: "b"},
		"deep":   {Spec: methods.Spec{Method: "docker", Params: methods.Params{"container": "App"}}, Via: "b+sudo"},
		"evil":   {Spec: exec("evil"), Via: "a"},
		"mute":   {Spec: methods.Spec{Method: "exec", Params: methods.Params{"command": []string{"mute"}, "connect_timeout": 8}}},
		"root":   {Spec: exec("root")},
		"twin":   {Spec: exec("a")},
		"quick":  {Spec: exec("quick"), Via: "a", Idle: time.Minute},
		"always": {Spec: exec("always"), Via: "a", Idle: -1},
	}
}

// testTree makes a tree of fakes. When the test is over, nothing may be left.
func testTree(t *testing.T, hook func(ctx context.Context, via remote, s step) error) (*Tree, *fakeDialer) {
	t.Helper()
	inv, err := newInventory(testTargets())
	if err != nil {
		t.Fatal(err)
	}
	d := &fakeDialer{hook: hook}
	tree := newTree(inv, 0, slog.New(slog.DiscardHandler), d)
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait() // those beneath a lost one follow it
		if n := d.openRemotes(); n != 0 || !d.closed {
			t.Errorf("%d contexts are left", n)
		}
		if nodes := tree.Nodes(); len(nodes) != 0 {
			t.Errorf("nodes are left: %+v", nodes)
		}
	})
	return tree, d
}

func dest(t *testing.T, s string) Dest {
	t.Helper()
	account, name, ok := strings.Cut(s, "@")
	if !ok {
		account, name = "", s
	}
	target, err := ParseTarget(name)
	if err != nil {
		t.Fatal(err)
	}
	return Dest{target, account}
}

func connect(t *testing.T, tree *Tree, s string) *Lease {
	t.Helper()
	l, err := tree.Connect(context.Background(), dest(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func nodeNames(tree *Tree) string {
	var names []string
	for _, n := range tree.Nodes() {
		names = append(names, n.Name)
	}
	return strings.Join(names, " ")
}
