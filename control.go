package fakessh

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// ErrControlClosed is what ControlServer.Serve returns after Close or Shutdown.
var ErrControlClosed = errors.New("fakessh: control server closed")

// errShuttingDown is why sessions end that are still there when the server stops.
var errShuttingDown = errors.New("fakesshd: shutting down")

// ControlServer serves control sockets: the invocations of shims, and operations by name. The wire is package session's.
// Its fields are set before Serve.
type ControlServer struct {
	Tree *Tree
	// Admit says whether a process may ask for anything at all, before a byte of it is read. nil with an Authorize admits everybody;
	// without one, the process's own user and root.
	Admit func(p Peer) error
	// Authorize decides about everything that is asked for. What has a Dest is asked about twice: before that is connected,
	// with Lease nil, and then with the lease that will be used, which knows the account. nil permits everything to whom Admit admits.
	Authorize func(ctx context.Context, a *Access) error
	// Ended is told what became of everything that has a Dest. nil is nobody. It must not block for long.
	Ended func(e *ControlEnd)
	// Attach is told of each program that is about to attach by mitogen.unix, with the router's whole authority: of the process's own
	// user, or root's. An error keeps it out. It is also told of those that may not, with Err set. nil: nobody can attach.
	Attach func(a *Attachment) error
	// Detach is told of the end of each that Attach has let in. nil is nobody.
	Detach func(a *Attachment)
	// Ops are operations beside sessions and dials, by name.
	Ops    map[string]ControlOp
	Env    *authz.EnvList // variables that sessions may set; nil = authz.DefaultEnvList
	Logger *slog.Logger   // nil discards

	MaxConns     int // connections at once; 0 = 4096
	MaxPeerConns int // those of one uid; 0 = 1024
	MaxAttached  int // programs attached by mitogen.unix at once; 0 = 64

	// fixed is where every host name leads, whatever a request says.
	fixed *Dest
	// ending is why connections end with Close; nil is errShuttingDown.
	ending error

	mu        sync.Mutex
	closed    bool
	listeners map[*net.UnixListener]struct{}
	accepting context.Context // of Serve; made by track
	accepted  context.CancelFunc
	peers     map[int]*peerConns // by uid
	conns     map[*session.InvokeConn]context.CancelCauseFunc
	attached  int            // programs
	wg        sync.WaitGroup // one per connection

	strangers atomic.Int32 // are waited for, to be turned away
}

// Access is one question to ControlServer.Authorize.
type Access struct {
	Conn       string // names the connection, and within a run in a target the invocation: "5f0c…", "5f0c…/1"
	Peer       Peer
	Invocation *session.Invocation
	Dest       Dest   // of a session, a dial or a hold; where the program of a run is to run; zero for other operations
	Lease      *Lease // nil before Dest is connected
	refused    bool   // the last answer was a refusal
}

// ControlEnd is how something ended that Authorize was asked about.
type ControlEnd struct {
	*Access               // with the Lease it had, which is over; nil when Dest was not connected
	Exit    *session.Exit // of a session or a run; nil when it never ran, was lost, or led from one target into another
	Err     error         // why it did not end by itself; nil if it did
	Refused bool          // Err is Authorize's
	Elapsed time.Duration
}

// Peer is the process at the other end of a unix socket, as the kernel says.
type Peer struct{ UID, GID, PID int }

// ControlOp serves one operation. Its error is told to the asking end as one line. ctx ends when that is gone.
type ControlOp func(ctx context.Context, r *ControlRequest) error

// ControlRequest is an operation being served.
type ControlRequest struct {
	Peer       Peer
	Invocation *session.Invocation
	// Files are the descriptors that came with it, closed when the operation returns.
	Files []*session.Descriptor
	conn  *session.InvokeConn
}

// Reply sends a piece of the result, at most session.MaxReply bytes.
func (r *ControlRequest) Reply(data []byte) error { return r.conn.Send(session.InvokeReply, data) }

