package router

import "time"

type streamTable struct{}
type linkPace struct{}

func (r *Router) streamFrame(l *Link, h *header, buf []byte) {
	r.undeliverable(h, reasonInvalidHandle, true)
	putBuf(buf)
}
func (r *Router) streamsLost(id ContextID, err error)      {}
func (r *Router) closeStreams(err error)                   {}
func (r *Router) linkStreams(l *Link) (int, time.Duration) { return 0, 0 }
func (c *Call) streamResult(v any) any                     { return v }
func (c *Call) streamFailed(err error)                     {}
func (c *Call) Stream() (*Stream, error)                   { panic("unwritten") }
func (c *Context) Open()                                   {}
