package proxy

import (
	"context"
	"errors"
	"time"

	"fakessh/authz"
)

// wantAgent notes that the client offers the program its ssh-agent (-A). Whether it gets that is decided when it is known as whom the program
// runs: a no costs the program the agent, and nothing else, as with sshd.
func (s *sessionChannel) wantAgent(payload []byte) bool {
	if s.started || len(payload) > 0 {
		return false
	}
	target, err := s.c.target()
	if err != nil {
		return false // the program will not run either
	}
	s.agent = s.c.possible(target, s.c.account(), authz.Request{Action: authz.AgentForward}) == nil
	return s.agent
}

var errSessionOver = errors.New("the session is over")

// serveAgent carries the program's connections to the client's ssh-agent until end.
func (s *sessionChannel) serveAgent(program Session) (end func()) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	a := &incoming{c: s.c, ctx: ctx, kind: chanAgent, payload: func(Incoming) []byte { return nil }}
	ev := Event{Kind: EventForwardStart, Target: s.event.Target, Account: s.event.Account, Action: authz.AgentForward}
	s.c.audit(ev)
	begun := time.Now()
	program.Agent(a.serve)
	s.wg.Go(func() { // ends with end
		defer s.c.guard("agent forward")
		_, _ = program.Wait(ctx) // they come by it
		<-ctx.Done()
		a.relays.Wait()
	})
	return func() {
		cancel(errSessionOver)
		ev.Kind, ev.Elapsed = EventForwardEnd, time.Since(begun)
		a.tally(&ev)
		s.c.audit(ev)
	}
}
