package agent

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap/agent/session"
)

// signalNumber translates a name without "SIG", as RFC 4254 section 6.10 has them. Every name that the
// system knows is good: a superset of what sshd takes.
func signalNumber(name string) (syscall.Signal, bool) {
	sig := unix.SignalNum("SIG" + name)
	return sig, sig != 0
}

// signalName is the inverse of signalNumber.
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return "UNKNOWN"
}

// exitOf translates a wait status.
func exitOf(ws syscall.WaitStatus) session.Exit {
	if ws.Signaled() {
		return session.Exit{Signal: signalName(ws.Signal()), Core: ws.CoreDump()}
	}
	return session.Exit{Status: uint32(ws.ExitStatus())}
}

// signal signals the terminal's foreground process group, or without a terminal the program's own group.
func (r *run) signal(sig syscall.Signal) {
	if r.proc == nil {
		return
	}
	if r.term != nil {
		if pgrp, err := r.term.foreground(); err == nil && syscall.Kill(-pgrp, sig) == nil {
			return
		}
	}
	_ = r.proc.signal(sig)
}
