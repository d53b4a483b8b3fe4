package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// run is one session's program and its bytes on the way. Its goroutines, all waited for by serve:
//
//	feed     stream → stdin         ends with the peer's EOF, or with the stream
//	copyOut  stdout, stderr → stream, one each; end at EOF, or when hangup closes the pipes
//	leave    on a terminal: lets copyOut end when the program has ended, whoever still holds the terminal
//	items    sizes and signals      ends with the stream
type run struct {
	stream *router.Stream
	proc   *process
	term   *terminal // nil without a pty
	stdin  *os.File  // the pipe, or the terminal's master
	outs   []outPipe // stdout and stderr, or the terminal's master alone
	extras *extras
	exit   session.Exit
	grace  time.Duration
}

// outPipe is one of the program's outputs and its class in the stream.
type outPipe struct {
	file  *os.File
	class router.Class
}

// extras are what the programs of a session find beside what sshd gives everybody. Each is nil where the session has none.
type extras struct {
	asks  *asks
	shims *shims       // an ssh of ours
	keys  *agentSocket // the user's ssh-agent
}

func (a *Agent) newExtras(spec *session.Spec, s *router.Stream) (x *extras, err error) {
	x = &extras{asks: &a.asks}
	if spec.Shim {
		if x.shims, err = a.newShims(s); err != nil {
			return nil, err
		}
	}
	if spec.Agent {
		if x.keys, err = a.newAgentSocket(s); err != nil { // as with sshd the session goes on without
			a.cfg.Router.ForwardLog(router.LevelWarn, "session", err.Error())
		}
	}
	return x, nil
}

func (x *extras) environ(e *environment) {
	x.shims.environ(e)
	x.keys.environ(e)
}

func (x *extras) close() {
	x.shims.close()
	x.keys.close()
}

// launch starts what spec asks for. When it returns without an error, serve has to be called.
func (a *Agent) launch(spec *session.Spec, s *router.Stream) (*run, error) {
	x, err := a.newExtras(spec, s)
	if err != nil {
		return nil, err
	}
	r, err := a.launchWith(spec, s, x)
	if err != nil {
		x.close()
		return nil, err
	}
	r.extras = x
	x.shims.began(r.proc)
	return r, nil
}

func (a *Agent) launchWith(spec *session.Spec, s *router.Stream, x *extras) (*run, error) {
	if spec.PTY != nil {
		return a.launchTerminal(spec, s, x)
	}
	p, err := plan(a.account(), spec, "", x)
	if err != nil {
		return nil, err
	}
	return a.launchPipes(p, s)
}

