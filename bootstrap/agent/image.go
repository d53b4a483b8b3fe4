package agent

import (
	"compress/gzip"
	"context"
	"errors"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// putImage serves FuncPutImage: platform, digest, size → whether the image is there already, and
// if not a stream that takes it, gzipped.
func (a *Agent) putImage(_ context.Context, c *router.Call) (any, error) {
	platform, err := textArg(c, 0)
	if err != nil {
		return nil, callError(err)
	}
	digest, err := textArg(c, 1)
	if err != nil {
		return nil, callError(err)
	}
	size, ok := arg(c, 2).(int64)
	if !ok || size <= 0 || size > session.MaxImage {
		return nil, callError(errors.New("put image: size is out of range"))
	}
	p := bootstrap.Platform(platform)
	have := a.cfg.Images.Have(p, digest)
	return have, a.serveStream(c, func(s *router.Stream) (func(), error) {
		if have {
			return func() { finish(s) }, nil
		}
		return func() { a.receiveImage(s, p, digest, size) }, nil
	})
}

// receiveImage stores the image and says so by EOF, or why not by a reset.
func (a *Agent) receiveImage(s *router.Stream, p bootstrap.Platform, digest string, size int64) {
	z, err := gzip.NewReader(s)
	if err == nil {
		err = a.cfg.Images.Put(p, digest, size, z, !a.cfg.Child.NoCache)
	}
	if err != nil {
		s.Reset(errors.New("put image for " + string(p) + ": " + err.Error()))
		return
	}
	finish(s)
}

// finish ends a stream orderly: EOF, and nothing more is wanted from the peer.
func finish(s *router.Stream) {
	_ = s.CloseWrite()
	drain(s)
	s.Close()
}

// drain reads s to its end, so that Close is orderly.
func drain(s *router.Stream) {
	for {
		chunk, err := s.Next()
		if err != nil {
			return
		}
		chunk.Release()
	}
}
