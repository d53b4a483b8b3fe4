// Package bootstrap turns a byte stream with a bare shell at its end into a link with an agent at its end.
//
//	parent                                            far side
//	   │  sh -c SCRIPT fakessh HOW CONFIG IMAGES  ───►   first stage: one line of POSIX sh (script.go)
//	   │ ◄───  whatever else is printed there            kept: the tail of a StageError
//	   │ ◄───  hello Linux x86_64 need 1580597 gzip      or: cached
//	   │  1580597 bytes  ─────────────────────────►      verified, stored, executed
//	   │ ◄───  ready VERSION CAPABILITIES                the agent (Announce)
//	   │ ◄──►  frames
//
// Neither speaks out of turn: some versions of head and gzip swallow what follows their input. Of the stream
// it is asked for two things only, that bytes arrive whole and in order, and that a terminal on the way
// obeys stty raw.
//
// Images is the parent's stock of executables by platform; an agent has one too, with its own executable in
// it, so that its children get theirs from nearby. Where images lie on a disk they lie in a directory that
// is ours alone (docs/bootstrap.md), and are trusted by name nowhere else.
//
// The package does not start tools, answer prompts or read their standard error: that is methods. It does
// not speak frames.
package bootstrap
