package session

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"time"

	"fakessh/router"
)

// MaxImage bounds an image, bytes, uncompressed.
const MaxImage = 64 << 20

// imageStall is how long an agent may take nothing of an image, or say nothing of one that it has. A window of 256 KiB passes
// through a modem in less.
const imageStall = time.Minute

var errImageStalled = errors.New("put image: no progress for " + imageStall.String())

// PutImage gives the agent in c an executable for platform ("linux/arm64"), so that it can start children there: size bytes of r,
// whose SHA-256 is digest in hexadecimal. They travel gzipped, and the agent checks them; when it has them already, r is not read.
// An agent that makes no progress for a minute is given up.
func PutImage(ctx context.Context, c *router.Context, platform, digest string, size int64, r io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(imageStall, func() { cancel(errImageStalled) })
	defer stall.Stop()
	s, have, err := c.Open(ctx, FuncPutImage, platform, digest, size)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.Reset(context.Cause(ctx)) })
	defer stop()
	if have == true {
		_ = s.CloseWrite()
		_, _ = io.Copy(io.Discard, s)
		return s.Close()
	}
	if err := sendImage(s, &watchedReader{r, stall}); err != nil {
		s.Reset(err)
		return err
	}
	return s.Close()
}

// watchedReader puts off the stall whenever more is wanted.
type watchedReader struct {
	r     io.Reader
	stall *time.Timer
}

func (w *watchedReader) Read(b []byte) (int, error) {
	w.stall.Reset(imageStall)
	return w.r.Read(b)
}

// sendImage sends r and waits for the agent's verdict: EOF when the image is in place, else a reset with the reason.
func sendImage(s *router.Stream, r io.Reader) error {
	z := gzip.NewWriter(s)
	_, err := io.Copy(z, r)
	err = errors.Join(err, z.Close())
	if err == nil {
		err = s.CloseWrite()
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, s)
	return err
}
