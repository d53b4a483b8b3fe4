package authz

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// Entity types of the policy language.
const (
	typeUser        cedar.EntityType = "User"
	typeGroup       cedar.EntityType = "Group"
	typeAction      cedar.EntityType = "Action"
	typeTarget      cedar.EntityType = "Target"
	typeTargetGroup cedar.EntityType = "TargetGroup"
)

// Policy is a set of Cedar policies. It never changes, so any number of goroutines may use it.
type Policy struct {
	name string
	set  *cedar.PolicySet
}

// NoPolicy permits nothing: what is in force with a configuration file that names no policy.
func NoPolicy() *Policy {
	return &Policy{name: "no policy", set: cedar.NewPolicySet()}
}

// Name is the file's name, or what stands for it.
func (p *Policy) Name() string { return p.name }

// Rules lists the ids of the policies, sorted.
func (p *Policy) Rules() []string {
	var ids []string
	for id := range p.set.All() {
		ids = append(ids, string(id))
	}
	slices.Sort(ids)
	return ids
}

// evaluate answers req, without a record.
func (p *Policy) evaluate(req Request) Decision {
	if reason := req.incomplete(); reason != "" {
		return refusal(reason, nil)
	}
	ok, diag := cedar.Authorize(p.set, entities(req), cedar.Request{
		Principal: user(req.Subject.Principal),
		Action:    action(req.Action),
		Resource:  target(req.Target),
		Context:   cedar.NewRecord(contextRecord(req)),
	})
	return p.decision(ok, diag, "no rule permits it")
}

// decision is the answer that the evaluated policies amount to. none is why when no rule decides.
func (p *Policy) decision(ok cedar.Decision, diag cedar.Diagnostic, none string) Decision {
	if broken := p.brokenForbid(diag); broken != "" {
		return refusal(broken, nil)
	}
	rules := ruleIDs(diag)
	switch {
	case ok == cedar.Allow:
		return Decision{Allow: true, Reason: "permitted by " + strings.Join(rules, ", "), Rules: rules}
	case len(rules) > 0:
		return refusal("forbidden by "+strings.Join(rules, ", "), rules)
	case len(diag.Errors) > 0:
		return refusal(none+"; "+ruleError(diag.Errors[0]), nil)
	}
	return refusal(none, nil)
}

// incomplete names what a question must have and this one has not.
func (req *Request) incomplete() string {
	switch {
	case req.Subject.Principal == "":
		return "no principal"
	case req.Action == "":
		return "no action"
	}
	return ""
}

// brokenForbid finds a forbid rule that could not be evaluated. Cedar leaves such a rule out, which would
// turn a mistake in a prohibition into a grant.
func (p *Policy) brokenForbid(diag cedar.Diagnostic) string {
	for _, e := range diag.Errors {
		if rule := p.set.Get(e.PolicyID); rule == nil || rule.Effect() == cedar.Forbid {
			return "cannot evaluate " + ruleError(e)
		}
	}
	return ""
}

func ruleError(e cedar.DiagnosticError) string {
	return string(e.PolicyID) + ": " + e.Message
}

func ruleIDs(diag cedar.Diagnostic) []string {
	var ids []string
	for _, r := range diag.Reasons {
		ids = append(ids, string(r.PolicyID))
	}
	slices.Sort(ids)
	return ids
}

// entities is the part of the world that one question is about: the user with its groups, the target with its
// groups and the targets that it is behind.
func entities(req Request) cedar.EntityMap {
	m := cedar.EntityMap{}
	who := user(req.Subject.Principal)
	m[who] = cedar.Entity{UID: who, Parents: uidSet(typeGroup, req.Subject.Groups)}

	parents := uids(typeTargetGroup, req.Groups)
	for _, outer := range outerTargets(req.Target) {
		parents = append(parents, target(outer))
	}
	uid := target(req.Target)
	m[uid] = cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(parents...)}
	return m
}

// outerTargets lists the targets that a target is behind: "a+b+c" is behind "a" and "a+b".
func outerTargets(target string) []string {
	var outer []string
	for i, c := range target {
		if c == '+' {
			outer = append(outer, target[:i])
		}
	}
	return outer
}

func uids(typ cedar.EntityType, names []string) []cedar.EntityUID {
	var out []cedar.EntityUID
	for _, n := range names {
		out = append(out, cedar.NewEntityUID(typ, cedar.String(n)))
	}
	return out
}

func uidSet(typ cedar.EntityType, names []string) cedar.EntityUIDSet {
	return cedar.NewEntityUIDSet(uids(typ, names)...)
}

// contextRecord is what policies see as `context`.
func contextRecord(req Request) cedar.RecordMap {
	m := cedar.RecordMap{
		"account":   cedar.String(req.Account),
		"command":   cedar.String(req.Command),
		"hops":      stringSet(req.Hops),
		"hop_count": cedar.Long(len(req.Hops)),
		"key":       cedar.String(req.Subject.KeyID),
		"dest_host": cedar.String(req.DestHost),
		"dest_port": cedar.Long(req.DestPort),
		"pty":       cedar.Boolean(req.PTY),
		"time":      cedar.NewDatetime(req.Time),
	}
	maps.Copy(m, sourceRecord(req.SourceAddr))
	if ip, ok := ipValue(req.DestHost); ok {
		m["dest_ip"] = ip
	}
	return m
}

func sourceRecord(addr string) cedar.RecordMap {
	m := cedar.RecordMap{"source_port": cedar.Long(0)}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return m
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		m["source_port"] = cedar.Long(n)
	}
	if ip, ok := ipValue(host); ok {
		m["source_ip"] = ip
	}
	return m
}

// ipValue takes the zone off and an IPv4 address out of its IPv6 clothes, so that one rule matches both.
func ipValue(host string) (cedar.Value, bool) {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return nil, false
	}
	a = a.Unmap().WithZone("")
	return cedar.IPAddr(netip.PrefixFrom(a, a.BitLen())), true
}

func stringSet(ss []string) cedar.Set {
	vs := make([]cedar.Value, len(ss))
	for i, s := range ss {
		vs[i] = cedar.String(s)
	}
	return cedar.NewSet(vs...)
}
