package proxy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"fakessh/router"
)

// Sentinels.
var (
	// ErrServerClosed is returned by Serve after Close or Shutdown.
	ErrServerClosed = errors.New("proxy: server closed")

	errShutdown = errors.New("shutting down")
	errGone     = errors.New("client closed the channel")
)

// AccountError says that an account cannot be reached on a target, which has another one.
type AccountError struct {
	Account string // asked for
	Target  string
	Own     string // the target's own account; "" when unknown
}

func (e *AccountError) Error() string {
	return fmt.Sprintf("no account %q on %s", e.Account, e.Target)
}

// maxLine bounds what a client is told, bytes.
const maxLine = 1024

// publicLine is the text of err that a user sees: one line. Part of it may come from a hostile target, so nothing in
// it can move a cursor.
func publicLine(err error, principal string) string {
	text := err.Error()
	var call *router.CallError
	if errors.As(err, &call) {
		text = call.Text
	}
	var account *AccountError
	if errors.As(err, &account) {
		text = fmt.Sprintf("%v for %s", account, principal)
		if account.Own != "" {
			text += fmt.Sprintf("; try %s@%s", account.Own, account.Target)
		}
	}
	return oneLine(text)
}

// oneLine makes text fit for a terminal: printable, on one line, of bounded length.
func oneLine(text string) string {
	text = strings.TrimSpace(strings.ToValidUTF8(text, "?"))
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	if len(text) <= maxLine {
		return text
	}
	cut := maxLine
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
