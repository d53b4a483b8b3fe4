// Package router is Mitogen's message router, with flow-controlled streams on top.
package router

import (
	"context"
	"errors"
	"io"
	"time"

	"fakessh/router/pickle"
)

// ContextID names a context in the tree; the master is 0.
type ContextID uint32

// Handle is a numbered mailbox in a context. Handles with the top bit set belong to streams.
type Handle uint32

// Level is a log level, numbered as in Python (and so on the wire).
type Level int

// Log levels.
const (
	LevelDebug Level = 10
	LevelInfo  Level = 20
	LevelWarn  Level = 30
	LevelError Level = 40
)

// LogFunc takes one record; attrs are key, value, key, value…. It must not block.
type LogFunc func(level Level, msg string, attrs ...string)

// Config says who a Router is. Its zero value is a master.
type Config struct {
	ID        ContextID
	ParentIDs []ContextID // nearest first; empty for a master
	Name      string
	// Unidirectional forbids traffic between siblings (spec 5.2 step 7).
	Unidirectional bool
	// MaxMessage bounds a payload, bytes. 0 means 128 MiB.
	MaxMessage int
	// StreamMemory is the budget that all receive windows of this process share, bytes. 0 means 64 MiB.
	StreamMemory int64
	Log          LogFunc // nil discards
}

// Router owns the links, routes, handles and streams of one context.
// All methods are safe for concurrent use.
type Router struct{}

// New makes a router without links.
func New(cfg Config) *Router { panic("unwritten") }

// LinkConfig describes a byte stream that AddLink takes over.
type LinkConfig struct {
	// Remote is the context directly at the other end.
	Remote ContextID
	// Name is the remote context's name, announced upward with ADD_ROUTE.
	Name string
	// Parent marks the link towards the parent.
	Parent bool
	// Auth, if set, overwrites the authority of everything that comes in (unix clients).
	Auth *ContextID
	// MaxMessage bounds what may come in, bytes; 0 means 1 MiB for a child and Config.MaxMessage for a parent.
	MaxMessage int
	// OldPeer: the peer knows only magic 0x4d49.
	OldPeer bool
}

// AddLink gives rwc to the router, which reads, writes and closes it from now on, and
// returns the context at its other end. A child's route is announced to the parent first.
func (r *Router) AddLink(rwc io.ReadWriteCloser, cfg LinkConfig) (*Context, error) {
	panic("unwritten")
}

// ID, Name and ParentIDs are those of the Config.
func (r *Router) ID() ContextID          { panic("unwritten") }
func (r *Router) Name() string           { panic("unwritten") }
func (r *Router) ParentIDs() []ContextID { panic("unwritten") }

// Context returns the one Context object for id; it need not be routable.
func (r *Router) Context(id ContextID) *Context { panic("unwritten") }

// Parent is the context at the other end of the parent link; nil in a master.
func (r *Router) Parent() *Context { panic("unwritten") }

// AllocateID returns a fresh id: from the own counter in a master, from a block of 1000 asked of the master elsewhere.
func (r *Router) AllocateID(ctx context.Context) (ContextID, error) { panic("unwritten") }

// Handler takes one message, on the reading goroutine of the link it came by: it must not block.
type Handler func(m *Message)

// HandleOptions qualify a handle.
type HandleOptions struct {
	// OneShot removes the handle before its first message is delivered.
	OneShot bool
	// Policy refuses messages ("refused by policy"); nil admits all.
	Policy func(m *Message) bool
	// Respondent, if set, is the only context whose messages are accepted; its loss gives a local dead message.
	Respondent *ContextID
	// Overwrite permits to replace an existing handler.
	Overwrite bool
}

// AddHandler registers fn at h, or at a fresh dynamic handle (from 1000 up) when h is 0.
func (r *Router) AddHandler(h Handle, fn Handler, opt HandleOptions) (Handle, error) {
	panic("unwritten")
}

// RemoveHandler forgets h.
func (r *Router) RemoveHandler(h Handle) error { panic("unwritten") }

// HasParentAuthority is the policy of spec 5.5.
func (r *Router) HasParentAuthority(m *Message) bool { panic("unwritten") }

// IsImmediateChild is the policy of spec 5.5.
func (r *Router) IsImmediateChild(m *Message) bool { panic("unwritten") }

// Route sends a local message, or delivers it here. It blocks while the link's queue is full.
func (r *Router) Route(m *Message) { panic("unwritten") }

