package fakessh

import (
	"errors"
	"fmt"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// Sentinels.
var (
	// ErrTreeClosed is what waiting and later calls get once Close has begun.
	ErrTreeClosed = errors.New("fakessh: tree closed")
	// ErrNoTarget is matched by errors about a name that is not in the inventory.
	ErrNoTarget = errors.New("no such target")
)

// DialError says which context could not be connected, and why. Of a connection made by the gateway itself, Err is the methods
// package's error; of one made by an agent it is that agent's *router.CallError.
type DialError struct {
	Target string // "web1", "web1+docker.app"
	Via    string // the target that it was to be reached through; "" = the gateway
	Err    error
}

func (e *DialError) Error() string {
	if e.Via == "" {
		return "dial " + e.Target + ": " + session.ErrorLine(e.Err)
	}
	return "dial " + e.Target + " via " + e.Via + ": " + session.ErrorLine(e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

// NoAccountError says that an account is not within reach: it is neither the target's own, nor is the agent root, nor has the target a `become` method.
type NoAccountError struct {
	Account string
	Target  string
	Own     string // the target's own account, which is within reach
}

func (e *NoAccountError) Error() string {
	return fmt.Sprintf("no account %q on %s; try %s@%s", e.Account, e.Target, e.Own, e.Target)
}

// OtherAccountError says that an account, asked for by one name, is one of another name.
type OtherAccountError struct {
	Account string
	Target  string
	Is      string // what it is called there
}

func (e *OtherAccountError) Error() string {
	return fmt.Sprintf("account %q on %s is %q; ask for it by that name", e.Account, e.Target, e.Is)
}

// UnreachableError is the cause of the loss of a context whose agent has stopped answering.
type UnreachableError struct{ Silence string }

func (e *UnreachableError) Error() string { return "no answer for " + e.Silence }

// NoAnswerError says that the agent of a context, which is there, has not answered a request. It is a net.Error that timed out.
type NoAnswerError struct {
	Op     string // "start a session"
	Target string
	After  time.Duration
}

func (e *NoAnswerError) Error() string {
	return e.Op + " in " + e.Target + ": no answer after " + e.After.String()
}

// Timeout and Temporary make it a net.Error.
func (e *NoAnswerError) Timeout() bool   { return true }
func (e *NoAnswerError) Temporary() bool { return true }

// Causes for which the tree itself ends a context.
var (
	errIdle    = errors.New("idle")
	errChanged = errors.New("configuration changed")
)

// LostError says that a context was lost while it was in use: `lost app: lost web1: connection lost (exit status 255)`. Err is the router's
// *LostError, or the tree's reason for ending it: *UnreachableError, ErrTreeClosed. It matches router.ErrLost.
type LostError struct {
	Target string
	Hop    string // the target on the way to it that was lost; "" = itself
	Err    error
}

func (e *LostError) Error() string {
	text := "lost " + e.Target + ": "
	if e.Hop != "" {
		text += "lost " + e.Hop + ": "
	}
	switch first, cause := firstLost(e.Err); {
	case cause == nil && first == nil && e.Err != nil:
		return text + session.ErrorLine(e.Err)
	case cause == nil, errors.Is(cause, router.ErrWithdrawn):
		return text + "connection lost" // nobody has said why
	default:
		return text + session.ErrorLine(cause)
	}
}

// firstLost is the loss that err comes from, and why that was. A context that was behind a lost one has its loss for a cause.
func firstLost(err error) (first *router.LostError, cause error) {
	for lost := (*router.LostError)(nil); err != nil && errors.As(err, &lost); err = lost.Cause {
		first = lost
	}
	return first, err
}

func (e *LostError) Unwrap() error        { return e.Err }
func (e *LostError) Is(target error) bool { return target == router.ErrLost }