func (a *Agent) launchTerminal(spec *session.Spec, s *router.Stream, x *extras) (*run, error) {
	t, err := openTerminal(spec.PTY)
	if err != nil {
		return nil, err
	}
	defer t.closeSlave()
	r := &run{stream: s, grace: a.grace, term: t, stdin: t.master, outs: []outPipe{{t.master, router.Main}}}
	p, err := plan(a.account(), spec, t.name, x)
	if err == nil && p.refusal == "" {
		_, _ = io.WriteString(t.slave, p.warning)
		r.proc, err = p.start(a.reaper, []*os.File{t.slave, t.slave, t.slave}, true)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return r, r.refused(p)
}

func (a *Agent) launchPipes(p *program, s *router.Stream) (*run, error) {
	r := &run{stream: s, grace: a.grace}
	if p.refusal != "" {
		return r, r.refused(p)
	}
	ends, err := openPipes()
	if err != nil {
		return nil, err
	}
	defer ends.closeChild()
	r.stdin, r.outs = ends.parent[0], []outPipe{{ends.parent[1], router.Main}, {ends.parent[2], router.Extended}}
	if p.warning != "" {
		if _, err := s.WriteClass(router.Extended, []byte(p.warning)); err != nil {
			r.closeFiles()
			return nil, err
		}
	}
	if r.proc, err = p.start(a.reaper, ends.child[:], false); err != nil {
		r.closeFiles()
		return nil, err
	}
	return r, r.refused(p)
}

// pipes are the three standard streams of a program without a terminal: real pipes, because programs
// reopen /dev/stdin, and because that is what sshd gives them.
type pipes struct{ parent, child [3]*os.File }

func openPipes() (*pipes, error) {
	p := &pipes{}
	for i := range p.child {
		r, w, err := os.Pipe()
		if err != nil {
			p.closeChild()
			p.closeParent()
			return nil, errors.New("open pipe: " + reason(err))
		}
		p.parent[i], p.child[i] = r, w
		if i == 0 {
			p.parent[i], p.child[i] = w, r
		}
	}
	return p, nil
}

func (p *pipes) closeChild()  { closeAll(p.child[:]) }
func (p *pipes) closeParent() { closeAll(p.parent[:]) }

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// closeFiles closes the agent's ends: the program sees EOF, SIGPIPE or a hangup.
func (r *run) closeFiles() {
	if r.stdin != nil {
		r.stdin.Close()
	}
	for _, out := range r.outs {
		out.file.Close()
	}
}

// refused makes r the run of a program that p says never ran: a text and a status.
func (r *run) refused(p *program) error {
	if p.refusal == "" {
		return nil
	}
	class, text := router.Extended, p.refusal
	if r.term != nil {
		class, text = router.Main, onTerminal(text)
	}
	r.closeFiles()
	r.outs = nil
	r.exit = session.Exit{Status: p.status}
	_, err := r.stream.WriteClass(class, []byte(text))
	return err
}

// serve carries the session to its end: all output, the exit item, EOF; or, when the
// stream is lost before, a hangup. It returns when nothing of the session is left.
func (r *run) serve() {
	var wg sync.WaitGroup
	wg.Go(r.feed)
	wg.Go(r.items)
	if r.term != nil && r.proc != nil {
		wg.Go(r.leave)
	}
	ended := make(chan struct{})
	wg.Go(func() {
		r.copyAll()
		r.wait()
		close(ended)
	})
	select {
	case <-ended:
		r.finish()
	case <-r.stream.Done():
		r.closeFiles()
		r.hangup()
	}
	r.extras.close()
	wg.Wait()
	r.closeFiles()
	r.stream.Close()
}

// hangup ends what the program still runs.
func (r *run) hangup() {
	if r.proc != nil {
		r.proc.hangup(r.grace)
	}
}

// wait waits for the program itself.
func (r *run) wait() {
	if r.proc == nil {
		return
	}
	select {
	case <-r.proc.done:
	case <-r.proc.lost:
	}
}

// finish says how it ended. What stdin still brings is dropped by feed until the peer has finished.
func (r *run) finish() {
	r.closeFiles()
	if r.proc != nil {
		r.exit = exitOf(r.proc.collect())
	}
	_ = r.stream.SendControl(router.Control{Kind: session.ItemExit, Data: session.AppendExit(nil, r.exit)})
	_ = r.stream.CloseWrite()
}

func (r *run) copyAll() {
	var wg sync.WaitGroup
	for _, out := range r.outs {
		wg.Go(func() { r.copyOut(out) })
	}
	wg.Wait()
}

// leave waits for the program, a session's leader, and then ends the wait for more from its terminal: the kernel hangs
// up the foreground alone, and the jobs in the background of a shell that is gone would keep the terminal open.
func (r *run) leave() {
	select {
	case <-r.proc.done:
	case <-r.proc.lost:
	case <-r.stream.Done():
		return
	}
	_ = r.term.master.SetReadDeadline(time.Unix(1, 0))
}

// copyOut carries one output until its EOF, which is EIO on a terminal's master, or leave.
func (r *run) copyOut(out outPipe) {
	var from io.Reader = out.file
	if r.term == nil {
		from = &growing{file: out.file}
	}
	if _, err := r.stream.CopyFrom(out.class, from); errors.Is(err, os.ErrDeadlineExceeded) {
		_, _ = r.stream.CopyFrom(out.class, newLeftover(out.file))
	}
}

// growing is our end of a program's pipe. It makes the pipe larger once that has carried more than fits in it: then it is a bulk flow.
// Pipes of idle sessions stay small, since all of a user's pipes share one budget.
//
// Its calls are quiet ones (router.TryWriteOwn), although the program can hold them up, by a buffer of its own that takes long to be paged in: it
// is of the agent's account, and could stop the agent as well.
type growing struct {
	file  *os.File
	n     int
	grown bool
}

const growAfter = 64 << 10

func (g *growing) Read(p []byte) (int, error) {
	n, err := g.file.Read(p)
	g.count(n)
	return n, err
}

func (g *growing) Write(p []byte) (int, error) {
	n, err := g.file.Write(p)
	g.count(n)
	return n, err
}

// TryWrite writes what the pipe takes now. (router.TryWriter)
func (g *growing) TryWrite(pieces [][]byte) int {
	c, err := g.file.SyscallConn()
	if err != nil {
		return 0
	}
	n := router.TryWriteOwn(c, pieces)
	g.count(n)
	return n
}

// ReadVector is Read into several buffers. (router.VectorReader)
func (g *growing) ReadVector(bufs [][]byte) (int, error) {
	c, err := g.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	n, err := router.ReadOwn(c, bufs)
	g.count(n)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (g *growing) count(n int) {
	if g.n += n; g.n > growAfter && !g.grown {
		g.grown = true
		growPipe(g.file)
	}
}

// feed carries stdin. When the program has closed its end, the rest is dropped, so that
// the peer can finish; EOF closes a pipe, and means nothing to a terminal, as with sshd.
func (r *run) feed() {
	var to io.Writer = r.stdin
	if r.stdin == nil {
		to = io.Discard
	} else if r.term == nil {
		to = &growing{file: r.stdin}
	}
	if _, err := r.stream.WriteTo(to); err != nil {
		_, _ = r.stream.WriteTo(io.Discard)
	}
	if r.term == nil && r.stdin != nil {
		r.stdin.Close()
	}
}

// items obeys sizes, signals and breaks until the stream ends.
func (r *run) items() {
	for {
		item, err := r.stream.Control(context.Background())
		if err != nil {
			return
		}
		r.obey(item)
	}
}

// obey does one item. What is malformed or cannot be done is ignored, as sshd ignores it: there is no reply.
func (r *run) obey(item router.Control) {
	switch item.Kind {
	case session.ItemSize:
		if size, err := session.ParseSize(item.Data); err == nil && r.term != nil {
			_ = r.term.resize(size)
		}
	case session.ItemSignal:
		name, err := session.ParseSignal(item.Data)
		if sig, ok := signalNumber(name); err == nil && ok {
			r.signal(sig)
		}
	case session.ItemStop:
		if len(item.Data) == 1 {
			r.stopOutput(router.Class(item.Data[0]))
		}
	case session.ItemAnswer:
		r.extras.asks.answered(r.stream, item.Data)
	case session.ItemBreak:
		if r.term != nil {
			_ = r.term.sendBreak()
		}
	}
}

// stopOutput closes an output that nobody reads any more: a program that writes on gets SIGPIPE, one on a terminal a hangup.
func (r *run) stopOutput(class router.Class) {
	for _, out := range r.outs {
		if out.class == class {
			out.file.Close()
		}
	}
}
