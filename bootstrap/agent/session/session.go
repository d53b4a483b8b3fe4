package session

// Function names that an agent serves.
const (
	FuncStart      = "fakessh.session.start"    // Spec → stream
	FuncDial       = "fakessh.session.dial"     // network, address → stream
	FuncListen     = "fakessh.session.listen"   // network, address → stream of a Listener, port
	FuncAttach     = "fakessh.session.attach"   // id of an ItemAccept or ItemInvoke → stream that it waits for
	FuncConnect    = "fakessh.agent.connect"    // ConnectRequest → Connected, and a child context
	FuncDisconnect = "fakessh.agent.disconnect" // id, reason: closes the link of a child
	FuncPutImage   = "fakessh.agent.put_image"  // platform, digest, size → stream that takes the image
	FuncPing       = "fakessh.agent.ping"       // anything → the same
	FuncInfo       = "fakessh.agent.info"       // → Info
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
	// ReadOnly: the sftp subsystem refuses what changes anything. The Message of its Exit says what it has refused.
	ReadOnly bool
	// Shim: the program started gets fakessh's ssh first on PATH; its invocations come as Invoke items (Tree.Run from a target).
	Shim bool
	// Agent: the program gets SSH_AUTH_SOCK; connections to it come as Accept items (ssh -A). Not for the sftp subsystem.
	Agent bool
}

// PTY asks for a pseudo-terminal (RFC 4254 section 6.2).
type PTY struct {
	Term  string
	Size  Size
	Modes []byte // encoded terminal modes, RFC 4254 section 8
}

// Size is a terminal's size in characters and pixels.
type Size struct{ Columns, Rows, Width, Height uint32 }

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
