package proxy

import (
	"slices"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// refusals remembers why a login did not come about. Clients offer one key after the other, and ask about each before they sign: only
// the outcome is worth an event, and that has the reason of every key.
type refusals struct {
	mu      sync.Mutex
	user    string
	key     string // fingerprint of the last
	reasons []string
}

func (r *refusals) add(user string, key gossh.PublicKey, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.user, r.key = user, gossh.FingerprintSHA256(key)
	reason := err.Error()
	if !strings.Contains(reason, r.key) {
		reason = r.key + ": " + reason
	}
	if !slices.Contains(r.reasons, reason) && len(r.reasons) < 2*maxAuthTries {
		r.reasons = append(r.reasons, reason)
	}
}

// event is the refusal as a whole; false when no key was refused.
func (r *refusals) event() (Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Event{
		Kind: EventLoginFailed, User: session.OneLine(r.user), Subject: authz.Subject{KeyID: r.key}, Reason: session.OneLine(strings.Join(r.reasons, "; ")),
	}, len(r.reasons) > 0
}
