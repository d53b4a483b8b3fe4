package proxy

import (
	"errors"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// replies answers a channel's requests in their order. SSH replies have no id, and the request that starts the program is answered
// when the program exists: later ones, which are served meanwhile, have their replies wait behind it.
type replies struct {
	mu      sync.Mutex
	held    *gossh.Request
	waiting []reply
}

type reply struct {
	req *gossh.Request
	ok  bool
}

// maxWaiting bounds the replies that wait.
const maxWaiting = 256

var errManyRequests = errors.New("too many requests while the program starts")

// hold keeps back the reply to req, and so those after it, until release.
func (r *replies) hold(req *gossh.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = req
}

// answer replies to req in its turn.
func (r *replies) answer(req *gossh.Request, ok bool) error {
	if !req.WantReply {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		return req.Reply(ok, nil)
	}
	if len(r.waiting) >= maxWaiting {
		return errManyRequests
	}
	r.waiting = append(r.waiting, reply{req, ok})
	return nil
}

// release sends the reply that was held, and those behind it. Only the first call does anything.
func (r *replies) release(ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		return
	}
	_ = r.held.Reply(ok, nil)
	for _, w := range r.waiting {
		_ = w.req.Reply(w.ok, nil)
	}
	r.held, r.waiting = nil, nil
}
