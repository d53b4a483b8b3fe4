package authz

import (
	"context"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/batch"
)

// Possible answers a question whose account may not be known yet: a target's own account is for its agent to tell, and nothing is connected
// for somebody who could not do what they ask as any account. An empty Account stands for whichever account suits the request best. So a
// refusal is final, and on record like every other; a yes grants nothing and is not on record: ask Decide when the account is known.
func (d *Decider) Possible(req Request) Decision {
	if req.Time.IsZero() {
		req.Time = time.Now()
	}
	policy := d.policy.Load()
	dec := policy.evaluate
	if req.Account == "" {
		dec = policy.possible
	}
	answer := dec(req)
	if !answer.Allow && d.audit != nil {
		_ = d.audit.Append(decisionRecord(req, answer)) // it is no already; the log counts what it could not keep
	}
	return answer
}

// possible evaluates the policies for no account in particular. A condition that the account decides is taken for true where it permits, and
// for false where it forbids. The rest of the question counts in full.
func (p *Policy) possible(req Request) Decision {
	if reason := req.incomplete(); reason != "" {
		return refusal(reason, nil)
	}
	facts := contextRecord(req)
	facts["account"] = batch.Ignore()
	var dec Decision
	err := batch.Authorize(context.Background(), p.set, entities(req), batch.Request{
		Principal: user(req.Subject.Principal),
		Action:    action(req.Action),
		Resource:  target(req.Target),
		Context:   cedar.NewRecord(facts),
	}, func(r batch.Result) error {
		dec = p.decision(r.Decision, r.Diagnostic, "no rule permits it, whatever the account")
		return nil
	})
	if err != nil {
		return refusal("evaluate without an account: "+err.Error(), nil)
	}
	return dec
}
