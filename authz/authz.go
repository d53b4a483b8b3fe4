// Package authz decides who may do what: identities, Cedar policy, decisions, audit.
package authz

import "time"

// Subject is an authenticated principal.
type Subject struct {
	Principal string
	Groups    []string
	KeyID     string // fingerprint of the key that proved it
}

// Action is a verb of the policy.
type Action string

// Actions.
const (
	Shell        Action = "shell"
	Exec         Action = "exec"
	SFTPRead     Action = "sftp_read"
	SFTPWrite    Action = "sftp_write"
	ForwardLocal Action = "forward_local"
	Hop          Action = "hop"
	Jump         Action = "jump"
	Run          Action = "run"
	ShowTree     Action = "tree"
)

// Request is one question.
type Request struct {
	Subject Subject
	Action  Action
	Target  string   // "web1+docker.app": the Target resource
	Groups  []string // the target's groups
	// Facts for the context record.
	Account    string
	Command    string
	Hops       []string
	SourceAddr string // of the client, "host:port"
	DestHost   string // forwards and jumps
	DestPort   int
	PTY        bool
	Time       time.Time // zero = now
	Conn       string    // connection id, for the audit log
}

// Decision is the answer. Public is the one fixed sentence for the user; Reason is for the log.
type Decision struct {
	Allow  bool
	Public string
	Reason string
	Rules  []string // ids of the deciding policies
}

// Decider answers. It is safe for concurrent use. Every answer is audited.
type Decider struct{}

// Decide answers req. Anything unclear is a refusal.
func (d *Decider) Decide(req Request) Decision { panic("unwritten") }
