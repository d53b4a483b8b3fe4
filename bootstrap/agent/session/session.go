// Package session is what a session is made of: the request that starts one in an
// agent, the items that travel beside its bytes, and the client that speaks both.
package session

import (
	"context"

	"fakessh/router"
)

// Function names that an agent serves.
const (
	FuncStart    = "fakessh.session.start"   // Spec → stream
	FuncDial     = "fakessh.session.dial"    // network, address → stream
	FuncConnect  = "fakessh.agent.connect"   // method spec → child context
	FuncPutImage = "fakessh.agent.put_image" // platform, digest, size → stream that takes the image
	FuncPing     = "fakessh.agent.ping"      // anything → the same
	FuncInfo     = "fakessh.agent.info"      // → Info
)

// Kind says what a session starts.
type Kind string

const (
	Shell     Kind = "shell"     // the account's login shell, as a login shell
	Exec      Kind = "exec"      // Command, by the account's login shell -c
	Argv      Kind = "argv"      // Args, without any shell
	Subsystem Kind = "subsystem" // Command names it: "sftp"
)

// Spec asks for a session. Its wire form is a pickled dict; unknown keys are ignored.
type Spec struct {
	Kind    Kind
	Command string
	Args    []string
	Dir     string            // "" = the account's home
	Env     map[string]string // asked for by the user, already filtered
	PTY     *PTY
	// ClientAddr and ServerAddr fill SSH_CONNECTION and SSH_CLIENT: "host port".
	ClientAddr, ServerAddr string
	// Shim: the program started gets fakessh's ssh first on PATH; its invocations come as Invoke items (Tree.Run from a target).
	Shim bool
}

// PTY asks for a pseudo-terminal (RFC 4254 section 6.2).
type PTY struct {
	Term  string
	Size  Size
	Modes []byte // encoded terminal modes, RFC 4254 section 8
}

// Size is a terminal's size in characters and pixels.
type Size struct{ Columns, Rows, Width, Height uint32 }

// Out-of-band item kinds of a session's stream.
const (
	ItemSize   byte = 'w' // client → agent: Size, 4 × uint32 big endian
	ItemSignal byte = 's' // client → agent: signal name without "SIG"
	ItemBreak  byte = 'b' // client → agent: milliseconds, uint32
	ItemExit   byte = 'x' // agent → client: Exit, the last item
	ItemInvoke byte = 'i' // agent → client: a shim was started (Spec.Shim)
	ItemAnswer byte = 'a' // client → agent: what became of it
)

// Exit is how a session ended. It comes after all output.
type Exit struct {
	Status  uint32
	Signal  string // without "SIG"; empty when it exited
	Core    bool
	Message string
}

// Info is what an agent tells about itself.
type Info struct {
	PID                        int
	OS, Arch, Hostname         string
	UID, GID                   int
	User, Home, Shell, Version string
}

// Client is the asking end of a session. Its Stream carries stdin, and stdout (Main) with stderr (Extended).
type Client struct{ *router.Stream }

// Start starts a session in c and returns when the process exists. The error of a session that
// cannot start is a *router.CallError whose Text is one line for the user.
func Start(ctx context.Context, c *router.Context, spec *Spec) (*Client, error) { panic("unwritten") }

// Resize tells the terminal's new size.
func (c *Client) Resize(s Size) error { panic("unwritten") }

// Signal sends a signal, named without "SIG", to the foreground process group.
func (c *Client) Signal(name string) error { panic("unwritten") }

// Break sends a break of ms milliseconds (RFC 4335).
func (c *Client) Break(ms uint32) error { panic("unwritten") }

// Wait waits for the exit item. The output need not have been read.
func (c *Client) Wait(ctx context.Context) (Exit, error) { panic("unwritten") }

// Dial connects to address inside c: network is "tcp" or "unix".
func Dial(ctx context.Context, c *router.Context, network, address string) (*router.Stream, error) {
	panic("unwritten")
}
