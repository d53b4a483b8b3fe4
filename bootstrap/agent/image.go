package agent

import (
	"compress/gzip"
	"context"
	"errors"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// putImage serves FuncPutImage: platform, digest, size → a stream that takes the gzipped image.
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
	return nil, a.serveStream(c, func(s *router.Stream) (func(), error) {
		return func() { a.receiveImage(s, bootstrap.Platform(platform), digest, size) }, nil
	})
}

// receiveImage stores the image and says so by EOF, or why not by a reset.
func (a *Agent) receiveImage(s *router.Stream, p bootstrap.Platform, digest string, size int64) {
	defer s.Close()
	z, err := gzip.NewReader(s)
	if err == nil {
		err = a.cfg.Images.Put(p, digest, size, z, !a.cfg.Child.NoCache)
	}
	if err != nil {
		s.Reset(errors.New("put image for " + string(p) + ": " + err.Error()))
		return
	}
	if err := s.CloseWrite(); err != nil {
		return
	}
	drain(s)
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
