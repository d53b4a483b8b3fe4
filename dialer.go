package fakessh

import (
	"context"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// dialer makes contexts.
type dialer interface {
	// dial starts the context that s describes: in via, or at the gateway when via is nil. It returns soon after ctx is done, and what
	// comes up later is ended. Errors do not name the target.
	dial(ctx context.Context, via remote, s step) (remote, error)
	router() *router.Router
	// close is called when every remote has ended.
	close() error
}

// remote is a context that has been started.
type remote interface {
	id() router.ContextID
	context() *router.Context
	done() <-chan struct{} // closed when it is lost
	err() error            // then says why
	info(ctx context.Context) (session.Info, error)
	ping(ctx context.Context) (time.Duration, error)
	// end closes it, with cause as the reason of its loss, and returns when it is gone. It is also called when it is lost.
	end(cause error)
}
