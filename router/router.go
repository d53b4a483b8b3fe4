package router

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Level is a log level, numbered as in Python (and so on the wire).
type Level int

// Log levels.
const (
	LevelDebug Level = 10
	LevelInfo  Level = 20
	LevelWarn  Level = 30
	LevelError Level = 40
)

// LogFunc takes one record; attrs are key, value, key, value…. It must not block.
type LogFunc func(level Level, msg string, attrs ...string)

// Config says who a Router is. Its zero value is a master.
type Config struct {
	ID        ContextID
	ParentIDs []ContextID // nearest first; empty for a master
	Name      string
	// Unidirectional forbids traffic between siblings (Mitogen's option of that name).
	Unidirectional bool
	// MaxMessage bounds a payload, bytes. 0 means 128 MiB in a master and 1 MiB elsewhere:
	// what a parent accepts of a child unless told otherwise.
	MaxMessage int
	// StreamMemory is the budget that all receive windows share, bytes: what they grow by beyond the first 256 KiB of
	// each stream, and what is unread before all of them shrink. 0 means 64 MiB.
	StreamMemory int64
	// NoPacing lets bulk stand in the buffers of transports, up to its windows. Otherwise what is on its way to a context
	// is held near what the path delivers in one round trip.
	NoPacing bool
	Log      LogFunc // nil discards
	// ForwardedLog, in a master, takes the log records of contexts below. It must not block, and its texts
	// come from there: untrusted. nil passes them to Log.
	ForwardedLog func(from ContextID, logger string, level Level, text string)
	// ChildLost is told why the link to a child has ended, before anybody else hears that what was behind it is gone. It must not block;
	// ForwardLog does not. nil is nobody.
	ChildLost func(child ContextID, cause error)
}

// Router owns the links, routes, handles and streams of one context.
// All methods are safe for concurrent use.
type Router struct {
	cfg     Config
	ctx     context.Context // ends with Close, or when the parent is lost
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup // links' goroutines, running calls
	handles handleTable
	calls   dispatcher
	ids     idSpace
	streams streamTable

	mu       sync.RWMutex
	closed   bool
	parent   *Link
	links    map[*Link]struct{}
	routes   map[ContextID]*Link // exact ones; the rest is behind the parent
	contexts map[ContextID]*Context
}

// New makes a router without links.
func New(cfg Config) *Router {
	if cfg.MaxMessage == 0 {
		cfg.MaxMessage = childMessage
		if cfg.ID == 0 && len(cfg.ParentIDs) == 0 {
			cfg.MaxMessage = masterMessage
		}
	}
	cfg.ParentIDs = slices.Clone(cfg.ParentIDs)
	r := &Router{
		cfg:      cfg,
		links:    map[*Link]struct{}{},
		routes:   map[ContextID]*Link{},
		contexts: map[ContextID]*Context{},
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.handles.init()
	r.calls.init(r)
	r.ids.init(r)
	r.addControlHandlers()
	return r
}

// ID is the own id.
func (r *Router) ID() ContextID { return r.cfg.ID }

// Name is that of the Config.
func (r *Router) Name() string { return r.cfg.Name }

// ParentIDs are the ancestors, nearest first.
func (r *Router) ParentIDs() []ContextID { return slices.Clone(r.cfg.ParentIDs) }

func (r *Router) isMaster() bool { return r.cfg.ID == 0 && len(r.cfg.ParentIDs) == 0 }

// LinkConfig describes a byte stream that AddLink takes over.
type LinkConfig struct {
	// Remote is the context directly at the other end.
	Remote ContextID
	// Name is the remote context's name, announced upward with ADD_ROUTE.
	Name string
	// Parent marks the link towards the parent.
	Parent bool
	// Auth, if set, overwrites the authority of everything that comes in (unix clients).
	Auth *ContextID
	// MaxMessage bounds a payload, bytes, either way: the link is dropped when more is announced, and no more is sent.
	// 0 means 1 MiB for a child and Config.MaxMessage for a parent.
	MaxMessage int
	// OldPeer: the peer knows only magic 0x4d49. Forgotten when it shows another.
	OldPeer bool
}

// AddLink gives rwc to the router, which reads, writes and closes it from now on (also when
// AddLink fails), and returns the context at its other end. A child's route is announced to
// the parent first. When Read ends with an error other than io.EOF, that becomes the Cause of the
// loss of all contexts behind the link. Close has to wake a blocked Read and Write.
func (r *Router) AddLink(rwc io.ReadWriteCloser, cfg LinkConfig) (*Context, error) {
	l := r.newLink(rwc, cfg)
	var c *Context
	err := errSmallLink
	if l.max >= minMessage {
		c, err = r.attach(l)
	}
	if err != nil {
		l.q.close()
		rwc.Close()
		return nil, err
	}
	go l.readLoop()  // ends when rwc does; Close waits for it
	go l.writeLoop() // ends when l.q is closed; Close waits for it
	return c, nil
}

var errSmallLink = errors.New("add link: a message limit below 64 KiB")

func (r *Router) newLink(rwc io.ReadWriteCloser, cfg LinkConfig) *Link {
	l := &Link{
		r: r, rwc: rwc, remote: cfg.Remote, name: cfg.Name, parent: cfg.Parent, auth: cfg.Auth, max: cfg.MaxMessage,
		q: newScheduler(linkQueue), out: newBatchWriter(rwc),
		routes: map[ContextID]struct{}{}, egress: map[ContextID]struct{}{}, readDone: make(chan struct{}),
		logged:    Quota{Burst: peerLogRate, PerSecond: peerLogRate},
		forwarded: Quota{Burst: forwardedRate, PerSecond: forwardedRate},
	}
	switch {
	case l.max == 0 && cfg.Parent:
		l.max = r.cfg.MaxMessage
	case l.max == 0:
		l.max = childMessage
	}
	l.max = min(l.max, r.cfg.MaxMessage)
	if l.out.raw != nil {
		l.q.direct = l.writeNow
	}
	l.q.stalled = func(queued int64) {
		l.logPeer(LevelWarn, "queue is full, its feeders have to wait", "queued", strconv.FormatInt(queued, 10))
	}
	if !cfg.Parent { // nobody above is held up by what waits for the parent
		l.q.watch.patience = r.patience()
		l.q.watch.giveUp = func(memory int64, after time.Duration) { l.fail(errStuck(memory, after)) }
	}
	l.privileged = cfg.Parent || slices.Contains(r.cfg.ParentIDs, cfg.Remote) ||
		cfg.Auth != nil && hasAuthority(*cfg.Auth, r.cfg.ID, r.cfg.ParentIDs)
	l.old.Store(cfg.OldPeer)
	return l
}

// attach publishes a complete link: its routes, and to the parent what is now reachable.
func (r *Router) attach(l *Link) (*Context, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, ErrClosed
	case l.parent && r.parent != nil:
		return nil, errors.New("add link to context " + l.remote.String() + ": there is a parent already")
	case l.remote == r.cfg.ID, !l.parent && (r.routes[l.remote] != nil || hasAuthority(l.remote, r.cfg.ID, r.cfg.ParentIDs)):
		return nil, errors.New("add link to context " + l.remote.String() + ": the id is taken")
	}
	r.wg.Add(2)
	r.links[l] = struct{}{}
	c := r.contextLocked(l.remote)
	if l.parent {
		r.parent = l
		for id := range r.routes {
			r.announce(id, r.contextLocked(id).Name())
		}
		return c, nil
	}
	r.ids.claim(l.remote)
	if l.name != "" {
		c.setName(l.name)
	}
	r.routes[l.remote], l.routes[l.remote] = l, struct{}{}
	r.announce(l.remote, l.name)
	return c, nil
}

