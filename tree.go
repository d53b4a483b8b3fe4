package fakessh

import (
	"context"
	"log/slog"
	"time"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
)

// TargetConfig is one inventory entry.
type TargetConfig struct {
	Spec    methods.Spec
	Via     string        // a target name; "" = the gateway
	Become  string        // a method that reaches other accounts: "sudo"
	Idle    time.Duration // 0 = Config.Idle
	Groups  []string
	Jump    string // "terminate" (default), "passthrough", "deny"
	Address string // for passthrough: host:port of its real sshd; "" = the ssh method's hostname and port
}

// Config makes a Tree. Only Images has no default.
type Config struct {
	Targets map[string]TargetConfig // "local" is there unless defined otherwise
	Images  *bootstrap.Images
	Idle    time.Duration // 0 = 10 min, negative = never
	Logger  *slog.Logger
}

// Tree is a router with the contexts that an inventory describes, connected when asked for.
type Tree struct{}

// NewTree makes a tree; nothing is connected yet.
func NewTree(cfg Config) (*Tree, error) { panic("unwritten") }

// Update replaces the inventory. Contexts whose description changed are closed when their last session ends.
func (t *Tree) Update(targets map[string]TargetConfig) error { panic("unwritten") }

// Router is the tree's router: the gateway's context, id 0.
func (t *Tree) Router() *router.Router { panic("unwritten") }

// Resolve matches a name that may have lost its capitals to the inventory: exact first, else the one case-insensitive match.
func (t *Tree) Resolve(target Target) (Target, error) { panic("unwritten") }

// Dest is where something runs: a target and an account in it; "" is the target's own account.
type Dest struct {
	Target  Target
	Account string
}

// Lease is a connected context in use: it is not closed as idle until Release.
type Lease struct{}

// Context returns the leased context.
func (l *Lease) Context() *router.Context { panic("unwritten") }

// Info is what the agent said about itself.
func (l *Lease) Info() session.Info { panic("unwritten") }

// Release gives it back. Idempotent.
func (l *Lease) Release() { panic("unwritten") }

// Connect connects dest's whole chain (once however many ask) and leases its last context. Errors are one line:
// `dial web1 via bastion: host key changed`.
func (t *Tree) Connect(ctx context.Context, dest Dest) (*Lease, error) { panic("unwritten") }

// Nodes is a snapshot of the tree, parents before children.
func (t *Tree) Nodes() []Node { panic("unwritten") }

// Node is one context, for pictures.
type Node struct {
	ID       uint32        `json:"id"`
	Parent   uint32        `json:"parent"`
	Name     string        `json:"name"` // "web1+sudo.root"
	Method   string        `json:"method"`
	Platform string        `json:"platform"`
	User     string        `json:"user"`
	PID      int           `json:"pid"`
	Sessions int           `json:"sessions"`
	Since    time.Time     `json:"since"`
	RTT      time.Duration `json:"rtt"`
	State    string        `json:"state"` // "connecting", "up", "failed"
}

// Close ends every session and context.
func (t *Tree) Close() error { panic("unwritten") }
