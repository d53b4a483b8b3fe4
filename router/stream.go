package router

import (
	"context"
	"io"
)

// Class tells the two kinds of data in a stream apart. Both share the window and their order.
type Class uint8

const (
	Main     Class = 0 // stdin, stdout
	Extended Class = 1 // stderr
)

// Stream is a flow-controlled byte stream between this context and an ancestor or descendant (docs/protocol.md).
// One goroutine may read, one write, and any may send control items or close, at the same time.
type Stream struct{}

// Read reads Main data; Extended data is discarded. io.EOF after the peer's EOF.
func (s *Stream) Read(p []byte) (int, error) { panic("unwritten") }

// Chunk is a piece of received data. Release gives its credit and buffer back; Data is invalid afterwards.
type Chunk struct {
	Class Class
	Data  []byte
}

// Release acknowledges the chunk as consumed.
func (c *Chunk) Release() { panic("unwritten") }

// Next returns the next piece in order, of either class, without copying. io.EOF after the peer's EOF, then the cause if lost.
func (s *Stream) Next() (Chunk, error) { panic("unwritten") }

// WriteTo writes Main data to w until EOF, without copying. (io.WriterTo)
func (s *Stream) WriteTo(w io.Writer) (int64, error) { panic("unwritten") }

// Write sends Main data. It blocks for credit. It copies p once, into frames.
func (s *Stream) Write(p []byte) (int, error) { panic("unwritten") }

// WriteClass is Write for either class.
func (s *Stream) WriteClass(c Class, p []byte) (int, error) { panic("unwritten") }

// ReadFrom reads from r straight into frames until EOF. It does not CloseWrite. (io.ReaderFrom)
func (s *Stream) ReadFrom(r io.Reader) (int64, error) { panic("unwritten") }

// CopyFrom is ReadFrom for either class; two copies, one per class, may run at once.
func (s *Stream) CopyFrom(c Class, r io.Reader) (int64, error) { panic("unwritten") }

// CloseWrite sends EOF after everything written.
func (s *Stream) CloseWrite() error { panic("unwritten") }

// Control is an out-of-band item: it overtakes data that waits for credit and is not subject to it.
type Control struct {
	Kind byte
	Data []byte
}

// SendControl sends an item of at most 4 KiB, after everything written before it.
func (s *Stream) SendControl(c Control) error { panic("unwritten") }

// Control waits for the next item. After the peer has finished, io.EOF; when the stream failed, its cause.
func (s *Stream) Control(ctx context.Context) (Control, error) { panic("unwritten") }

// Reset ends both directions at once; the peer sees a *ResetError with the text of cause. Idempotent.
func (s *Stream) Reset(cause error) { panic("unwritten") }

// Close ends the stream: orderly when both directions have seen EOF, by a reset otherwise. Idempotent.
func (s *Stream) Close() error { panic("unwritten") }

// Done is closed when the stream is closed, reset or lost; Err says why (nil after an orderly end).
func (s *Stream) Done() <-chan struct{} { panic("unwritten") }
func (s *Stream) Err() error            { panic("unwritten") }

// Peer is the context at the other end, as far as this end knows.
func (s *Stream) Peer() *Context { panic("unwritten") }

// ResetError is what a stream fails with when the peer reset it.
type ResetError struct{ Reason string }

func (e *ResetError) Error() string { return e.Reason }

// OpenSpec names a function that accepts a stream.
type OpenSpec struct {
	Context *Context
	Name    string
	Args    []any
}

// Circuit is two streams joined here: bytes, credit, EOF, reset and control items pass; neither end learns the other's id.
type Circuit struct{}

// Join opens first, then second, and joins the two. It returns what both functions returned.
// When the second cannot be opened, the first is reset.
func (r *Router) Join(ctx context.Context, first, second OpenSpec) (c *Circuit, a, b any, err error) {
	panic("unwritten")
}

// Close resets both ends with the text of cause.
func (c *Circuit) Close(cause error) { panic("unwritten") }

// Done is closed when both ends have finished.
func (c *Circuit) Done() <-chan struct{} { panic("unwritten") }
