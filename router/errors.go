package router

import (
	"errors"
	"strconv"
	"strings"
)

// Sentinels.
var (
	ErrLost   = errors.New("router: context lost")
	ErrClosed = errors.New("router: closed")
	// ErrWithdrawn is matched by the cause of a loss that a neighbour reported: the wire has no room for its reason.
	ErrWithdrawn = errors.New("router: route withdrawn")
	ErrTooLarge  = errors.New("router: message too large")
	// ErrCorrupt is the cause of a link's loss when what came in was no frame.
	ErrCorrupt = errors.New("corruption detected: frame signature incorrect")
)

// Causes of a link's loss.
var (
	errPeerClosed = errors.New("connection closed by the other side")
	errCutShort   = errors.New("connection closed in the middle of a message")
	errShutdown   = errors.New("shut down")
)

// Reasons in dead messages; peers and tests compare them.
const (
	reasonInvalidHandle = "invalid handle"
	reasonRefused       = "refused by policy"
	reasonRespondent    = "reply from unexpected context"
	reasonDisconnected  = "the respondent Context has disconnected"
	reasonExited        = "Broker has exitted"
	reasonSenderClosed  = "Sender was explicitly closed"
	reasonLocalEnd      = "Channel closed by local end."
	reasonRemoteEnd     = "Channel closed by remote end."
	reasonReceiver      = "the Receiver has been closed"
)

func reasonTooLarge(limit int) string {
	return "message too large (max " + strconv.Itoa(limit) + " bytes)"
}

func reasonNoRoute(dst, self ContextID) string {
	return "no route to " + dst.String() + ", my ID is " + self.String()
}

func reasonUnidirectional(from, to, self ContextID) string {
	return "routing mode prevents forward of message from context " + from.String() +
		" to context " + to.String() + " via context " + self.String()
}

// ChannelError is a dead message.
type ChannelError struct{ Reason string }

func (e *ChannelError) Error() string { return e.Reason }

// LostError says that a context is gone, and why. It matches ErrLost.
type LostError struct {
	ID    ContextID
	Name  string
	Cause error
}

func (e *LostError) Error() string {
	s := "context " + describe(e.ID, e.Name) + " lost"
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns Cause.
func (e *LostError) Unwrap() error { return e.Cause }

// Is matches ErrLost.
func (e *LostError) Is(target error) bool { return target == ErrLost }

func describe(id ContextID, name string) string {
	if name == "" {
		return id.String()
	}
	return strconv.Quote(name) + " (" + id.String() + ")"
}

// CallError is an exception of the far side.
type CallError struct {
	Type  string // "module.Class"
	Text  string // its text
	Trace string // the far side's traceback, may be empty
}

func (e *CallError) Error() string { return e.Type + ": " + e.Text }

// wire is the form "type: text\ntraceback", cut to what a reader accepts.
func (e *CallError) wire() string {
	s := e.Error()
	if e.Trace != "" {
		s += "\n" + e.Trace
	}
	return cutText(s, maxErrorText)
}

// parseCallError is the reverse of wire. A text of several lines keeps its first; the rest is trace.
func parseCallError(s string) *CallError {
	head, trace, _ := strings.Cut(s, "\n")
	typ, text, ok := strings.Cut(head, ": ")
	if !ok || strings.Contains(typ, " ") {
		return &CallError{Type: "mitogen.core.CallError", Text: head, Trace: trace}
	}
	return &CallError{Type: typ, Text: text, Trace: trace}
}

// cutText returns at most n characters of s, whole and valid UTF-8.
func cutText(s string, n int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= n {
		return s
	}
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}
