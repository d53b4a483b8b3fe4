package methods

import (
	"context"
	"errors"
	"net"
	"time"

	"fakessh/bootstrap"
)

// offerTime bounds what an offer may cost. An honest agent answers or refuses at once, but on a busy machine that takes its time; a
// hostile one can make it last, as it can with everything up to connect_timeout.
const offerTime = time.Second

// choose takes the agent's offer if that can be done, and says so. A socket comes back also with an error.
func (a *attempt) choose(ctx context.Context, p *process, offer *bootstrap.Offer) (*net.UnixConn, error) {
	choice := bootstrap.ChooseSocket
	socket, err := takeOffer(ctx, offer)
	if err != nil {
		choice = bootstrap.ChooseStdio
		if a.cfg.Debug {
			a.log("the link is the tool's: " + err.Error())
		}
	}
	_, err = p.link.Write([]byte{choice})
	return socket, err
}

// takeOffer makes the link that the agent offers. An error says why there is none; then the agent still waits for the choice.
func takeOffer(ctx context.Context, offer *bootstrap.Offer) (*net.UnixConn, error) {
	ctx, cancel := context.WithTimeout(ctx, offerTime)
	defer cancel()
	type result struct {
		conn *net.UnixConn
		err  error
	}
	done := make(chan result)
	go func() { // ends soon after ctx; at the latest, where the far process can block system calls of ours, with that process
		conn, err := acceptOffer(ctx, offer)
		select {
		case done <- result{conn, err}:
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
		}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		return nil, errors.New("take the agent's socket: " + context.Cause(ctx).Error())
	}
}
