package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"fakessh"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// TreeBackend is a Backend over a tree.
type TreeBackend struct {
	tree  *fakessh.Tree
	exits atomic.Pointer[fakessh.Exits]
}

// NewTreeBackend makes a Backend over tree. exits may be nil.
func NewTreeBackend(tree *fakessh.Tree, exits *fakessh.Exits) *TreeBackend {
	b := &TreeBackend{tree: tree}
	b.SetExits(exits)
	return b
}

// SetExits replaces the exits. Relays that are open stay.
func (b *TreeBackend) SetExits(exits *fakessh.Exits) { b.exits.Store(exits) }

// Target is of Backend.
func (b *TreeBackend) Target(name string) (*Target, error) {
	parsed, err := fakessh.ParseTarget(name)
	if err != nil {
		return nil, err
	}
	plan, err := b.tree.Plan(parsed)
	if err != nil {
		return nil, err
	}
	return &Target{
		Name: plan.Target.String(), Groups: plan.Groups, Hops: plan.Hops, Account: plan.Account, Jump: JumpMode(plan.Jump), Plan: plan,
	}, nil
}

// Exit is of Backend. An exit through a target that is no longer there is none.
func (b *TreeBackend) Exit(host string) *Target {
	name := b.exits.Load().Match(host)
	if name == "" {
		return nil
	}
	t, err := b.Target(name)
	if err != nil {
		return nil
	}
	return t
}

// Connect is of Backend.
func (b *TreeBackend) Connect(ctx context.Context, t *Target, account string) (Place, error) {
	lease, err := b.tree.Connect(ctx, fakessh.Dest{Target: t.Plan.Target, Account: account})
	if err != nil {
		return nil, err
	}
	return &treePlace{name: t.Name, lease: lease}, nil
}

// DialHost is of Backend.
func (b *TreeBackend) DialHost(ctx context.Context, t *Target) (Stream, error) {
	p := t.Plan
	if p.Address == "" {
		return nil, fmt.Errorf("no address of a server on %s", t.Name)
	}
	if p.Via.Name == "" {
		return dialHere(ctx, p.Address)
	}
	conn, err := b.tree.Dial(ctx, fakessh.Dest{Target: p.Via}, "tcp", p.Address)
	if err != nil {
		return nil, fmt.Errorf("dial %s from %s: %w", p.Address, p.Via, err)
	}
	return conn, nil
}

// hostTimeout is how long a server may take to answer a connection from the gateway itself.
const hostTimeout = 30 * time.Second

// dialHere dials from the gateway.
func dialHere(ctx context.Context, address string) (Stream, error) {
	d := net.Dialer{Timeout: hostTimeout}
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return tcpStream{nc.(*net.TCPConn)}, nil
}

// tcpStream is a connection of the gateway's own as a Stream.
type tcpStream struct{ *net.TCPConn }

// Reset is of Stream.
func (s tcpStream) Reset(error) {
	_ = s.SetLinger(0)
	s.Close()
}

// treePlace is a leased context.
type treePlace struct {
	name  string
	lease *fakessh.Lease
}

func (p *treePlace) Account() string { return p.lease.Account() }
func (p *treePlace) Release()        { p.lease.Release() }

func (p *treePlace) Start(ctx context.Context, spec *session.Spec) (Session, error) {
	client, err := p.lease.Start(ctx, spec)
	if err != nil {
		return nil, p.cause(err)
	}
	return &treeSession{client, p}, nil
}

func (p *treePlace) Dial(ctx context.Context, network, address string) (Stream, error) {
	s, err := p.lease.Dial(ctx, network, address)
	if err != nil {
		return nil, p.cause(err)
	}
	return s, nil
}

func (p *treePlace) Listen(ctx context.Context, network, address string) (Listener, error) {
	l, err := p.lease.Listen(ctx, network, address)
	if err != nil {
		return nil, p.cause(err)
	}
	return &treeListener{l, p}, nil
}

// treeListener is a listener in an agent.
type treeListener struct {
	*session.Listener
	place *treePlace
}

// Accept is of Listener.
func (l *treeListener) Accept(ctx context.Context) (Incoming, error) {
	in, err := l.Listener.Accept(ctx)
	if err != nil {
		return nil, l.place.cause(err)
	}
	return &treeIncoming{in, l.place}, nil
}

// Close is of Listener.
func (l *treeListener) Close(ctx context.Context) error {
	return l.place.lease.Unlisten(ctx, l.Listener)
}

// treeIncoming is a connection that waits in an agent.
type treeIncoming struct {
	*session.Incoming
	place *treePlace
}

// Take is of Incoming.
func (i *treeIncoming) Take(ctx context.Context) (Stream, error) {
	s, err := i.place.lease.Take(ctx, i.Incoming)
	if err != nil {
		return nil, i.place.cause(err)
	}
	return s, nil
}

// Origin is of Incoming.
func (i *treeIncoming) Origin() netip.AddrPort { return i.From }

// lossNews is how long the tree may take to say why a context is lost when a stream knows that it is.
const lossNews = 250 * time.Millisecond

// cause prefers the tree's reason for a loss, which names the target and what became of it.
func (p *treePlace) cause(err error) error {
	if !errors.Is(err, router.ErrLost) {
		return err
	}
	timer := time.NewTimer(lossNews)
	defer timer.Stop()
	select {
	case <-p.lease.Done():
		return p.lease.Err()
	case <-timer.C:
		return &fakessh.LostError{Target: p.name, Err: err}
	}
}

// treeSession is a session in an agent.
type treeSession struct {
	*session.Client
	place *treePlace
}

// Agent is of Session.
func (s *treeSession) Agent(serve func(Incoming)) {
	s.Accepted = func(in *session.Incoming) { serve(&treeIncoming{in, s.place}) }
}

// Output is of Session.
func (s *treeSession) Output(stdout, stderr io.Writer) error {
	return s.place.cause(writeChunks(s, stdout, stderr))
}

// Wait is of Session.
func (s *treeSession) Wait(ctx context.Context) (session.Exit, error) {
	exit, err := s.Client.Wait(ctx)
	if err != nil {
		err = s.place.cause(err)
	}
	return exit, err
}
