package router

import (
	"context"
	"errors"
	"strconv"

	"fakessh/router/pickle"
)

// The names under which stream handles travel in calls (docs/protocol.md section 2.4).
const (
	keyStream = "stream" // keyword argument, and key of the answer: a Sender
	keyValue  = "value"  // key of the answer: what the function returned
)

// Open calls name and offers it a stream; the function has to accept it (Call.Stream). It returns the stream and what the
// function returned. Errors are those of Call; then there is no stream.
func (c *Context) Open(ctx context.Context, name string, args ...any) (*Stream, any, error) {
	s, err := c.r.newStream(c, 0)
	if err != nil {
		return nil, nil, openError(name, err)
	}
	answer, err := c.callWithStream(ctx, name, args, s.handle)
	if err != nil {
		s.Reset(err)
		return nil, nil, err
	}
	h, value, err := c.streamAnswer(answer)
	if err == nil && !s.meet(h) {
		err = errors.New("another stream was accepted")
	}
	if err != nil {
		s.Reset(err)
		return nil, nil, openError(name, err)
	}
	return s, value, nil
}

func openError(name string, err error) error {
	return &OpenError{Name: name, Err: err}
}

// OpenError says why a function that was called for a stream gave none, though the call was not refused.
type OpenError struct {
	Name string
	Err  error
}

func (e *OpenError) Error() string {
	return "open a stream with " + strconv.Quote(e.Name) + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *OpenError) Unwrap() error { return e.Err }

// callWithStream calls name and offers h.
func (c *Context) callWithStream(ctx context.Context, name string, args []any, h Handle) (any, error) {
	args, given := splitKwargs(args)
	kwargs := pickle.NewDict()
	for k, v := range given.All() {
		kwargs.Set(k, v)
	}
	kwargs.Set(keyStream, pickle.SenderRef{Context: uint32(c.r.cfg.ID), Handle: uint32(h)})
	return c.callRaw(ctx, name, args, kwargs)
}

// streamAnswer takes the answer of a function apart that was offered a stream.
func (c *Context) streamAnswer(answer any) (Handle, any, error) {
	d, _ := answer.(*pickle.Dict)
	ref, _ := d.Get(keyStream)
	sender, ok := ref.(pickle.SenderRef)
	h := Handle(sender.Handle)
	if !ok || ContextID(sender.Context) != c.id || h&streamBit == 0 {
		return 0, nil, errors.New("the function accepts none")
	}
	value, _ := d.Get(keyValue)
	return h, value, nil
}

// meet tells the opener's end which handle the other end has. False: it has shown another.
func (s *Stream) meet(h Handle) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peerHandle == 0 {
		s.peerHandle = h
	}
	return s.peerHandle == h
}

var errNoStream = errors.New("the caller offered no stream")

// Stream accepts the stream that the caller offered with Context.Open; the result of the function is
// sent to the caller with the stream's handle. When the function returns an error, the stream is reset. It may be used
// at once and after the function has returned; but the caller reads only then, so a function that
// writes more than the first window (256 KiB) before it returns waits for ever.
func (c *Call) Stream() (*Stream, error) {
	if c.stream != nil {
		return c.stream, nil
	}
	ref, _ := c.Kwargs.Get(keyStream)
	sender, ok := ref.(pickle.SenderRef)
	switch {
	case !ok:
		return nil, errNoStream
	case ContextID(sender.Context) != c.Msg.Src || Handle(sender.Handle)&streamBit == 0:
		return nil, errors.New("the stream offered is not the caller's own")
	case !c.Router.HasParentAuthority(c.Msg):
		return nil, errors.New("a stream is only accepted from above")
	}
	s, err := c.Router.newStream(c.Router.Context(c.Msg.Src), Handle(sender.Handle))
	if err != nil {
		return nil, err
	}
	c.stream = s
	s.announce()
	return s, nil
}

// announce shows the peer this end's handle at once. Should it have given up waiting, its answer resets this end.
func (s *Stream) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		_ = s.pushLocked(newCreditFrame(0, firstWindow))
	}
}

// streamResult is what the function's result v travels as.
func (c *Call) streamResult(v any) any {
	if c.stream == nil {
		return v
	}
	self := pickle.SenderRef{Context: uint32(c.Router.cfg.ID), Handle: uint32(c.stream.handle)}
	return pickle.NewDict(keyStream, self, keyValue, wireValue(v))
}

// streamFailed resets the stream that a function accepted before it failed.
func (c *Call) streamFailed(err error) {
	if c.stream != nil {
		c.stream.Reset(err)
	}
}
