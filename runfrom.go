package fakessh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
	"fakessh/router/pickle"
)

// A run in a target: the program is a session there, whose agent serves the shims. The agent asks here about each of them, and
// the session that it gets is a circuit between the two targets. A target never chooses where that leads: a run with a
// destination leads only there, whatever the target says, and every invocation is authorized like one of a local run.

// maxFromInvocations bounds the invocations of one run that are being connected or at work.
const maxFromInvocations = 256

// errRunEnded is why sessions end that outlive their run.
var errRunEnded = errors.New("the run has ended")

// remoteRun is a run's program in a target, seen from the gateway.
type remoteRun struct {
	srv    *ControlServer
	access *Access // the run's own: who asked for it, where its ssh leads
	from   *Lease
	client *session.Client
	ctx    context.Context // ends with the run
	cancel context.CancelCauseFunc
	slots  chan struct{}
	wg     sync.WaitGroup
}

// startRun starts the program of a run in the target that a is about. The caller carries the client, and then calls release.
func (s *ControlServer) startRun(ctx context.Context, a *Access) (c *session.Client, release func(), err error) {
	lease, err := s.connect(ctx, a, a.Invocation)
	if err != nil {
		return nil, nil, err
	}
	r := &remoteRun{srv: s, access: a, from: lease, slots: make(chan struct{}, maxFromInvocations)}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	if r.client, err = lease.Start(ctx, runSpec(a.Invocation)); err != nil {
		r.cancel(err)
		lease.Release()
		return nil, nil, err
	}
	r.client.Invoke = r.invoked
	r.wg.Go(func() { _, _ = r.client.Wait(r.ctx) }) // reads the items; ends with the session, or with r
	return r.client, r.release, nil
}

// release ends the circuits that are left.
func (r *remoteRun) release() {
	r.cancel(errRunEnded)
	r.wg.Wait()
	r.from.Release()
}

// invoked is told of an invocation, on the goroutine that reads the session's items.
func (r *remoteRun) invoked(item []byte) {
	id, _, err := session.ParseAsk(item)
	if err != nil {
		return
	}
	select {
	case r.slots <- struct{}{}:
	default:
		r.answer(id, errors.New("too many ssh at once"))
		return
	}
	r.wg.Go(func() { // ends with the invocation, or with the run
		defer func() { <-r.slots }()
		if err := r.serve(id); err != nil {
			r.answer(id, err)
		}
	})
}

// answer tells the agent that there will be no session for an invocation.
func (r *remoteRun) answer(id uint64, err error) {
	_ = r.client.SendControl(router.Control{
		Kind: session.ItemAnswer, Data: session.AppendAsk(nil, id, session.ErrorLine(err)),
	})
}

// serve serves one invocation. An error has not been told yet.
func (r *remoteRun) serve(id uint64) error {
	inv, err := r.fetch(id)
	if err != nil {
		return err
	}
	r.srv.confine(inv)
	a := &Access{Conn: r.access.Conn + "/" + strconv.FormatUint(id, 36), Peer: r.access.Peer, Invocation: inv}
	if a.Dest, err = r.srv.destination(inv); err != nil {
		return err
	}
	end := r.srv.watchEnd(a)
	err = r.join(id, a)
	end(nil, err)
	return err
}

// join joins one invocation to its destination, until either is over.
func (r *remoteRun) join(id uint64, a *Access) error {
	if err := r.srv.authorize(r.ctx, a); err != nil {
		return err
	}
	lease, err := r.srv.connect(r.ctx, a, a.Invocation)
	if err != nil {
		return err
	}
	defer lease.Release()
	circuit, err := r.circuit(id, lease, a.Invocation)
	if err != nil {
		return err
	}
	select {
	case <-circuit.Done():
	case <-r.ctx.Done():
		circuit.Close(context.Cause(r.ctx))
	}
	return nil
}

// circuit opens what an invocation wants in lease, and joins it to the shim. Either target may be silent; who waits for whom is one wait.
func (r *remoteRun) circuit(id uint64, lease *Lease, inv *session.Invocation) (*router.Circuit, error) {
	op, limit, there := "start a session", lease.patience(), router.OpenSpec{Context: lease.Context()}
	switch inv.Op {
	case session.OpSession:
		there.Name, there.Args = session.FuncStart, []any{inv.Spec.Encode()}
	case session.OpDial:
		op, limit = "connect to "+session.OneLine(inv.Address), session.DialTimeout+answerTime
		there.Name, there.Args = session.FuncDial, []any{inv.Network, inv.Address}
	}
	here := router.OpenSpec{Context: r.from.Context(), Name: session.FuncAttach, Args: []any{int64(id)}}
	ctx, cancel := lease.answerBy(r.ctx, op, limit)
	defer cancel()
	circuit, _, _, err := r.srv.Tree.Router().Join(ctx, there, here)
	return circuit, err
}