// LinkStats is a snapshot of one link.
type LinkStats struct {
	Remote              ContextID
	Name                string
	Parent              bool
	Queued              int64 // bytes waiting to be written
	BytesIn, BytesOut   uint64
	FramesIn, FramesOut uint64
	Streams             int           // local streams over this link
	SmoothedRTT         time.Duration // 0 when not known
}

// Links reports the state of every link, for pictures of the tree and tests, in order of the remote ids.
func (r *Router) Links() []LinkStats {
	var all []LinkStats
	for _, l := range r.someLinks(nil) {
		s := LinkStats{
			Remote: l.remote, Name: l.name, Parent: l.parent, Queued: l.q.queued(),
			BytesIn: l.bytesIn.Load(), BytesOut: l.bytesOut.Load(), FramesIn: l.framesIn.Load(), FramesOut: l.framesOut.Load(),
		}
		s.Streams, s.SmoothedRTT = r.linkStreams(l)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b LinkStats) int { return cmp.Compare(a.Remote, b.Remote) })
	return all
}

func (r *Router) someLinks(want func(*Link) bool) []*Link {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var some []*Link
	for l := range r.links {
		if want == nil || want(l) {
			some = append(some, l)
		}
	}
	return some
}

// Routes lists every context known to be reachable, with the neighbour it is reached by.
func (r *Router) Routes() map[ContextID]ContextID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make(map[ContextID]ContextID, len(r.routes)+1)
	for id, l := range r.routes {
		all[id] = l.remote
	}
	if r.parent != nil {
		all[r.parent.remote] = r.parent.remote
	}
	return all
}

// Shutdown sends SHUTDOWN to each child, waits for the links to close until ctx is done, and closes.
// Its error says that children were left which had not ended by themselves.
func (r *Router) Shutdown(ctx context.Context) error {
	r.calls.stop()
	left := r.shutChildren(ctx)
	if err := r.Close(); err != nil {
		return err
	}
	if left > 0 {
		return errors.New("shut down: " + strconv.Itoa(left) + " children had not ended: " + context.Cause(ctx).Error())
	}
	return nil
}

// shutChildren asks all children to end, and counts those that have not when ctx is done.
func (r *Router) shutChildren(ctx context.Context) (left int) {
	children := r.someLinks(func(l *Link) bool { return !l.parent })
	for _, l := range children {
		r.tell(l, HandleShutdown, nil)
	}
	for _, l := range children {
		select {
		case <-l.readDone:
		case <-ctx.Done():
			left++
		}
	}
	return left
}

// begin counts a goroutine in, unless the router has closed.
func (r *Router) begin() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return false
	}
	r.wg.Add(1)
	return true
}

// Close closes every link and wakes every waiter. It returns when every goroutine of the router
// has ended, functions that serve calls included: it must not be called from one, nor from a handler.
func (r *Router) Close() error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	if first {
		r.calls.stop()
		r.closeStreams(ErrClosed)
		r.handles.closeAll(r)
		for _, l := range r.someLinks(nil) {
			l.finish(ErrClosed)
		}
		r.cancel(ErrClosed)
		r.loseEverybody(ErrClosed)
	}
	r.wg.Wait()
	return nil
}

// loseEverybody marks all contexts lost when no link is left to do so.
func (r *Router) loseEverybody(cause error) {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.contexts))
	clear(r.contexts)
	r.mu.Unlock()
	for _, c := range all {
		c.lose(&LostError{ID: c.id, Name: c.Name(), Cause: cause})
	}
}

// Done is closed when the router is closed, or has lost its parent.
func (r *Router) Done() <-chan struct{} { return r.ctx.Done() }

// Err says why Done is closed: ErrClosed, or the *LostError of the parent. It is nil before.
func (r *Router) Err() error { return context.Cause(r.ctx) }
