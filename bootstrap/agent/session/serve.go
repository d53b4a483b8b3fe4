package session

import (
	"context"
	"errors"
	"sync"

	"fakessh/router"
)

// ErrAbandoned is why a session ends whose asking program is gone.
var ErrAbandoned = errors.New("the asking program is gone")

// ServeSession serves an OpSession: it starts the session, carries its bytes between it and the descriptors 0, 1 and
// 2, and returns how it ended, or why it did not, for End. It closes the descriptors, and calls what start returned beside the
// client at the end.
func (c *InvokeConn) ServeSession(ctx context.Context, files []*Descriptor, start func(context.Context) (*Client, func(), error)) (*Exit, error) {
	defer CloseDescriptors(files)
	if err := checkDescriptors(files, 3); err != nil {
		return nil, err
	}
	w, ctx, cancel := c.watch(ctx)
	defer cancel()
	client, release, err := start(ctx)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer release()
	w.bind(client)
	_ = c.Send(InvokeStarted, nil) // whoever cannot hear it is gone, which the watcher sees
	exit, err := client.Carry(ctx, Stdio{files[0], files[1], files[2]})
	if err != nil {
		return nil, because(ctx, err)
	}
	return &exit, nil
}

// ServeDial serves an OpDial in the same manner. The descriptors are two, which may be the same socket.
func (c *InvokeConn) ServeDial(ctx context.Context, files []*Descriptor, dial func(context.Context) (*router.Stream, func(), error)) (*Exit, error) {
	defer CloseDescriptors(files)
	if err := checkDescriptors(files, 2); err != nil {
		return nil, err
	}
	_, ctx, cancel := c.watch(ctx)
	defer cancel()
	s, release, err := dial(ctx)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer release()
	_ = c.Send(InvokeStarted, nil)
	if err := CarryStream(ctx, s, files[0], files[1]); err != nil {
		return nil, because(ctx, err)
	}
	return &Exit{}, nil
}

// ServeHold serves an OpHold: what hold returns is called when the asking end is gone, or ctx has ended, whose cause it returns.
func (c *InvokeConn) ServeHold(ctx context.Context, hold func(context.Context) (func(), error)) (*Exit, error) {
	_, ctx, cancel := c.watch(ctx)
	defer cancel()
	release, err := hold(ctx)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer release()
	_ = c.Send(InvokeStarted, nil)
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// End tells the asking end how it ended: an error, an exit, or that an operation is done.
func (c *InvokeConn) End(exit *Exit, err error) {
	switch {
	case err != nil:
		_ = c.SendError(err)
	case exit != nil:
		_ = c.Send(InvokeExit, AppendExit(nil, *exit))
	default:
		_ = c.Send(InvokeDone, nil)
	}
}

// Watch returns a context that ends when the asking end is gone. Nobody else may read c from then on.
func (c *InvokeConn) Watch(ctx context.Context) (context.Context, func()) {
	_, ctx, cancel := c.watch(ctx)
	return ctx, cancel
}

func (c *InvokeConn) watch(ctx context.Context) (*watcher, context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watcher{cancel: cancel}
	go w.run(c) // ends with the connection, which whoever accepted it closes
	return w, ctx, func() { cancel(nil) }
}

// because is err, or why ctx ended if that is what ended everything.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// CloseDescriptors closes files.
func CloseDescriptors(files []*Descriptor) {
	for _, f := range files {
		f.Close()
	}
}

func checkDescriptors(files []*Descriptor, want int) error {
	if len(files) != want {
		return errors.New("control socket: wrong number of descriptors")
	}
	for _, f := range files {
		switch {
		case f.Terminal():
			return errors.New("control socket: a terminal cannot be handed over")
		case f.kind == kindStrange:
			return errors.New("control socket: only files, pipes, sockets and devices can be handed over")
		}
	}
	return nil
}

// watcher passes on what the asking end sends, and cancels when it is gone.
type watcher struct {
	cancel context.CancelCauseFunc
	mu     sync.Mutex
	client *Client // nil until the session has started
	size   *Size   // the last one that came before that
}

// run reads until the connection ends.
func (w *watcher) run(c *InvokeConn) {
	for {
		m, err := c.Next()
		if err != nil {
			w.cancel(ErrAbandoned)
			return
		}
		switch m.Kind {
		case InvokeSize:
			if size, err := ParseSize(m.Data); err == nil {
				w.resize(size)
			}
		case InvokeSignal:
			if name, err := ParseSignal(m.Data); err == nil {
				w.signal(name)
			}
		}
	}
}

func (w *watcher) bind(client *Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client = client
	if w.size != nil {
		_ = client.Resize(*w.size)
	}
}

func (w *watcher) resize(size Size) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client == nil {
		w.size = &size
		return
	}
	_ = w.client.Resize(size)
}

// signal passes a signal on. Before the session has started it ends the attempt.
func (w *watcher) signal(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client == nil {
		w.cancel(ErrAbandoned)
		return
	}
	_ = w.client.Signal(name)
}