// fetch gets what the shim asks for. The target may send anything.
func (r *remoteRun) fetch(id uint64) (*session.Invocation, error) {
	ctx, cancel := r.from.answerBy(r.ctx, "ask about an ssh", r.from.patience())
	defer cancel()
	v, err := r.from.Context().Call(ctx, session.FuncInvocation, int64(id))
	if err != nil {
		return nil, err
	}
	var wire []byte
	switch v := v.(type) {
	case []byte:
		wire = v
	case pickle.Blob:
		wire = v
	default:
		return nil, errors.New("invocation: not bytes")
	}
	inv, err := session.ParseInvocation(wire)
	if err != nil {
		return nil, err
	}
	if inv.Op != session.OpSession && inv.Op != session.OpDial {
		return nil, fmt.Errorf("invocation: no operation %q", inv.Op)
	}
	inv.Dest = r.access.Invocation.Dest
	return inv, nil
}

func runSpec(inv *session.Invocation) *session.Spec {
	return &session.Spec{Kind: session.Argv, Args: inv.Args, Dir: inv.Dir, Shim: true}
}

// from is where a run's program is to run.
func (s *ControlServer) from(name string) (Dest, error) {
	d, err := ParseDest(name)
	if err != nil {
		return d, err
	}
	d.Target, err = s.Tree.Resolve(d.Target)
	return d, err
}

// runFrom is Tree.Run with From.
func (t *Tree) runFrom(ctx context.Context, dest string, argv []string, c *runConfig) (int, error) {
	if len(argv) == 0 || argv[0] == "" {
		return 0, errors.New("no program given")
	}
	srv := &ControlServer{Tree: t, Logger: t.log, Authorize: func(context.Context, *Access) error { return nil }}
	a := &Access{Invocation: &session.Invocation{Op: session.OpRun, Dest: dest, From: c.from, Args: argv, Dir: c.dir}}
	var err error
	if a.Dest, err = srv.about(a.Invocation); err != nil {
		return 0, err
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	client, release, err := srv.startRun(context.WithoutCancel(ctx), a)
	if err != nil {
		return 0, errors.New(session.ErrorLine(err))
	}
	defer release()
	std, err := c.descriptors()
	if err != nil {
		client.Reset(err)
		return 0, err
	}
	stop := c.supervised(ctx, argv[0], func(name string) { _ = client.Signal(name) }, func() { client.Reset(context.Cause(ctx)) })
	defer stop()
	exit, err := client.Carry(context.WithoutCancel(ctx), session.Stdio{In: std[0], Out: std[1], Err: std[2]})
	return c.remoteExit(argv[0], exit, err), nil
}

// remoteExit is the exit status of a program in a target. When the target was lost a line says so.
func (c *runConfig) remoteExit(program string, exit session.Exit, err error) int {
	switch {
	case err != nil:
		c.say(program, err)
		return 255
	case exit.Signal != "":
		return 128 + int(unix.SignalNum("SIG"+exit.Signal))
	}
	return int(exit.Status)
}

// say writes a line to the program's stderr.
func (c *runConfig) say(program string, err error) {
	if c.stdio[2] != nil {
		fmt.Fprintf(c.stdio[2], "fakessh: %s: %s\n", program, session.ErrorLine(err))
	}
}

// limit gives ctx the run's deadline.
func (c *runConfig) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.deadline == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, c.deadline, fmt.Errorf("deadline of %v exceeded", c.deadline))
}

// descriptors are duplicates of the standard streams, which can be closed without closing the caller's.
func (c *runConfig) descriptors() (std [3]*session.Descriptor, err error) {
	for i, f := range c.stdio {
		if std[i], err = duplicate(f); err != nil {
			for _, d := range std[:i] {
				d.Close()
			}
			return std, err
		}
	}
	return std, nil
}

func duplicate(f *os.File) (*session.Descriptor, error) {
	if f == nil {
		null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, os.NewSyscallError("open", err)
		}
		return session.NewDescriptor(null), nil
	}
	raw, err := f.SyscallConn() // and not Fd, which might change the flags of what is shared
	if err != nil {
		return nil, err
	}
	fd := -1
	ctlErr := raw.Control(func(from uintptr) { fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 3) })
	if ctlErr != nil || err != nil {
		return nil, errors.Join(ctlErr, err)
	}
	return session.NewDescriptor(fd), nil
}

