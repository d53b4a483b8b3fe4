package router

// paths are the links that decide about one frame that came in by in. A nil link is "none".
type paths struct {
	in   *Link
	auth *Link // by which an answer to the frame's authority would go
	src  *Link // by which an answer to its source would go
	out  *Link // by which it goes on
}

// forged says which field a neighbour had no right to fill in so: each is believed only about what is behind its link.
func (p *paths) forged(h *header) string {
	if p.in != p.auth {
		return "bad auth_id"
	}
	if h.src != h.auth && p.in != p.src {
		return "bad src_id"
	}
	return ""
}

// sideways tells traffic that a unidirectional router does not pass: neither end is above, or acts for one above. Who acts for one above
// gets answers.
func (p *paths) sideways(h *header) bool {
	switch {
	case p.in.privileged:
		return false
	case p.out.privileged && p.out.auth != nil:
		return !p.isAnswer(h)
	}
	return !p.out.privileged
}

// isAnswer tells what comes from those that the other end of out has written to, and dead messages of those on the way there.
func (p *paths) isAnswer(h *header) bool {
	return p.out.hasEgress(h.src) || h.isDead() && p.out.hasEgress(p.in.remote)
}

// hasAuthority reports whether auth is self or one of its ancestors.
func hasAuthority(auth, self ContextID, parents []ContextID) bool {
	if auth == self {
		return true
	}
	for _, id := range parents {
		if auth == id {
			return true
		}
	}
	return false
}
