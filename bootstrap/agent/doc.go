// Package agent is what the shipped program does in its main role: it runs sessions, dials, and builds further
// children where it is.
//
//	parent ◄─ link (former stdin, stdout) ─► router ─► start       program on pipes or a pty, or sftp
//	                                            │ ────► dial        TCP and unix sockets
//	                                            │ ────► listen      the same, the other way: a connection waits until the gateway takes it
//	                                            │ ────► connect ──► methods ──► link to a child ─► router
//	                                            │ ────► put_image, info, ping, disconnect
//	     a run's ssh ─► control socket ─► asks ─┘ ────► invocation, attach: its session, by way of the gateway
//	     SIGCHLD ─► reaper ─► whoever waits for a program
//
// An agent is one process per context and runs as the context's account, so there is nothing to be decided
// here about who may do what: that has been done before a call is sent. It serves its parents only (the router
// sees to that), keeps no state on disk but the cached image, and ends with its link.
//
// Ownership: every session, connection and image on its way is one goroutine that Agent.Close waits for; it owns its stream, its
// descriptors and its process group, and waits for the goroutines it has started. The reaper tells when sessions' programs end; a session collects its own when it is over.
package agent
