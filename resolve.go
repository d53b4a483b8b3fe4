package fakessh

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"fakessh/methods"
)

// resolve is Tree.Resolve.
func (inv *inventory) resolve(t Target) (Target, error) {
	if _, ok := inv.entries[t.Name]; !ok {
		return Target{}, &noTargetError{name: t.Name}
	}
	out := Target{Name: t.Name, Hops: slices.Clone(t.Hops)}
	for i := range out.Hops {
		arg, err := inv.spelling(Target{out.Name, out.Hops[:i+1]})
		if err != nil {
			return Target{}, err
		}
		out.Hops[i].Argument = arg
	}
	return out, nil
}

// spelling is the argument of t's last hop in the spelling of the inventory: that of an entry which is the same hop from the same
// context. An argument with a capital has not lost any.
func (inv *inventory) spelling(t Target) (string, error) {
	hop := t.Hops[len(t.Hops)-1]
	m, ok := methods.Lookup(hop.Method)
	if !ok || m.Short == "" || hop.Argument != strings.ToLower(hop.Argument) {
		return hop.Argument, nil
	}
	outer, err := inv.chain(t.outer())
	if err != nil {
		return hop.Argument, nil // chain will say so to whoever connects
	}
	known := map[string]bool{}
	for _, c := range inv.chains {
		arg, ok := c.last().spec.Params[m.Short].(string)
		if ok && c.last().spec.Method == m.Name && strings.EqualFold(arg, hop.Argument) && c.outer().key() == outer.key() {
			known[arg] = true
		}
	}
	switch {
	case len(known) == 0 || known[hop.Argument]:
		return hop.Argument, nil
	case len(known) > 1:
		return "", &TargetError{t.String(), hop.String(), fmt.Sprintf("may be any of %q", slices.Sorted(maps.Keys(known)))}
	}
	return slices.Collect(maps.Keys(known))[0], nil
}

// plan is Tree.Plan.
func (inv *inventory) plan(t Target) (*Plan, error) {
	t, err := inv.resolve(t)
	if err != nil {
		return nil, err
	}
	c, err := inv.chain(t)
	if err != nil {
		return nil, err
	}
	entry := inv.entries[t.Name]
	p := &Plan{Target: t, Groups: slices.Clone(entry.Groups), Jump: "terminate", Become: inv.become(t), Account: c.account()}
	for _, h := range t.Hops {
		p.Hops = append(p.Hops, h.Method)
	}
	if len(t.Hops) > 0 {
		return p, nil
	}
	if entry.Jump != "" {
		p.Jump = entry.Jump
	}
	p.Address = entry.address()
	if entry.Via != "" {
		p.Via, err = ParseTarget(entry.Via)
	}
	return p, err
}

// become is the method that reaches other accounts of t. It is the entry's own: what is behind further hops is another place.
func (inv *inventory) become(t Target) string {
	if len(t.Hops) > 0 {
		return ""
	}
	return inv.entries[t.Name].Become
}

// address is where the target's real sshd listens, as far as the entry says.
func (c *TargetConfig) address() string {
	if c.Address != "" {
		return c.Address
	}
	host, ok := c.Spec.Params["hostname"].(string)
	if !ok || c.Spec.Method != "ssh" {
		return ""
	}
	port := "22"
	switch p := c.Spec.Params["port"].(type) {
	case int64:
		port = strconv.FormatInt(p, 10)
	case int:
		port = strconv.Itoa(p)
	}
	return net.JoinHostPort(host, port)
}
