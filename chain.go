package fakessh

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"slices"
	"time"

	"fakessh/methods"
)

// maxDepth bounds a whole chain: entries and hops.
const maxDepth = 32

// step is one connection of a chain.
type step struct {
	spec   methods.Spec
	target Target        // what a person calls the context: "web1", "web1+sudo.root"
	idle   time.Duration // 0 = Config.Idle, negative = never
}

// chain is every connection from the gateway to a context, outermost first.
type chain []step

// with is c and one step more; c is not changed.
func (c chain) with(s step) (chain, error) {
	if len(c) >= maxDepth {
		return nil, fmt.Errorf("more than %d connections deep", maxDepth)
	}
	return append(slices.Clone(c), s), nil
}

// hop is c and a step that no entry describes. It is kept as long as the context that it leads from, and where nothing may stay of
// that one, nothing stays of it.
func (c chain) hop(spec methods.Spec, target Target) (chain, error) {
	from := c.last()
	if from.spec.Params[cacheParam] == false {
		spec.Params = maps.Clone(spec.Params)
		spec.Params[cacheParam] = false
	}
	return c.with(step{spec: spec, target: target, idle: from.idle})
}

// cacheParam is the parameter of every method that says whether its image stays.
const cacheParam = "cache"

// last is the step that makes the context itself.
func (c chain) last() step { return c[len(c)-1] }

// outer is the chain of the parent; it is empty when that is the gateway.
func (c chain) outer() chain { return c[:len(c)-1] }

// nodeKey tells contexts apart. Two names with the same chain mean one context.
type nodeKey struct {
	// owner is whose credentials the chain was opened with. Contexts opened with those of a user (a forwarded agent, a typed
	// password) are that connection's alone.
	owner string
	chain [sha256.Size]byte
}

// gatewayOwner is the owner of contexts that all users share.
const gatewayOwner = ""

// key is the key of c opened with the gateway's credentials.
func (c chain) key() nodeKey {
	h := sha256.New()
	for _, s := range c {
		hashSpec(h, s.spec)
	}
	return nodeKey{owner: gatewayOwner, chain: [sha256.Size]byte(h.Sum(nil))}
}

// hashSpec writes spec unambiguously: every text with its length, every value with its type. Secrets go into the hash only.
func hashSpec(h hash.Hash, spec methods.Spec) {
	text := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	params := spec.Params.Wire()
	text(spec.Method)
	fmt.Fprintf(h, "%d{", len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		text(name)
		switch v := params[name].(type) {
		case []string:
			fmt.Fprintf(h, "%d[", len(v))
			for _, s := range v {
				text(s)
			}
		case methods.Secret:
			text("secret")
			text(string(v))
		default:
			text(fmt.Sprintf("%T", v))
			text(fmt.Sprint(v))
		}
	}
}
