package proxy

import (
	"context"
	"io"
	"net/netip"

	"fakessh"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// JumpMode is what `ssh -J` to a target's name does.
type JumpMode string

// The modes.
const (
	JumpTerminate   JumpMode = "terminate"   // the gateway is the host; the default
	JumpPassthrough JumpMode = "passthrough" // a relay to its real sshd
	JumpDeny        JumpMode = "deny"
)

// Target is a target that exists, or may be made by hops that the inventory does not have.
type Target struct {
	Name    string // canonical: "web1+docker.app"
	Groups  []string
	Hops    []string // the methods of hops that the inventory does not have
	Account string   // its own, as far as it is known without connecting; "" otherwise
	Jump    JumpMode
	Plan    *fakessh.Plan // the tree's own description
}

// Backend is the tree behind the server. All methods are safe for concurrent use. An error's text is one line for the user.
type Backend interface {
	// Target finds a target by its name as typed. It connects nothing.
	Target(name string) (*Target, error)
	// Exit finds the target inside which connections to a host that is no target's are made (exits); nil when there is none.
	Exit(host string) *Target
	// Connect goes to t as account ("" is its own). The Place must be released.
	Connect(ctx context.Context, t *Target, account string) (Place, error)
	// DialHost connects to t's real sshd (JumpPassthrough).
	DialHost(ctx context.Context, t *Target) (Stream, error)
}

// Place is a connected target, kept connected until Release.
type Place interface {
	// Account is who one is there, as the target itself says: "root" for uid 0.
	Account() string
	// Start starts a session and returns when the program exists. The session must be closed.
	Start(ctx context.Context, spec *session.Spec) (Session, error)
	// Dial connects to an address from there; network is "tcp" or "unix". The Stream must be closed.
	Dial(ctx context.Context, network, address string) (Stream, error)
	// Listen listens there: network "tcp" on "127.0.0.1", "::1", or "localhost" for both; or "unix" on a path. The Listener must be reset,
	// after Close too.
	Listen(ctx context.Context, network, address string) (Listener, error)
	// Release is called when everything that was started there is closed.
	Release()
}

// Listener is an address inside a target at which connections come.
type Listener interface {
	// Port is the port, of "tcp".
	Port() int
	// Accept waits for the next connection. io.EOF after Close, else the reason why there will be none.
	Accept(ctx context.Context) (Incoming, error)
	// Close stops listening and returns when the address is free again. Connections that were taken stay.
	Close(ctx context.Context) error
	// Reset stops listening at once. Idempotent.
	Reset(cause error)
}

// Incoming is a connection that waits in a target. One of its methods has to be called, once.
type Incoming interface {
	// Take makes it a Stream, which must be closed.
	Take(ctx context.Context) (Stream, error)
	// Refuse has it closed.
	Refuse(why error)
	// Origin is where it came from, as the target says; zero where that is nowhere.
	Origin() netip.AddrPort
}

// Session is a running program. Output, ReadFrom and the rest may be called at the same time.
type Session interface {
	// Output writes everything the program says until it says no more: nil then, the cause when the program is lost, or the
	// error of a writer.
	Output(stdout, stderr io.Writer) error
	// ReadFrom gives the program its input, until EOF. It does not close the program's input.
	io.ReaderFrom
	// CloseWrite ends the program's input.
	CloseWrite() error
	Resize(session.Size) error
	Signal(name string) error
	Break(ms uint32) error
	// StopOutput says that nobody reads that output any more: a program that writes on gets SIGPIPE. What it has written is
	// still to be taken.
	StopOutput(router.Class) error
	// Agent has connections to the program's ssh-agent (session.Spec.Agent) served, until the session's end. It is called before Wait, by whom
	// they come: somebody has to wait while the program runs.
	Agent(serve func(Incoming))
	// Wait waits for the exit, which comes after all output.
	Wait(ctx context.Context) (session.Exit, error)
	// Reset ends the session at once; the program gets SIGHUP. Idempotent.
	Reset(cause error)
	// Close gives it back. Idempotent.
	Close() error
}

// Stream is a connection made inside a target. Half-close is exact in both directions.
type Stream interface {
	io.ReadWriteCloser
	// CloseWrite sends EOF after everything written.
	CloseWrite() error
	// Reset ends both directions at once. Idempotent.
	Reset(cause error)
}