// CallFunc serves one function. ctx ends when the caller is lost or the router closes.
// The result must be in the pickle profile; an error becomes a CallError.
type CallFunc func(ctx context.Context, c *Call) (any, error)

// Call is one CALL_FUNCTION being served.
type Call struct {
	Router *Router
	Msg    *Message
	Class  string
	Name   string // "module.function"
	Args   pickle.Tuple
	Kwargs *pickle.Dict
}

// Stream accepts the stream that the caller offered with Context.Open; the result of the function is
// sent to the caller with the stream's handle. When the function returns an error, the stream is reset.
func (c *Call) Stream() (*Stream, error) { panic("unwritten") }

// Register serves name, "module.function", to callers with parent authority. Calls of one chain run in order, others side by side.
func (r *Router) Register(name string, fn CallFunc) { panic("unwritten") }

// Links reports the state of every link, for pictures of the tree and tests.
func (r *Router) Links() []LinkStats { panic("unwritten") }

// LinkStats is a snapshot of one link.
type LinkStats struct {
	Remote              ContextID
	Name                string
	Parent              bool
	Queued              int64 // bytes waiting to be written
	BytesIn, BytesOut   uint64
	FramesIn, FramesOut uint64
	Streams             int           // local streams over this link
	SmoothedRTT         time.Duration // 0 when not known
}

// Routes lists every context known to be reachable, with the neighbour it is reached by.
func (r *Router) Routes() map[ContextID]ContextID { panic("unwritten") }

// Shutdown sends SHUTDOWN to each child, waits for the links to close until ctx is done, and closes.
func (r *Router) Shutdown(ctx context.Context) error { panic("unwritten") }

// Close closes every link and wakes every waiter. It returns when every goroutine of the router has ended.
func (r *Router) Close() error { panic("unwritten") }

// Done is closed when the router is closed, or has lost its parent.
func (r *Router) Done() <-chan struct{} { panic("unwritten") }

// Context is this router's view of a node; there is one object per id.
type Context struct{}

func (c *Context) ID() ContextID   { panic("unwritten") }
func (c *Context) Name() string    { panic("unwritten") }
func (c *Context) Router() *Router { panic("unwritten") }

// Done is closed when the context is lost; Err then says why (*LostError).
func (c *Context) Done() <-chan struct{} { panic("unwritten") }
func (c *Context) Err() error            { panic("unwritten") }

// Call runs the function name, "module.function", in the context and waits. Keyword arguments
// are given as a pickle.Kwargs as the last argument. Errors: *CallError, *ChannelError, *LostError, ctx's.
func (c *Context) Call(ctx context.Context, name string, args ...any) (any, error) {
	panic("unwritten")
}

// CallNoReply runs the function and forgets it.
func (c *Context) CallNoReply(name string, args ...any) error { panic("unwritten") }

// Open calls name and offers it a stream; the function has to accept it (Call.Stream).
func (c *Context) Open(ctx context.Context, name string, args ...any) (*Stream, any, error) {
	panic("unwritten")
}

// Shutdown sends SHUTDOWN and waits until the context is lost.
func (c *Context) Shutdown(ctx context.Context) error { panic("unwritten") }

// Disconnect closes the link by which the context is directly connected, with cause as the reason of its loss.
func (c *Context) Disconnect(cause error) error { panic("unwritten") }

// CallError is an exception of the far side.
type CallError struct {
	Type  string // "module.Class"
	Text  string // its text
	Trace string // the far side's traceback, may be empty
}

func (e *CallError) Error() string { return e.Type + ": " + e.Text }

// ChannelError is a dead message.
type ChannelError struct{ Reason string }

func (e *ChannelError) Error() string { return e.Reason }

// LostError says that a context is gone, and why. It matches ErrLost.
type LostError struct {
	ID    ContextID
	Name  string
	Cause error
}

func (e *LostError) Error() string        { panic("unwritten") }
func (e *LostError) Unwrap() error        { return e.Cause }
func (e *LostError) Is(target error) bool { return target == ErrLost }

// Sentinels.
var (
	ErrLost     = errors.New("router: context lost")
	ErrClosed   = errors.New("router: closed")
	ErrTooLarge = errors.New("router: message too large")
)

// Message is one Mitogen message.
type Message struct {
	Dst, Src, Auth ContextID
	Handle         Handle
	ReplyTo        Handle
	Encoding       uint16 // magic: 0x4d49, 0x4d4a or 0x4d4b; 0 means 0x4d49
	Data           []byte
}

// Dead, Reply, Decode… see the owner's file.
