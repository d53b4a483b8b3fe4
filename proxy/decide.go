package proxy

import (
	"cmp"
	"context"
	"time"

	"fakessh/authz"
)

// Decider answers what a subject may. *authz.Decider is one. It is safe for concurrent use; it audits its answers itself.
type Decider interface {
	Decide(authz.Request) authz.Decision
	// Possible is asked before a target is connected, when its account may not be known yet ("" is any): no is final, yes grants nothing.
	Possible(authz.Request) authz.Decision
}

// Auditor is told what became of what was allowed. It is safe for concurrent use and must not block for long.
type Auditor interface {
	Event(Event)
}

// EventKind says what happened.
type EventKind string

// Kinds of events.
const (
	EventLogin        EventKind = "login"         // a handshake is over
	EventLoginFailed  EventKind = "login_failed"  // or has failed; Reason says why
	EventLogout       EventKind = "logout"        // a connection has ended; Bytes are not counted
	EventVirtualHost  EventKind = "virtual_host"  // -J, terminated here: an inner login
	EventSessionStart EventKind = "session_start" // a program runs
	EventSessionEnd   EventKind = "session_end"   // it has ended, or was lost, or never ran: Status, Signal, Reason
	EventForwardStart EventKind = "forward_start" // a -L, -W or -J connection has been made; or -R or -A listens
	EventForwardEnd   EventKind = "forward_end"   // and is closed; Count, and Reason when a -R was not cancelled
	EventRefused      EventKind = "refused"       // for a reason that is not policy: Reason
)

// Event is one fact. Fields that do not apply are zero.
type Event struct {
	Kind    EventKind
	Time    time.Time
	Conn    string        // connection id; that of a virtual host's connection contains the outer one's
	Source  string        // the client's "host:port"
	Subject authz.Subject // of a login that failed: the key alone
	User    string        // the user name as typed
	Target  string
	Account string
	Action  authz.Action
	Command string
	Dest    string // "host:port" or path of a forward
	Mode    string // of a -J: "terminate", "passthrough", "exit", "deny"
	Refused bool   // by policy, of a session's end: it never began
	Status  uint32
	Signal  string
	In, Out int64 // bytes from and to the client
	Count   int64 // connections of a -R or -A
	Elapsed time.Duration
	Reason  string
}

// noAudit discards events.
type noAudit struct{}

func (noAudit) Event(Event) {}

// ask asks policy about one thing that the client wants of t. nil allows it; the error is a *refusal.
func (c *conn) ask(t *Target, req authz.Request) error {
	return c.question(c.srv.cfg.Decider.Decide, t, req)
}

// question fills in what is known of the client and of t, and asks decide.
func (c *conn) question(decide func(authz.Request) authz.Decision, t *Target, req authz.Request) error {
	req.Subject = c.subject()
	req.Target, req.Groups, req.Hops = t.Name, t.Groups, t.Hops
	req.SourceAddr, req.Conn = c.transport.RemoteAddr().String(), c.id
	if d := decide(req); !d.Allow {
		return &refusal{d}
	}
	return nil
}

// arrive goes to t as account ("" is its own) when policy allows everything in reqs there. The Place must be released.
//
// Nothing is connected for somebody who may not make the hops that the inventory does not have, or could do nothing there. Who one is there
// only the target knows: what counts is the answer about the account that it names, for a rule about root has to see root.
func (c *conn) arrive(ctx context.Context, t *Target, account string, reqs ...authz.Request) (Place, error) {
	if len(t.Hops) > 0 {
		if err := c.ask(t, authz.Request{Action: authz.Hop, Account: account}); err != nil {
			return nil, err
		}
	}
	if err := c.possible(t, account, reqs...); err != nil {
		return nil, err
	}
	place, err := c.srv.cfg.Backend.Connect(ctx, t, account)
	if err != nil {
		return nil, err
	}
	if err := c.askAll(c.srv.cfg.Decider.Decide, t, place.Account(), reqs); err != nil {
		place.Release()
		return nil, err
	}
	return place, nil
}

// possible asks whether all of reqs could be allowed in t, before anything is connected.
func (c *conn) possible(t *Target, account string, reqs ...authz.Request) error {
	return c.askAll(c.srv.cfg.Decider.Possible, t, cmp.Or(account, t.Account), reqs)
}

func (c *conn) askAll(decide func(authz.Request) authz.Decision, t *Target, account string, reqs []authz.Request) error {
	for _, req := range reqs {
		req.Account = account
		if err := c.question(decide, t, req); err != nil {
			return err
		}
	}
	return nil
}
