package proxy

import (
	"errors"
	"fmt"

	"fakessh"
	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// Sentinels.
var (
	// ErrServerClosed is returned by Serve after Close or Shutdown.
	ErrServerClosed = errors.New("proxy: server closed")

	errShutdown = errors.New("shutting down")
	errGone     = errors.New("client closed the channel")
)

// refusal is a decision of policy. Its text is the one sentence for the user.
type refusal struct{ authz.Decision }

func (r *refusal) Error() string {
	if r.Public == "" {
		return authz.PublicRefusal
	}
	return session.OneLine(r.Public)
}

// publicLine is the text of err that a user sees: one line. Part of it may come from a hostile target, so nothing in
// it can move a cursor.
func publicLine(err error, principal string) string {
	var none *fakessh.NoAccountError
	if errors.As(err, &none) {
		return session.OneLine(fmt.Sprintf("no account %q on %s for %s; try %s@%s", none.Account, none.Target, principal, none.Own, none.Target))
	}
	return session.ErrorLine(err)
}
