package routertest

import (
	"io"
	"strings"
	"testing"

	"fakessh/router"
)

// Option changes the Config of one node before it is made. The master's name is "master".
type Option func(name string, cfg *router.Config)

// Unidirectional makes the master route so.
func Unidirectional(name string, cfg *router.Config) {
	cfg.Unidirectional = cfg.Unidirectional || name == "master"
}

// Nodes is a tree of routers, by name.
type Nodes struct {
	Master *router.Router
	byName map[string]*router.Router
	links  map[string][2]io.ReadWriteCloser // parent's and child's end
	t      testing.TB
}

// Pair joins a master and one child, "child", id 1.
func Pair(t testing.TB, options ...Option) (master, child *router.Router) {
	t.Helper()
	n := Tree(t, "child", options...)
	return n.Master, n.Node("child")
}

// Tree builds the tree that shape names: children separated by blanks, theirs in parentheses: "a(b c(d)) e".
// Ids are given in the order of the text, from 1.
func Tree(t testing.TB, shape string, options ...Option) *Nodes {
	t.Helper()
	n := &Nodes{t: t, byName: map[string]*router.Router{}, links: map[string][2]io.ReadWriteCloser{}}
	n.Master = n.add("master", router.Config{}, options)
	stack, last := []*router.Router{n.Master}, n.Master
	shape = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(shape)
	for _, word := range strings.Fields(shape) {
		switch top := len(stack) - 1; word {
		case "(":
			stack = append(stack, last)
		case ")":
			stack = stack[:top]
		default:
			last = n.child(stack[top], word, options)
		}
	}
	return n
}

func (n *Nodes) child(parent *router.Router, name string, options []Option) *router.Router {
	n.t.Helper()
	id, err := parent.AllocateID(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	r := n.add(name, router.Config{ID: id, Name: name, ParentIDs: append([]router.ContextID{parent.ID()}, parent.ParentIDs()...)}, options)
	above, below := Pipe()
	n.links[name] = [2]io.ReadWriteCloser{above, below}
	if _, err := r.AddLink(below, router.LinkConfig{Remote: parent.ID(), Parent: true}); err != nil {
		n.t.Fatal(err)
	}
	if _, err := parent.AddLink(above, router.LinkConfig{Remote: id, Name: name}); err != nil {
		n.t.Fatal(err)
	}
	n.settle(r)
	return r
}

// settle waits until the master knows the way to r: an answer has come from there.
func (n *Nodes) settle(r *router.Router) {
	n.t.Helper()
	const ping = "routertest.ping"
	r.Register(ping, echo)
	for {
		_, err := n.Master.Context(r.ID()).Call(n.t.Context(), ping)
		if err == nil {
			return
		}
		if n.t.Context().Err() != nil || !strings.HasPrefix(err.Error(), "no route") {
			n.t.Fatal(err)
		}
	}
}

func (n *Nodes) add(name string, cfg router.Config, options []Option) *router.Router {
	for _, o := range options {
		o(name, &cfg)
	}
	r := router.New(cfg)
	n.byName[name] = r
	n.t.Cleanup(func() { r.Close() })
	return r
}

// Node returns the router of that name.
func (n *Nodes) Node(name string) *router.Router {
	n.t.Helper()
	r := n.byName[name]
	if r == nil {
		n.t.Fatalf("no node %q in the tree", name)
	}
	return r
}

// ID is the id of the node of that name.
func (n *Nodes) ID(name string) router.ContextID { n.t.Helper(); return n.Node(name).ID() }

// View is how from sees to.
func (n *Nodes) View(from, to string) *router.Context {
	n.t.Helper()
	return n.Node(from).Context(n.ID(to))
}

// Cut breaks the link between the node and its parent, as when a cable is pulled and both notice.
func (n *Nodes) Cut(name string) {
	n.t.Helper()
	n.Node(name)
	n.links[name][0].Close()
	n.links[name][1].Close()
}
