//go:build !linux

package methods

import (
	"context"
	"errors"
	"net"

	"fakessh/bootstrap"
)

// acceptOffer is for Linux: elsewhere no agent makes an offer either.
func acceptOffer(context.Context, *bootstrap.Offer) (*net.UnixConn, error) {
	return nil, errors.ErrUnsupported
}
