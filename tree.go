package fakessh

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"fakessh/bootstrap"
	"fakessh/router"
)

// Timing that is not the user's to set.
const (
	defaultIdle      = 10 * time.Minute
	failureMemory    = 2 * time.Second  // how long a failed connection answers for itself
	defaultKeepalive = 15 * time.Second // between two pings
	keepaliveMisses  = 3                // unanswered pings that mean the agent is gone
)

// Config makes a Tree. Only Images has no default.
type Config struct {
	Targets map[string]TargetConfig // "local" is there unless defined otherwise
	Images  *bootstrap.Images
	Idle    time.Duration // 0 = 10 min, negative = never
	Logger  *slog.Logger  // nil discards

	// Keepalive is the time between two pings of each agent, 15 s if 0. One that is silent for three such times is lost.
	// Negative: agents are not pinged.
	Keepalive time.Duration
}

// Tree is a router with the contexts that an inventory describes, connected when asked for.
// All methods are safe for concurrent use.
type Tree struct {
	idle   time.Duration
	pings  time.Duration // between two; negative: none
	log    *slog.Logger
	dialer dialer
	wg     sync.WaitGroup // one per node: its goroutine

	mu       sync.Mutex
	inv      *inventory
	nodes    map[nodeKey]*node         // what a request may find: connecting, up, or failed a moment ago
	alive    map[*node]struct{}        // nodes whose goroutine runs, those included that no request finds any more
	programs map[router.ContextID]Node // programs that are attached
	closed   bool
}

// NewTree makes a tree; nothing is connected yet. Errors are about the inventory.
func NewTree(cfg Config) (*Tree, error) {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Images == nil {
		return nil, errors.New("tree: no images of the agent")
	}
	inv, err := newInventory(cfg.Targets)
	if err != nil {
		return nil, err
	}
	t := newTree(inv, cfg.Idle, log, newRouterDialer(cfg.Images, log))
	if cfg.Keepalive != 0 {
		t.pings = cfg.Keepalive
	}
	return t, nil
}

func newTree(inv *inventory, idle time.Duration, log *slog.Logger, d dialer) *Tree {
	if idle == 0 {
		idle = defaultIdle
	}
	return &Tree{
		idle: idle, pings: defaultKeepalive, log: log, dialer: d, inv: inv,
		nodes: map[nodeKey]*node{}, alive: map[*node]struct{}{}, programs: map[router.ContextID]Node{},
	}
}

// Router is the tree's router: the gateway's context, id 0.
func (t *Tree) Router() *router.Router { return t.dialer.router() }

// Update replaces the inventory, or leaves everything as it is when it is wrong. Contexts whose description is the same stay; the
// others serve nobody new and are closed when their last lease ends.
func (t *Tree) Update(targets map[string]TargetConfig) error {
	inv, err := newInventory(targets)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inv = inv
	for key, n := range t.nodes {
		if !inv.describes(n.chain) {
			n.stale = true
			delete(t.nodes, key)
			n.settle()
		}
	}
	return nil
}

// describes reports whether the context at the end of c would be made in the same way now.
func (inv *inventory) describes(c chain) bool {
	target := c.last().target
	now, ok := inv.chains[target.Name]
	entry := c[:len(c)-len(target.Hops)]
	return ok && now.key() == entry.key() && now.last().idle == entry.last().idle
}

// inventory is the one in force.
func (t *Tree) inventory() *inventory {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inv
}

// Close ends every session and context, innermost first, and returns when their tools have ended.
func (t *Tree) Close() error {
	t.mu.Lock()
	t.closed = true
	for n := range t.alive {
		if n.state == connecting {
			n.cancel(ErrTreeClosed)
		}
		n.settle()
	}
	t.mu.Unlock()
	t.wg.Wait()
	t.mu.Lock()
	clear(t.nodes) // failures that are still remembered
	t.mu.Unlock()
	return t.dialer.close()
}

// Node is one context, for pictures.
type Node struct {
	ID       uint32        `json:"id"` // 0 until it is up
	Parent   uint32        `json:"parent"`
	Name     string        `json:"name"` // "web1+sudo.root"
	Method   string        `json:"method"`
	Platform string        `json:"platform"`
	User     string        `json:"user"`
	PID      int           `json:"pid"`
	Sessions int           `json:"sessions"` // leases
	Since    time.Time     `json:"since"`
	RTT      time.Duration `json:"rtt"`
	State    string        `json:"state"` // "connecting", "up", "closing", "failed"; of a program, "attached"
}

// Nodes is a snapshot of the tree, parents before children, siblings by name; then the programs that are attached to it.
func (t *Tree) Nodes() []Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	nodes := make([]*node, 0, len(t.alive))
	for n := range t.alive {
		nodes = append(nodes, n)
	}
	for _, n := range t.nodes {
		if n.state == failed {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, byDepthAndName)
	out := make([]Node, len(nodes))
	for i, n := range nodes {
		out[i] = n.snapshot()
	}
	return slices.AppendSeq(out, maps.Values(t.programs))
}

// Resolve matches a target that may have lost its capitals (ssh lower-cases host names) to the inventory: exact first, else the one
// case-insensitive match. A hop's argument is matched with the entries that make the same connection.
func (t *Tree) Resolve(target Target) (Target, error) { return t.inventory().resolve(target) }

// Plan says what a target means, without connecting anything.
type Plan struct {
	Target  Target
	Groups  []string // of its entry
	Hops    []string // methods of the hops that the inventory does not have
	Jump    string   // "terminate", "passthrough", "deny"
	Address string   // of its real sshd, "host:port"; "" when it is not known
	Via     Target   // where a passthrough is dialled from; its Name is "" for the gateway
	Become  string
	Account string // the target's own, as far as it is known without connecting; "" otherwise
}

// Plan resolves target and says what it means. Errors: those of Resolve, and *TargetError for hops that cannot be made.
func (t *Tree) Plan(target Target) (*Plan, error) { return t.inventory().plan(target) }

// chain finds the chain of a resolved target.
func (t *Tree) chain(target Target) (chain, *inventory, error) {
	inv := t.inventory()
	target, err := inv.resolve(target)
	if err != nil {
		return nil, nil, err
	}
	c, err := inv.chain(target)
	return c, inv, err
}
