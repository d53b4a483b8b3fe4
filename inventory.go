package fakessh

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fakessh/methods"
)

// LocalTarget is in every inventory: the gateway's own machine and account, unless the configuration says otherwise.
const LocalTarget = "local"

// TargetConfig is one inventory entry.
type TargetConfig struct {
	Spec    methods.Spec
	Via     string        // a target name; "" = the gateway
	Become  string        // a method that reaches other accounts: "sudo"
	Idle    time.Duration // 0 = Config.Idle, negative = never closed as idle
	Groups  []string
	Jump    string // "terminate" (default), "passthrough", "deny"
	Address string // for passthrough: host:port of its real sshd; "" = the ssh method's hostname and port
}

// inventory is a checked set of entries. It never changes.
type inventory struct {
	entries map[string]TargetConfig
	chains  map[string]chain // of every entry, from the gateway
}

// CheckTargets says what is wrong with each entry that cannot serve, so that a configuration's reader can say where.
func CheckTargets(targets map[string]TargetConfig) map[string]error {
	_, wrong := readInventory(targets)
	return wrong
}

// newInventory checks the entries all or nothing. Errors name the entry.
func newInventory(targets map[string]TargetConfig) (*inventory, error) {
	inv, wrong := readInventory(targets)
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		return nil, wrong[name]
	}
	return inv, nil
}

// readInventory is the inventory, and what is wrong with its entries.
func readInventory(targets map[string]TargetConfig) (*inventory, map[string]error) {
	inv := &inventory{entries: maps.Clone(targets), chains: map[string]chain{}}
	wrong := map[string]error{}
	if inv.entries == nil {
		inv.entries = map[string]TargetConfig{}
	}
	if _, ok := inv.entries[LocalTarget]; !ok {
		inv.entries[LocalTarget] = TargetConfig{Spec: methods.Spec{Method: "local"}}
	}
	for name, entry := range inv.entries {
		if err := inv.checkEntry(name, entry); err != nil {
			wrong[name] = err
		}
	}
	return inv, wrong
}

func (inv *inventory) checkEntry(name string, entry TargetConfig) error {
	if reason := checkName(name); reason != "" {
		return &TargetError{name, name, reason}
	}
	if err := entry.check(); err != nil {
		return fmt.Errorf("target %q: %w", name, err)
	}
	_, err := inv.entryChain(name, nil)
	return err
}

// check looks at what can be seen in the entry alone.
func (c *TargetConfig) check() error {
	m, ok := methods.Lookup(c.Spec.Method)
	if !ok {
		return fmt.Errorf("unknown method %q", c.Spec.Method)
	}
	if err := m.Check(c.Spec.Params); err != nil {
		return err
	}
	switch c.Jump {
	case "", "terminate", "passthrough", "deny":
	default:
		return fmt.Errorf("jump %q: want terminate, passthrough or deny", c.Jump)
	}
	return checkBecome(c.Become)
}

// checkBecome refuses methods that know no accounts.
func checkBecome(name string) error {
	if name == "" {
		return nil
	}
	m, ok := methods.Lookup(name)
	if !ok {
		return fmt.Errorf("become: unknown method %q", name)
	}
	if m.Short != accountParam {
		return fmt.Errorf("become: method %q reaches no other accounts", name)
	}
	return nil
}

// entryChain is the chain of an entry, with those of the entries that it is via. below lists the names on whose behalf
// it is asked, for finding cycles.
func (inv *inventory) entryChain(name string, below []string) (chain, error) {
	if c, done := inv.chains[name]; done {
		return c, nil
	}
	entry, ok := inv.entries[name]
	if !ok {
		return nil, &noTargetError{name, below}
	}
	if i := slices.Index(below, name); i >= 0 {
		return nil, fmt.Errorf("target %q: via goes round in a circle: %s", name, strings.Join(append(below[i:], name), " via "))
	}
	outer, err := inv.viaChain(name, entry.Via, append(slices.Clone(below), name))
	if err != nil {
		return nil, err
	}
	c, err := outer.with(step{spec: entry.Spec, target: Target{Name: name}, idle: entry.Idle})
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", name, err)
	}
	inv.chains[name] = c
	return c, nil
}

// viaChain is the chain that the entry name begins with.
func (inv *inventory) viaChain(name, via string, below []string) (chain, error) {
	if via == "" {
		return nil, nil
	}
	t, err := ParseTarget(via)
	if err != nil {
		return nil, fmt.Errorf("target %q: via: %w", name, err)
	}
	c, err := inv.entryChain(t.Name, below)
	if err != nil {
		return nil, err
	}
	c, err = inv.hops(c, t)
	if err != nil {
		return nil, fmt.Errorf("target %q: via: %w", name, err)
	}
	return c, nil
}

// chain is the whole chain of a target.
func (inv *inventory) chain(t Target) (chain, error) {
	c, err := inv.entryChain(t.Name, nil)
	if err != nil {
		return nil, err
	}
	return inv.hops(c, t)
}

// hops appends t's hops to the chain of its name.
func (inv *inventory) hops(c chain, t Target) (chain, error) {
	for i, h := range t.Hops {
		spec, err := h.spec()
		if err == nil {
			c, err = c.hop(spec, Target{t.Name, slices.Clone(t.Hops[:i+1])})
		}
		if err != nil {
			return nil, &TargetError{t.String(), h.String(), err.Error()}
		}
	}
	return c, nil
}

// spec is the connection that a hop means: its method, with the argument as the parameter that the method keeps for it.
func (h Hop) spec() (methods.Spec, error) {
	m, ok := methods.Lookup(h.Method)
	if !ok {
		return methods.Spec{}, errors.New("unknown method") // its name stands in front
	}
	spec := methods.Spec{Method: h.Method, Params: methods.Params{}}
	if h.Argument != "" {
		if m.Short == "" {
			return methods.Spec{}, fmt.Errorf("method %q takes no argument", h.Method)
		}
		spec.Params[m.Short] = h.Argument
	}
	return spec, m.Check(spec.Params)
}

// noTargetError matches ErrNoTarget.
type noTargetError struct {
	name  string
	below []string // the entries that are via it, nearest last
}

func (e *noTargetError) Error() string {
	if n := len(e.below); n > 0 {
		return fmt.Sprintf("target %q: via: no target %q", e.below[n-1], e.name)
	}
	return fmt.Sprintf("no target %q", e.name)
}

func (e *noTargetError) Is(target error) bool { return target == ErrNoTarget }
