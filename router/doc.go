// Package router joins processes, contexts, into a tree and carries messages, calls and byte streams between them, in the
// wire format of Mitogen (docs/protocol.md), so that Python contexts can stand in the same tree. It knows nothing of SSH,
// users, tools, or how a context came into being: it is given byte streams.
//
//	             ┌ Router of context 1 ──────────────────────────────────────────────┐
//	AddLink ───► │ Link ── reader ──► source check ──► ours? ─► handle, call, stream │
//	(the parent) │  ▲                      │                                         │
//	             │  └─ writer ◄─ scheduler │ else: by the table of routes            │
//	             │                         ▼                                         │
//	AddLink ───► │ Link ─────────────► scheduler of another Link ─► writer ──────────┼──► a child
//	(children)   └───────────────────────────────────────────────────────────────────┘
//
// Calls are control, streams are data. A function registered by name runs when a context above calls it (Context.Call,
// CallChain); a function may accept a Stream (Context.Open), which has flow control, half-close and out-of-band items.
// Two streams are joined into a Circuit where contexts on different branches have to exchange bytes.
//
// Each link has two goroutines, and nothing else runs for a message that is only passed on: the reader looks at the header and
// puts the frame, unchanged and in the buffer it came in, into the queue of the next link. A reader never waits for a consumer;
// it waits only while that queue is at its bound. Handlers run on the reader, called functions on goroutines of their own.
//
// A neighbour is believed about itself and what is beneath it, and about nothing else. When a link ends, all that was behind it
// is lost: whoever waits for it wakes with a *LostError that names who was lost and why. Router.Close ends everything
// and returns when no goroutine is left.
package router
