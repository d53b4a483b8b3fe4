package session

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"fakessh/router"
)

// MaxImage bounds an image, bytes, uncompressed.
const MaxImage = 64 << 20

// PutImage gives the agent in c an executable for platform ("linux/arm64"), so that it can start children there.
// It reads r twice; the bytes travel gzipped, and are checked by size and SHA-256.
func PutImage(ctx context.Context, c *router.Context, platform string, r io.ReadSeeker) error {
	hash := sha256.New()
	size, err := io.Copy(hash, r)
	if err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	s, have, err := c.Open(ctx, FuncPutImage, platform, hex.EncodeToString(hash.Sum(nil)), size)
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
	if err := sendImage(s, r); err != nil {
		s.Reset(err)
		return err
	}
	return s.Close()
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
