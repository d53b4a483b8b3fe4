// Package methods starts child contexts: ssh, sudo, docker and the rest, one file each.
//
//	Spec ──► Method.Check ──► argv (pure) ──► start ──► prompts answered ──► bootstrap.Start ──► Conn
//	                                            │
//	    link    ◄═══ socketpair ═══► stdin, stdout of the tool
//	    prompts ◄─── pty ──────────► /dev/tty, stderr          (hybrid: sudo, ssh with a password)
//	    words   ◄─── pipe ────────── stderr                    (the others)
//
// A method is data and a pure function: a name, parameters, what its prompts look like, how its
// standard streams are laid, and the argument list. Dial is the only place that puts these in
// sequence, and process.go the only one that starts and ends a tool. A new method is one file, one
// test file, one line in registry.go.
//
// The package does not route and does not know what an agent does: it hands over the byte stream
// (Conn) behind which bootstrap has put one. Who dials owns the Conn; closing it ends the tool.
//
// Parameter names, defaults, prompts and error texts are Mitogen's. The deliberate differences: ssh
// compresses only when asked to and prefers AES-GCM unless the user has chosen ciphers; stderr is
// never mixed with the link; a prompt counts once however its bytes arrive; text for a shell is
// single-quoted; a name that begins with a dash is refused.
package methods