// supervised passes signals on to a program that is not our child, and ends it when ctx is done: with SIGTERM, and soon after for good.
func (c *runConfig) supervised(ctx context.Context, program string, send func(name string), end func()) (stop func()) {
	var signals chan os.Signal
	if c.signals {
		signals = make(chan os.Signal, 8)
		signal.Notify(signals, forwarded...)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends with stop
		over, kill := ctx.Done(), (<-chan time.Time)(nil)
		for {
			select {
			case <-done:
				return
			case sig := <-signals:
				send(strings.TrimPrefix(unix.SignalName(sig.(syscall.Signal)), "SIG"))
			case <-over:
				c.say(program, context.Cause(ctx))
				send("TERM")
				over, kill = nil, time.After(killAfter)
			case <-kill:
				end()
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		wg.Wait()
	}
}

// runFromByDaemon has the daemon run argv in a target. It gets our standard streams; in place of terminals, pipes.
func (c *runConfig) runFromByDaemon(ctx context.Context, socket, dest string, argv []string) (int, error) {
	if len(argv) == 0 || argv[0] == "" {
		return 0, errors.New("no program given")
	}
	conn, err := session.DialInvoke(socket)
	if err != nil {
		return 0, fmt.Errorf("control socket: %w", err)
	}
	defer conn.Close()
	ctx, cancel := c.limit(ctx)
	defer cancel()
	std, err := c.descriptors()
	if err != nil {
		return 0, err
	}
	h := &handedOver{}
	defer h.close()
	fds, err := h.prepare(std)
	if err == nil {
		err = conn.Ask(&session.Invocation{Op: session.OpRun, Dest: dest, From: c.from, Args: argv, Dir: c.dir}, fds[:]...)
	}
	h.handed()
	if err != nil {
		return 0, fmt.Errorf("control socket: %w", err)
	}
	stop := c.supervised(ctx, argv[0], func(name string) { _ = conn.Send(session.InvokeSignal, []byte(name)) }, func() { conn.Close() })
	defer stop()
	return c.await(conn, argv[0], h)
}

// await waits for what the daemon says of a run.
func (c *runConfig) await(conn *session.InvokeConn, program string, h *handedOver) (int, error) {
	started := false
	for {
		m, err := conn.Next()
		if errors.Is(err, io.EOF) {
			err = errors.New("the connection to the gateway is lost")
		}
		switch {
		case err != nil:
		case m.Kind == session.InvokeStarted:
			started = true
			continue
		case m.Kind == session.InvokeError:
			err = m.Err()
		case m.Kind == session.InvokeExit:
			h.shown.Wait()
			exit, err := session.ParseExit(m.Data)
			return c.remoteExit(program, exit, err), nil
		default:
			continue
		}
		if !started {
			return 0, err
		}
		return c.remoteExit(program, session.Exit{}, err), nil
	}
}

// handedOver are standard streams being handed to the daemon.
type handedOver struct {
	std   [3]*session.Descriptor
	ends  []*os.File     // the daemon's ends of pipes
	shown sync.WaitGroup // copying to terminals
	typed sync.WaitGroup // copying from one
}

// prepare says what is handed over.
func (h *handedOver) prepare(std [3]*session.Descriptor) (fds [3]int, err error) {
	h.std = std
	for i, d := range std {
		if !d.Terminal() {
			fds[i] = d.FD()
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return fds, err
		}
		if i == 0 {
			h.ends = append(h.ends, r)
			h.typed.Go(func() { // ends with the terminal, or with close
				_, _ = io.Copy(w, d)
				w.Close()
			})
			fds[i] = int(r.Fd())
			continue
		}
		h.ends = append(h.ends, w)
		h.shown.Go(func() { // ends when the daemon has closed its end
			_, _ = io.Copy(d, r)
			r.Close()
		})
		fds[i] = int(w.Fd())
	}
	return fds, nil
}

// handed closes our copies of what the daemon has now, so that their ends are seen.
func (h *handedOver) handed() {
	for _, f := range h.ends {
		f.Close()
	}
	for _, d := range h.std {
		if !d.Terminal() {
			d.Close()
		}
	}
}

// close ends what is still being copied.
func (h *handedOver) close() {
	session.CloseDescriptors(h.std[:])
	h.typed.Wait()
	h.shown.Wait()
}
