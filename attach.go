package fakessh

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// A Python program attaches to the tree by mitogen.unix.connect(): the control socket is where the listener of Mitogen would be. It becomes a
// child of the gateway whose messages are stamped with the gateway's authority, so that it may do in every context what the gateway may.

const (
	defaultMaxAttached = 64
	attachedMessage    = 128 << 20 // bytes of a payload: what Mitogen takes
)

var (
	errNotOwner     = errors.New("only the gateway's own account and root may attach")
	errManyAttached = errors.New("too many programs are attached")
)

// Attachment is a program that attaches by mitogen.unix, or wants to.
type Attachment struct {
	Conn    string // names the connection
	Peer    Peer
	ID      router.ContextID // the context that it is; 0 for one that is refused
	Err     error            // why it is refused, or over
	Elapsed time.Duration    // of one that is over
}

// attach serves a program that has turned out to speak mitogen.unix, until it is gone. To one that is refused nothing is said: the
// handshake has no words for it.
func (s *ControlServer) attach(ctx context.Context, conn *session.InvokeConn, p Peer) error {
	if s.Attach == nil {
		return session.ErrMitogenUnix
	}
	a := &Attachment{Conn: newConnID(), Peer: p}
	if a.Err = s.takePlace(p); a.Err != nil {
		_ = s.Attach(a)
		return a.Err
	}
	defer s.leavePlace()
	pid, err := conn.MitogenPID()
	if err != nil {
		return err
	}
	if a.Peer.PID == 0 { // not every kernel says
		a.Peer.PID = pid
	}
	if a.ID, err = s.Tree.Router().AllocateID(ctx); err != nil {
		return err
	}
	if err := s.Attach(a); err != nil {
		return err
	}
	begun := time.Now()
	a.Err = s.Tree.keepAttached(ctx, conn, a)
	a.Elapsed = time.Since(begun)
	if s.Detach != nil {
		s.Detach(a)
	}
	return nil
}

// takePlace decides whether a process may attach, and counts it.
func (s *ControlServer) takePlace(p Peer) error {
	if !isOwner(p) {
		return errNotOwner
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached >= orMany(s.MaxAttached, defaultMaxAttached) {
		return errManyAttached
	}
	s.attached++
	return nil
}

func (s *ControlServer) leavePlace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attached--
}

// isOwner tells the accounts that could do with this process what they like anyway.
func isOwner(p Peer) bool { return p.UID == os.Geteuid() || p.UID == 0 }

// keepAttached has a at the other end of conn as a context, until it is gone or ctx ends. It returns why.
func (t *Tree) keepAttached(ctx context.Context, conn *session.InvokeConn, a *Attachment) error {
	r := t.Router()
	if err := conn.MitogenWelcome(a.ID, r.ID()); err != nil {
		return err
	}
	c, err := joinAttached(r, conn.NetConn(), a)
	if err != nil {
		return err
	}
	defer t.showAttached(a)()
	select {
	case <-c.Done():
	case <-ctx.Done():
		_ = c.Disconnect(context.Cause(ctx)) // or it has just gone
		<-c.Done()
	}
	var lost *router.LostError
	switch {
	case ctx.Err() != nil: // what is read then is our own end of it
		return context.Cause(ctx)
	case errors.As(c.Err(), &lost) && lost.Cause != nil:
		return lost.Cause
	}
	return c.Err()
}

// joinAttached makes conn a link. The handshake says no version: it is taken for an old one until it shows better.
func joinAttached(r *router.Router, conn net.Conn, a *Attachment) (*router.Context, error) {
	own := r.ID()
	return r.AddLink(conn, router.LinkConfig{
		Remote: a.ID, Name: a.name(), Auth: &own, MaxMessage: attachedMessage, OldPeer: true,
	})
}

// name is as Mitogen's listener has it.
func (a *Attachment) name() string { return "unix_client." + strconv.Itoa(a.Peer.PID) }

// showAttached makes a one of Nodes, until the returned function is called.
func (t *Tree) showAttached(a *Attachment) (hide func()) {
	n := Node{
		ID: uint32(a.ID), Parent: uint32(t.Router().ID()), Name: a.name(), Method: "mitogen.unix", User: a.Peer.Account(), PID: a.Peer.PID,
		Since: time.Now(), State: "attached",
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.programs[a.ID] = n
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.programs, a.ID)
	}
}
