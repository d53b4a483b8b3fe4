package router

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"fakessh/router/pickle"
)

// ReceiverOptions qualify a Receiver.
type ReceiverOptions struct {
	// Handle is where to listen; 0 takes a fresh one.
	Handle Handle
	// Policy and Respondent are those of HandleOptions.
	Policy     func(m *Message) bool
	Respondent *ContextID
	// MaxBytes bounds what waits unread; 0 means 64 MiB. A Receiver that overflows closes.
	MaxBytes int
}

// Receiver queues the messages that come to a handle.
type Receiver struct {
	r      *Router
	handle Handle
	max    int
	latch  Latch[*Message]

	mu     sync.Mutex
	bytes  int
	err    error // what a closed latch means
	notify *Select
}

var errReceiverFull = errors.New("router: receiver is full")

// NewReceiver starts to listen. Close it.
func (r *Router) NewReceiver(opt ReceiverOptions) (*Receiver, error) {
	rcv := &Receiver{r: r, max: opt.MaxBytes}
	if rcv.max == 0 {
		rcv.max = receiverLimit
	}
	rcv.mu.Lock() // a message may come before the handle is known
	defer rcv.mu.Unlock()
	h, err := r.AddHandler(opt.Handle, rcv.arrive, HandleOptions{Policy: opt.Policy, Respondent: opt.Respondent})
	rcv.handle = h
	return rcv, err
}

func (rcv *Receiver) arrive(m *Message) {
	rcv.mu.Lock()
	rcv.bytes += len(m.Data)
	full := rcv.bytes > rcv.max
	rcv.mu.Unlock()
	if full {
		rcv.close(errReceiverFull)
		m.r.logMessage(m, LevelWarn, "receiver is full, closed")
		return
	}
	if rcv.latch.Put(m) == nil {
		rcv.tell()
	}
}

// tell lets the Select know that there is something to get.
func (rcv *Receiver) tell() {
	if s := rcv.owner(); s != nil {
		s.put(rcv)
	}
}

// Handle is where the Receiver listens.
func (rcv *Receiver) Handle() Handle { return rcv.handle }

// Sender is how others write to it. It may be put into the arguments of a call, as may the Receiver itself.
func (rcv *Receiver) Sender() *Sender {
	return &Sender{r: rcv.r, dst: rcv.r.cfg.ID, handle: rcv.handle}
}

// Get waits for the next message. A dead one is a *ChannelError; it does not close the Receiver.
func (rcv *Receiver) Get(ctx context.Context) (*Message, error) {
	m, err := rcv.latch.Get(ctx)
	return rcv.take(m, err)
}

// Try is Get without waiting: ok is false when nothing is there.
func (rcv *Receiver) Try() (m *Message, ok bool, err error) {
	m, ok, err = rcv.latch.Try()
	if !ok && err == nil {
		return nil, false, nil
	}
	m, err = rcv.take(m, err)
	return m, true, err
}

func (rcv *Receiver) take(m *Message, err error) (*Message, error) {
	rcv.mu.Lock()
	defer rcv.mu.Unlock()
	switch {
	case errors.Is(err, ErrLatchClosed):
		return nil, rcv.err
	case err != nil:
		return nil, err
	}
	rcv.bytes -= len(m.Data)
	if m.IsDead() {
		return nil, m.deadError()
	}
	return m, nil
}

// Messages yields what arrives until the first dead message, which just ends it. Any other end yields an error.
func (rcv *Receiver) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for {
			m, err := rcv.latch.Get(ctx)
			if m, err = rcv.take(m, err); err != nil {
				var dead *ChannelError
				if errors.As(err, &dead) && dead.Reason != reasonReceiver {
					return
				}
				yield(nil, err)
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// Len counts the messages that wait.
func (rcv *Receiver) Len() int { return rcv.latch.Len() }

// Close stops listening and wakes everybody who waits with "the Receiver has been closed". Idempotent.
func (rcv *Receiver) Close() { rcv.close(&ChannelError{Reason: reasonReceiver}) }

func (rcv *Receiver) close(err error) {
	rcv.mu.Lock()
	first := rcv.err == nil
	if first {
		rcv.err = err
	}
	rcv.mu.Unlock()
	if first {
		_ = rcv.r.RemoveHandler(rcv.handle) // gone already after the respondent's loss
		rcv.latch.Close()
		rcv.tell()
	}
}

// Sender writes to a handle of some context.
type Sender struct {
	r      *Router
	dst    ContextID
	handle Handle
}

// NewSender makes a Sender.
func (r *Router) NewSender(dst ContextID, h Handle) *Sender {
	return &Sender{r: r, dst: dst, handle: h}
}

// SenderOf returns the Sender that a decoded reference means.
func (r *Router) SenderOf(ref pickle.SenderRef) *Sender {
	return r.NewSender(ContextID(ref.Context), Handle(ref.Handle))
}

func (s *Sender) ref() pickle.SenderRef {
	return pickle.SenderRef{Context: uint32(s.dst), Handle: uint32(s.handle)}
}

// Context is where the Sender writes to.
func (s *Sender) Context() *Context { return s.r.Context(s.dst) }

// Send sends v, pickled. It blocks while the link's queue is full.
func (s *Sender) Send(v any) error { return s.Context().Send(s.handle, v) }

// Close tells the receiver that no more will come.
func (s *Sender) Close() error {
	s.r.Route(NewDead(s.dst, s.handle, reasonSenderClosed))
	return nil
}

// Writer sends each Write as one pickled bytes value; its Close is the Sender's. There is no flow control: for bulk, use a Stream.
func (s *Sender) Writer() io.WriteCloser { return senderWriter{s} }

type senderWriter struct{ *Sender }

func (w senderWriter) Write(p []byte) (int, error) {
	if err := w.Send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Channel is a Receiver and a Sender in one, for two contexts that talk to each other's handle.
type Channel struct {
	*Receiver
	*Sender
}

// NewChannel listens at a fresh handle, and sends to handle h of context dst.
func (r *Router) NewChannel(dst ContextID, h Handle) (*Channel, error) {
	rcv, err := r.NewReceiver(ReceiverOptions{})
	if err != nil {
		return nil, err
	}
	return &Channel{Receiver: rcv, Sender: r.NewSender(dst, h)}, nil
}

// Close tells the other side, and stops listening.
func (c *Channel) Close() error {
	c.Receiver.Close()
	return c.Sender.Close()
}
