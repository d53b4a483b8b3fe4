package proxy

import (
	"time"

	"fakessh/authz"
)

// Decider answers what a subject may. *authz.Decider is one. It is safe for concurrent use; it audits its answers itself.
type Decider interface {
	Decide(authz.Request) authz.Decision
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
	EventForwardStart EventKind = "forward_start" // a -L, -W or -J connection has been made
	EventForwardEnd   EventKind = "forward_end"   // and is closed
	EventRefused      EventKind = "refused"       // for a reason that is not policy: Reason
)

// Event is one fact. Fields that do not apply are zero.
type Event struct {
	Kind    EventKind
	Time    time.Time
	Conn    string // connection id; that of a virtual host's connection contains the outer one's
	Source  string // the client's "host:port"
	Subject authz.Subject
	User    string // the user name as typed
	Target  string
	Account string // asked for; "" = the target's own
	Action  authz.Action
	Command string
	Dest    string // "host:port" or path of a forward
	Mode    string // of a -J: "terminate", "passthrough", "exit"
	Status  uint32
	Signal  string
	In, Out int64 // bytes from and to the client
	Elapsed time.Duration
	Reason  string
}

// noAudit discards events.
type noAudit struct{}

func (noAudit) Event(Event) {}
