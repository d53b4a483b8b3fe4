// Package session is what a session is made of: the request that starts one in an
// agent, the items that travel beside its bytes, and the client that speaks both.
//
//	asking end                                   agent
//	Start(Spec) ── call fakessh.session.start ─► process exists
//	stdin       ── DATA, EOF ──────────────────►
//	Resize …    ── items w s b o ──────────────►
//	            ◄─ DATA (stdout), EXTENDED (stderr)
//	Wait        ◄─ item x, then EOF
//
// A session is one call that returns one stream. Whoever starts a session closes its
// stream; until then the agent keeps what belongs to it. Losing the stream ends the
// session's processes as a hangup would.
//
// The package also holds the asking ends of the other functions an agent serves: Dial, Listen, Connect, Disconnect, PutImage,
// GetInfo and Ping; and what a control socket speaks (Invocation, InvokeConn), by which the ssh of a run, and fakesshd
// itself, ask for sessions. It knows nothing of SSH and starts nothing itself.
package session