// Serve accepts connections on ln, which it closes, until Close or Shutdown; then it returns ErrControlClosed. Nothing that those who
// connect can do makes it return.
func (s *ControlServer) Serve(ln *net.UnixListener) error {
	defer ln.Close()
	if !s.track(ln) {
		return ErrControlClosed
	}
	for {
		conn, err := session.AcceptInvoke(s.accepting, ln, func(err error) { s.log().Warn("control socket: accept", "err", err) })
		if err != nil {
			if s.isClosed() {
				return ErrControlClosed
			}
			return err
		}
		ctx, err := s.begin(conn)
		if err != nil {
			_ = conn.SendError(err)
			conn.Close()
			continue
		}
		go func() { // ends with the connection, or by its context; Close waits for it
			defer s.end(conn)
			defer s.guard(conn)
			s.serve(ctx, conn)
		}()
	}
}

// guard ends one connection after a panic of ours; the rest of the process goes on.
func (s *ControlServer) guard(conn *session.InvokeConn) {
	if p := recover(); p != nil {
		s.log().Error("panic on a control connection", "panic", p, "stack", string(debug.Stack()))
		_ = conn.SendError(errors.New("internal error"))
	}
}

func (s *ControlServer) track(ln *net.UnixListener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.listeners == nil {
		s.listeners = map[*net.UnixListener]struct{}{}
		s.accepting, s.accepted = context.WithCancel(context.Background())
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *ControlServer) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// begin counts a connection that has been accepted.
func (s *ControlServer) begin(conn *session.InvokeConn) (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errShuttingDown
	case len(s.conns) >= orMany(s.MaxConns, defaultMaxConns):
		return nil, errManyConns
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	if s.conns == nil {
		s.conns = map[*session.InvokeConn]context.CancelCauseFunc{}
	}
	s.conns[conn] = cancel
	s.wg.Add(1)
	return ctx, nil
}

func (s *ControlServer) end(conn *session.InvokeConn) {
	conn.Close()
	s.mu.Lock()
	s.conns[conn](nil)
	delete(s.conns, conn)
	s.mu.Unlock()
	s.wg.Done()
}

// Shutdown stops accepting, lets what is running end until ctx is done, and then ends it.
func (s *ControlServer) Shutdown(ctx context.Context) {
	s.stop()
	done := make(chan struct{})
	go func() { // ends with the last connection, at the latest by abort
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.abort()
		<-done
	}
}

// Close ends everything at once, and returns when it has ended. Idempotent.
func (s *ControlServer) Close() error {
	s.stop()
	s.abort()
	s.wg.Wait()
	return nil
}

// stop closes the listeners.
func (s *ControlServer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.accepted != nil {
		s.accepted()
	}
	for ln := range s.listeners {
		ln.Close()
	}
}

// abort ends every connection.
func (s *ControlServer) abort() {
	cause := s.ending
	if cause == nil {
		cause = errShuttingDown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, cancel := range s.conns {
		cancel(cause)
		conn.Interrupt()
	}
}

func (s *ControlServer) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// serve serves one connection.
func (s *ControlServer) serve(ctx context.Context, conn *session.InvokeConn) {
	peer, err := peerOf(conn.NetConn())
	if err != nil {
		s.log().Warn("control socket: unknown peer", "err", err)
		return
	}
	log := s.log().With("uid", peer.UID, "pid", peer.PID)
	if err := s.admit(peer); err != nil {
		log.Debug("control connection refused", "err", err)
		s.turnAway(conn, err)
		return
	}
	defer s.leave(peer)
	inv, files, err := s.request(ctx, conn, peer)
	defer session.CloseDescriptors(files)
	switch {
	case errors.Is(err, io.EOF):
		return
	case errors.Is(err, session.ErrMitogenUnix):
		if err := s.attach(ctx, conn, peer); err != nil {
			log.Debug("mitogen.unix refused", "err", err)
		}
		return
	case err != nil:
		log.Warn("control request refused", "err", err)
		_ = conn.SendError(err)
		return
	}
	log = log.With("op", inv.Op, "host", inv.Host)
	if err := s.handle(ctx, conn, &ControlRequest{Peer: peer, Invocation: inv, Files: files, conn: conn}); err != nil {
		log.Info("control request failed", "err", err)
	}
}

// handle does what was asked for, and returns what was told about it.
func (s *ControlServer) handle(ctx context.Context, conn *session.InvokeConn, r *ControlRequest) error {
	s.confine(r.Invocation)
	a := &Access{Conn: newConnID(), Peer: r.Peer, Invocation: r.Invocation}
	var err error
	if a.Dest, err = s.about(r.Invocation); err != nil {
		_ = conn.SendError(err)
		return err
	}
	end := s.watchEnd(a)
	exit, err := s.perform(ctx, conn, r, a)
	end(exit, err) // on record before it is known
	conn.End(exit, err)
	return err
}

// watchEnd begins the time of what a is about, and returns what tells Ended.
func (s *ControlServer) watchEnd(a *Access) func(exit *session.Exit, err error) {
	begun := time.Now()
	return func(exit *session.Exit, err error) {
		if a.Invocation.Op == session.OpDial {
			exit = nil
		}
		if s.Ended != nil && a.Dest.Target.Name != "" {
			s.Ended(&ControlEnd{Access: a, Exit: exit, Err: err, Refused: a.refused, Elapsed: time.Since(begun)})
		}
	}
}

// perform is handle, once it is clear where. exit is nil where there is none.
func (s *ControlServer) perform(ctx context.Context, conn *session.InvokeConn, r *ControlRequest, a *Access) (exit *session.Exit, err error) {
	if err := s.authorize(ctx, a); err != nil {
		return nil, err
	}
	switch r.Invocation.Op {
	case session.OpSession:
		return conn.ServeSession(ctx, r.Files, func(ctx context.Context) (*session.Client, func(), error) {
			return s.startSession(ctx, a, r.Invocation)
		})
	case session.OpDial:
		return conn.ServeDial(ctx, r.Files, func(ctx context.Context) (*router.Stream, func(), error) {
			return s.startDial(ctx, a, r.Invocation)
		})
	case session.OpRun:
		return conn.ServeSession(ctx, r.Files, func(ctx context.Context) (*session.Client, func(), error) { return s.startRun(ctx, a) })
	case session.OpHold:
		return conn.ServeHold(ctx, func(ctx context.Context) (func(), error) {
			lease, err := s.connect(ctx, a, r.Invocation)
			if err != nil {
				return nil, err
			}
			return lease.Release, nil
		})
	}
	return nil, s.operate(ctx, conn, r)
}

// newConnID names a connection in records.
func newConnID() string {
	id := make([]byte, 6)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// confine takes out of an invocation what is not the asking end's to say: variables that a client of SSH could not set either, who the
// client is, where a command runs, which policy is not told, and an ssh-agent, which nobody would serve.
func (s *ControlServer) confine(inv *session.Invocation) {
	if inv.Spec == nil {
		return
	}
	env := authz.DefaultEnvList()
	if s.Env != nil {
		env = *s.Env
	}
	inv.Spec.Env = env.Filter(inv.Spec.Env)
	inv.Spec.ClientAddr, inv.Spec.ServerAddr, inv.Spec.Dir, inv.Spec.Agent = "", "", "", false
}

// operate serves one of Ops.
func (s *ControlServer) operate(ctx context.Context, conn *session.InvokeConn, r *ControlRequest) error {
	op, ok := s.Ops[r.Invocation.Op]
	if !ok {
		return fmt.Errorf("control socket: no operation %q", r.Invocation.Op)
	}
	ctx, cancel := conn.Watch(ctx)
	defer cancel()
	return op(ctx, r)
}

// authorize asks the hook; without one, whoever was admitted may.
func (s *ControlServer) authorize(ctx context.Context, a *Access) error {
	if s.Authorize == nil {
		return nil
	}
	err := s.Authorize(ctx, a)
	a.refused = err != nil
	return err
}

// about is the place that an invocation is about. A run is about where its program runs: where its ssh leads is the business of each
// of its invocations.
func (s *ControlServer) about(inv *session.Invocation) (Dest, error) {
	switch inv.Op {
	case session.OpSession, session.OpDial, session.OpHold:
		return s.destination(inv)
	case session.OpRun:
		if inv.Dest != "" {
			if _, err := s.destination(inv); err != nil {
				return Dest{}, err
			}
		}
		return s.from(inv.From)
	}
	return Dest{}, nil
}

// destination says where an invocation leads. An account that was typed counts where the destination names none: one that the
// user has named is not a program's to change, least of all a program's in a target.
func (s *ControlServer) destination(inv *session.Invocation) (Dest, error) {
	var d Dest
	var err error
	switch {
	case s.fixed != nil:
		d = *s.fixed
	case inv.Dest != "":
		d, err = ParseDest(inv.Dest)
	default:
		d.Target, err = hostTarget(inv.Host)
	}
	if err != nil {
		return d, err
	}
	if d.Account == "" && inv.Account != "" {
		if err := CheckAccount(inv.Account); err != nil {
			return d, err
		}
		d.Account = inv.Account
	}
	d.Target, err = s.Tree.Resolve(d.Target)
	return d, err
}

// hostTarget is the target that a host name is. ssh does not tell capitals apart in host names, a target's name has none.
func hostTarget(host string) (Target, error) {
	t, err := ParseTarget(host)
	if err != nil {
		if lower, lowerErr := ParseTarget(strings.ToLower(host)); lowerErr == nil {
			return lower, nil
		}
	}
	return t, err
}

// connect leases a's destination and asks again, now that the account is known.
func (s *ControlServer) connect(ctx context.Context, a *Access, inv *session.Invocation) (*Lease, error) {
	if inv.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, inv.Timeout, errors.New("connection timed out"))
		defer cancel()
	}
	lease, err := s.Tree.Connect(ctx, a.Dest)
	if err != nil {
		return nil, err
	}
	a.Lease = lease
	if err := s.authorize(ctx, a); err != nil {
		lease.Release()
		return nil, err
	}
	return lease, nil
}

func (s *ControlServer) startSession(ctx context.Context, a *Access, inv *session.Invocation) (*session.Client, func(), error) {
	lease, err := s.connect(ctx, a, inv)
	if err != nil {
		return nil, nil, err
	}
	client, err := lease.Start(ctx, inv.Spec)
	if err != nil {
		lease.Release()
		return nil, nil, err
	}
	return client, lease.Release, nil
}

func (s *ControlServer) startDial(ctx context.Context, a *Access, inv *session.Invocation) (*router.Stream, func(), error) {
	lease, err := s.connect(ctx, a, inv)
	if err != nil {
		return nil, nil, err
	}
	stream, err := lease.Dial(ctx, inv.Network, inv.Address)
	if err != nil {
		lease.Release()
		return nil, nil, err
	}
	return stream, lease.Release, nil
}

// AskControl asks the daemon behind the control socket at path for an operation. each takes the pieces of the result.
func AskControl(ctx context.Context, path, op string, args []string, each func(data []byte) error) error {
	conn, err := session.DialInvoke(path)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.Ask(&session.Invocation{Op: op, Args: args}); err != nil {
		return controlError(ctx, err)
	}
	for {
		m, err := conn.Next()
		if err != nil {
			return controlError(ctx, err)
		}
		switch m.Kind {
		case session.InvokeReply:
			if err := each(m.Data); err != nil {
				return err
			}
		case session.InvokeError:
			return m.Err()
		case session.InvokeDone:
			return nil
		}
	}
}

func controlError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused *session.RefusedError
	if errors.As(err, &refused) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("control socket: %w", err)
}

// ParseDest parses "[account@]target".
func ParseDest(s string) (Dest, error) {
	var d Dest
	var err error
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		if d.Account, s = s[:at], s[at+1:]; d.Account == "" {
			return d, &TargetError{Target: s, Reason: "no account before the @"}
		}
		if err := CheckAccount(d.Account); err != nil {
			return d, err
		}
	}
	d.Target, err = ParseTarget(s)
	return d, err
}
