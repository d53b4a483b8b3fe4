// Package proxy is the SSH server in front of the tree: the handshake, the channels, the sessions and the forwards.
//
//	ssh client ──TCP──► transport ──► x/crypto/ssh ──► conn ─┬─ "session" ───────► sessionChannel ──┐
//	                    (cipher                              ├─ "direct-tcpip" ──► relay ───────────┼──► Backend
//	                     choice,                             └─ to a target's name,                 │    (the tree)
//	                     quick acks)                            port 22: virtual host               │
//	                                                            └─ inner handshake ──► conn ────────┘
//
// It answers three questions for every client: who are you (Authenticator, in auth.go), may you (Decider, asked before each
// channel and request is accepted), and where to (Backend). It knows nothing of methods, contexts or policies.
//
// Ownership: a Server owns its connections, a conn owns its channels, and a channel owns the session or dial behind it. Closing
// any of them ends what it owns; the goroutines of a connection end with it, and Shutdown and Close wait for them.
//
// What is kept away from here: gliderlabs/ssh is used in server.go alone, for listening, handshakes and their life cycle.
package proxy
