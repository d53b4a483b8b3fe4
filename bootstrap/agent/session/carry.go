package session

import (
	"context"
	"errors"
	"io"
	"sync"

	"fakessh/router"
)

// StopOutput says that nobody reads an output any more.
func (c *Client) StopOutput(class router.Class) error {
	return c.SendControl(router.Control{Kind: ItemStop, Data: []byte{byte(class)}})
}

// NewClient makes the asking end of a session of a stream that came by another way than Start.
func NewClient(s *router.Stream) *Client { return newClient(s) }

// Stdio is what a session's bytes come from and go to. Closing one of them has to end a Read or Write that waits in it.
type Stdio struct {
	In       io.ReadCloser
	Out, Err io.WriteCloser
}

func (s Stdio) close() {
	s.In.Close()
	s.Out.Close()
	s.Err.Close()
}

// Carry carries all bytes of the session, closes std when it has ended, and then says how it ended. It closes
// the stream. The two outputs do not wait for each other; what waits for them is bounded by the stream's window.
// When ctx is done the session is reset with its cause.
func (c *Client) Carry(ctx context.Context, std Stdio) (Exit, error) {
	defer c.Close()
	defer std.close()
	stop := context.AfterFunc(ctx, func() {
		c.Reset(context.Cause(ctx))
		std.close()
	})
	defer stop()
	// Ends when std.In does or the session has ended. It is not waited for: what std.In is
	// may be a device that cannot be woken.
	go func() {
		_, _ = c.CopyFrom(router.Main, std.In)
		_ = c.CloseWrite()
	}()
	err := c.carryOutput(std)
	std.close()
	_ = c.CloseWrite()
	if err != nil {
		return Exit{}, err
	}
	return c.Wait(ctx)
}

// carryOutput returns when everything is written.
func (c *Client) carryOutput(std Stdio) error {
	outs := [...]*outlet{newOutlet(c, router.Main, std.Out), newOutlet(c, router.Extended, std.Err)}
	var wg sync.WaitGroup
	for _, o := range outs {
		wg.Go(o.run) // ends after finish
	}
	defer wg.Wait()
	defer func() {
		for _, o := range outs {
			o.finish()
		}
	}()
	offer := func(class router.Class, pieces [][]byte) int { return outs[class&1].offer(pieces) }
	for {
		chunk, err := c.NextOr(offer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		outs[chunk.Class&1].add(chunk)
	}
}

// outlet writes one output. Its queue holds chunks that are not released yet, so the stream's window bounds it.
type outlet struct {
	client *Client
	class  router.Class
	to     io.Writer
	try    router.TryWriter // to, or nil

	mu       sync.Mutex
	change   sync.Cond
	queue    []router.Chunk
	writing  bool
	finished bool
}

func newOutlet(c *Client, class router.Class, to io.Writer) *outlet {
	o := &outlet{client: c, class: class, to: to}
	o.try, _ = to.(router.TryWriter)
	o.change.L = &o.mu
	return o
}

// offer writes what can be written at once, if nothing is in front of it.
func (o *outlet) offer(pieces [][]byte) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.try == nil || o.writing || len(o.queue) > 0 {
		return 0
	}
	return o.try.TryWrite(pieces)
}

func (o *outlet) add(chunk router.Chunk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, chunk)
	o.change.Signal()
}

func (o *outlet) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished = true
	o.change.Signal()
}

// take waits for chunks, and returns none after finish. spare is used for the next ones.
func (o *outlet) take(spare []router.Chunk) []router.Chunk {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
	for len(o.queue) == 0 && !o.finished {
		o.change.Wait()
	}
	queue := o.queue
	o.queue, o.writing = spare[:0], true
	return queue
}

// run writes until finish. When nobody reads any more it says so to the other end, and drops the rest.
func (o *outlet) run() {
	broken := false
	var chunks []router.Chunk
	for {
		if chunks = o.take(chunks); len(chunks) == 0 {
			return
		}
		for i := range chunks {
			if !broken {
				if _, err := o.to.Write(chunks[i].Data); err != nil {
					broken = true
					_ = o.client.StopOutput(o.class)
				}
			}
			chunks[i].Release()
		}
		clear(chunks)
	}
}

// CarryStream carries a connection's bytes both ways, and returns when both directions have ended. It closes all three.
func CarryStream(ctx context.Context, s *router.Stream, in io.ReadCloser, out *Descriptor) error {
	defer s.Close()
	defer in.Close()
	defer out.Close()
	stop := context.AfterFunc(ctx, func() {
		s.Reset(context.Cause(ctx))
		in.Close()
		out.Close()
	})
	defer stop()
	fed := make(chan struct{})
	go func() { // ends when in does, or with the stream
		defer close(fed)
		_, _ = s.CopyFrom(router.Main, in)
		_ = s.CloseWrite()
	}()
	if _, err := s.WriteTo(out); err != nil {
		s.Reset(errors.New("nobody reads any more"))
		return err
	}
	out.CloseWrite()
	out.Close()
	select {
	case <-fed:
	case <-s.Done():
	}
	return nil
}
