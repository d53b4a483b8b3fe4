package authz

import (
	"sync/atomic"
	"time"
)

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
	Shell         Action = "shell"          // a login shell, with or without a terminal
	Exec          Action = "exec"           // a command by the account's shell
	SFTPRead      Action = "sftp_read"      // read files by the sftp subsystem
	SFTPWrite     Action = "sftp_write"     // change files by the sftp subsystem
	ForwardLocal  Action = "forward_local"  // -L, -D, -W: dial from inside the target; -N of run and ssh: keep it connected for that
	ForwardRemote Action = "forward_remote" // -R: listen inside the target
	AgentForward  Action = "agent_forward"  // -A
	X11Forward    Action = "x11_forward"    // -X
	Hop           Action = "hop"            // hops that are not in the inventory
	Jump          Action = "jump"           // a relay to a host that is no target
	Run           Action = "run"            // run --from: beside exec of its program, the right to have ssh lead onward from there
	ShowTree      Action = "tree"           // see the contexts
)

// Request is one question.
type Request struct {
	Subject Subject
	Action  Action
	Target  string   // "web1+docker.app": the Target resource
	Groups  []string // the target's groups
	// Facts for the context record.
	Account    string // in the target; "" where none is used yet (a hop, a jump to a real server), or when it is the target's own and nobody can tell its name
	Command    string
	Hops       []string
	SourceAddr string // of the client, "host:port"
	DestHost   string // forwards and jumps
	DestPort   int
	Mode       string // of a jump, for the record: "terminate", "passthrough", "exit"
	PTY        bool
	Time       time.Time // zero = now
	Conn       string    // connection id, for the audit log
}

// Decision is the answer. Public is the one fixed sentence for the user; Reason is for the log.
type Decision struct {
	Allow  bool
	Public string
	Reason string
	Rules  []string // ids of the deciding policies, sorted
}

// PublicRefusal is what every refused user is told: it says nothing about why.
const PublicRefusal = "access denied"

// Auditor keeps records. An error means that the record is not kept, and why.
type Auditor interface {
	Append(Record) error
}

// Decider answers. It is safe for concurrent use. Every answer of Decide is audited, and every refusal.
type Decider struct {
	policy atomic.Pointer[Policy]
	audit  Auditor
}

// NewDecider makes a decider; a nil policy permits nothing, a nil auditor keeps no records.
func NewDecider(policy *Policy, audit Auditor) *Decider {
	d := &Decider{audit: audit}
	d.SetPolicy(policy)
	return d
}

// SetPolicy replaces the policy at once for every later question.
func (d *Decider) SetPolicy(policy *Policy) {
	if policy == nil {
		policy = NoPolicy()
	}
	d.policy.Store(policy)
}

// Policy is the policy in force.
func (d *Decider) Policy() *Policy { return d.policy.Load() }

// Decide answers req. Anything unclear is a refusal, and so is an answer that cannot be put on record.
func (d *Decider) Decide(req Request) Decision {
	if req.Time.IsZero() {
		req.Time = time.Now()
	}
	dec := d.policy.Load().evaluate(req)
	if d.audit == nil {
		return dec
	}
	if err := d.audit.Append(decisionRecord(req, dec)); err != nil && dec.Allow {
		return refusal("audit: "+err.Error(), dec.Rules)
	}
	return dec
}

func refusal(reason string, rules []string) Decision {
	return Decision{Public: PublicRefusal, Reason: reason, Rules: rules}
}
