package proxy

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// counter counts bytes.
type counter = atomic.Int64

type countWriter struct {
	w io.Writer
	n *counter
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}

type countReader struct {
	r io.Reader
	n *counter
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// What the far side of a relay gets when the client has closed the channel without waiting for it.
const (
	takeRest = 30 * time.Second // to take what was sent before: a window at most
	linger   = 5 * time.Second  // to finish then
)

// relay carries bytes between a channel and a stream, each direction to its own end: EOF becomes EOF, and the other direction goes on.
// It owns both, and returns when both are closed. ctx ends it early. When the server stops, the channel ends with its connection: closed in
// order it would say that all has been sent, and what it carries has no end of its own that could be missed.
type relay struct {
	ch      gossh.Channel
	reqs    <-chan *gossh.Request
	stream  Stream
	in, out *counter
}

// run serves the relay. It returns when the client has closed the channel.
func (r *relay) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { r.stream.Reset(context.Cause(ctx)) })()
	var copies sync.WaitGroup
	inDone := make(chan struct{})
	copies.Go(func() {
		defer close(inDone)
		r.inward()
	})
	copies.Go(func() { r.outward(ctx) })
	var closer sync.WaitGroup
	closer.Go(func() { // ends with outward, which ends with the stream or the channel
		copies.Wait()
		_ = r.stream.Close()
		r.close(ctx)
	})
	for req := range r.reqs {
		_ = req.Reply(req.Type == reqKeepAlive, nil)
	}
	// The client has closed the channel. What it sent before is still delivered; nobody waits for answers for long.
	late := time.AfterFunc(takeRest, func() { r.stream.Reset(errGone) })
	defer late.Stop()
	select {
	case <-inDone:
		late.Reset(linger)
	case <-ctx.Done():
	}
	closer.Wait()
}

// inward carries what the client sends.
func (r *relay) inward() {
	if _, err := io.Copy(r.stream, &countReader{r.ch, r.in}); err != nil {
		_, _ = io.Copy(io.Discard, r.ch) // the far side takes no more
		return
	}
	_ = r.stream.CloseWrite() // one that is gone does not need it
}

// outward carries what comes back. A stream that fails ends the channel without an EOF, which would say that all is there.
func (r *relay) outward(ctx context.Context) {
	err := r.copyOut()
	if err == nil {
		_ = r.ch.CloseWrite()
		return
	}
	r.stream.Reset(err)
	r.close(ctx)
}

// close closes the channel, unless that is for the connection's end to do.
func (r *relay) close(ctx context.Context) {
	if !errors.Is(context.Cause(ctx), errShutdown) {
		_ = r.ch.Close()
	}
}

func (r *relay) copyOut() error {
	out := &countWriter{r.ch, r.out}
	if src, ok := r.stream.(chunkSource); ok {
		return writeChunks(src, out, io.Discard)
	}
	_, err := io.Copy(out, r.stream)
	return err
}
