package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/bootstrap/agent/session"
)

var errManyIncoming = errors.New("too many connections")

// incoming carries connections that begin inside a target to the client, each by a channel of its own. The target only says that there is
// one: what the client is told of it is ours.
type incoming struct {
	c       *conn
	ctx     context.Context // ends them all
	kind    string          // of channel
	payload func(Incoming) []byte
	relays  sync.WaitGroup
	count   atomic.Int64 // ever taken
	in, out counter
}

// serve takes a connection, or refuses it. It does not wait.
func (i *incoming) serve(in Incoming) {
	c := i.c
	if c.srv.isDraining() {
		in.Refuse(errShutdown)
		return
	}
	if int(c.incoming.Add(1)) > c.srv.cfg.MaxChannels {
		c.incoming.Add(-1)
		in.Refuse(errManyIncoming)
		return
	}
	c.srv.running.enter()
	c.srv.busy.enter()
	i.relays.Go(func() { // ends with the connection, or with ctx
		defer c.incoming.Add(-1)
		defer c.srv.running.leave()
		defer c.srv.busy.leave()
		defer c.guard("forwarded connection")
		if err := i.carry(in); err != nil {
			c.log.Info("connection not forwarded", "channel", i.kind, "err", session.ErrorLine(err))
		}
	})
}

// carry serves one connection to its end. Both sides are asked at once: either may be far away.
func (i *incoming) carry(in Incoming) error {
	var stream Stream
	var lost error
	var taking sync.WaitGroup
	taking.Go(func() {
		defer i.c.guard("take a connection")
		stream, lost = in.Take(i.ctx)
	})
	ch, reqs, err := i.c.sshConn().OpenChannel(i.kind, i.payload(in))
	taking.Wait()
	switch {
	case lost != nil && err == nil:
		go gossh.DiscardRequests(reqs) // ends when the client has closed the channel
		_ = ch.Close()
		return lost
	case lost != nil:
		return lost
	case err != nil:
		stream.Reset(err)
		_ = stream.Close()
		return err
	}
	i.count.Add(1)
	r := &relay{ch: ch, reqs: reqs, stream: stream, in: &i.in, out: &i.out}
	r.run(i.ctx)
	return nil
}

// tally fills in what has been carried so far.
func (i *incoming) tally(ev *Event) {
	ev.Count, ev.In, ev.Out = i.count.Load(), i.in.Load(), i.out.Load()
}
