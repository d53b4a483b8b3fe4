package fakessh

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
)

// RunOption qualifies Tree.Run and Run.
type RunOption func(*runConfig)

type runConfig struct {
	deadline time.Duration
	stdio    [3]*os.File
	env      []string
	dir      string
	from     string
	signals  bool
	sockets  []string
	config   *Config
	noDaemon bool
}

// Deadline ends the program after d, with SIGTERM and soon after with SIGKILL.
func Deadline(d time.Duration) RunOption { return func(c *runConfig) { c.deadline = d } }

// Stdio gives the program other standard streams than the calling process's own. nil is /dev/null.
func Stdio(in, out, err *os.File) RunOption {
	return func(c *runConfig) { c.stdio = [3]*os.File{in, out, err} }
}

// Env gives the program another environment than the calling process's own, before what the run itself adds.
func Env(env []string) RunOption { return func(c *runConfig) { c.env = env } }

// Dir is the program's working directory; with From, one in that target.
func Dir(dir string) RunOption { return func(c *runConfig) { c.dir = dir } }

// From runs the program in a target, "[account@]target", instead of here.
func From(target string) RunOption { return func(c *runConfig) { c.from = target } }

// ForwardSignals passes SIGTERM, SIGHUP, SIGINT and SIGQUIT on to the program while it runs, instead of what they do otherwise.
func ForwardSignals() RunOption { return func(c *runConfig) { c.signals = true } }

// ControlSocket says where Run looks for a daemon, instead of at ControlSockets.
func ControlSocket(paths ...string) RunOption { return func(c *runConfig) { c.sockets = paths } }

// UseConfig says of what Run makes a tree when there is no daemon. Its Images are also where the shim comes from.
func UseConfig(cfg Config) RunOption { return func(c *runConfig) { c.config = &cfg } }

// NoDaemon has Run always use a tree of its own.
func NoDaemon() RunOption { return func(c *runConfig) { c.noDaemon = true } }

func newRunConfig(opts []RunOption) *runConfig {
	c := &runConfig{
		stdio:   [3]*os.File{os.Stdin, os.Stdout, os.Stderr},
		env:     os.Environ(),
		sockets: ControlSockets(),
	}
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// Run runs argv here, with an ssh, scp and sftp first on PATH that lead into dest, "[account@]target": whatever host they are
// given means dest. With dest "" host names are names of targets. It returns the program's exit status, 128+n when signal n
// killed it. err is not nil only when the program never ran.
//
// Any number of ssh may run at once. Their sessions end with them, and all of them with the program. When ctx is done or the
// deadline has passed, the program is killed with its process group (where it shares a terminal with the caller, by
// itself) and a line on its stderr says so.
func (t *Tree) Run(ctx context.Context, dest string, argv []string, opts ...RunOption) (exit int, err error) {
	c := newRunConfig(opts)
	if c.from != "" {
		return t.runFrom(ctx, dest, argv, c)
	}
	srv := &ControlServer{Tree: t, Logger: t.log, ending: errRunEnded}
	if srv.fixed, err = t.runDest(dest); err != nil {
		return 0, err
	}
	place, err := newRunPlace(t.images())
	if err != nil {
		return 0, err
	}
	defer place.Remove()
	ln, err := place.Listen()
	if err != nil {
		return 0, fmt.Errorf("run: listen for ssh: %w", err)
	}
	served := make(chan struct{})
	go func() { // ends with srv.Close
		defer close(served)
		_ = srv.Serve(ln)
	}()
	defer func() {
		srv.Close()
		<-served
	}()
	return c.execute(ctx, argv, place, place.Environ(c.env, place.Socket(), dest), func() { srv.Close() })
}

// runDest checks where a run leads before anything is started. nil means that each host name leads elsewhere.
func (t *Tree) runDest(dest string) (*Dest, error) {
	if dest == "" {
		return nil, nil
	}
	d, err := ParseDest(dest)
	if err != nil {
		return nil, err
	}
	if d.Target, err = t.Resolve(d.Target); err != nil {
		return nil, err
	}
	return &d, nil
}

// images are those the tree was made with.
func (t *Tree) images() *bootstrap.Images {
	if d, ok := t.dialer.(*routerDialer); ok {
		return d.images
	}
	return nil
}

// Run is Tree.Run in the tree of the running daemon, or when there is none in a tree of its own (UseConfig), which it closes afterwards.
func Run(ctx context.Context, dest string, argv []string, opts ...RunOption) (exit int, err error) {
	c := newRunConfig(opts)
	if socket := c.daemon(); socket != "" {
		return c.runByDaemon(ctx, socket, dest, argv)
	}
	if c.config == nil {
		return 0, errors.New("no daemon is listening on " + strings.Join(c.sockets, " or "))
	}
	t, err := NewTree(*c.config)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	return t.Run(ctx, dest, argv, opts...)
}

// daemon is the control socket that somebody listens on, or "".
func (c *runConfig) daemon() string {
	if c.noDaemon {
		return ""
	}
	return LiveControlSocket(c.sockets...)
}

// LiveControlSocket is the first of paths that somebody listens on, or "".
func LiveControlSocket(paths ...string) string {
	for _, path := range paths {
		if conn, err := session.DialInvoke(path); err == nil {
			conn.Close()
			return path
		}
	}
	return ""
}

// runByDaemon runs argv here with shims that speak to the daemon themselves: it sees who they are, and their descriptors go there straight.
func (c *runConfig) runByDaemon(ctx context.Context, socket, dest string, argv []string) (int, error) {
	if dest != "" {
		if _, err := ParseDest(dest); err != nil {
			return 0, err
		}
	}
	if c.from != "" {
		return c.runFromByDaemon(ctx, socket, dest, argv)
	}
	images, err := c.shimImages()
	if err != nil {
		return 0, err
	}
	place, err := newRunPlace(images)
	if err != nil {
		return 0, err
	}
	defer place.Remove()
	return c.execute(ctx, argv, place, place.Environ(c.env, socket, dest), func() {})
}

// shimImages is where the shim comes from: the configuration's images, or else the executable that runs.
func (c *runConfig) shimImages() (*bootstrap.Images, error) {
	if c.config != nil && c.config.Images != nil {
		return c.config.Images, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return bootstrap.NewImages(nil, self)
}

// forwarded are the signals that ForwardSignals is about.
var forwarded = []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT}

// killAfter is how long a program has between SIGTERM and SIGKILL.
const killAfter = 2 * time.Second

// execute runs argv and waits for it. abandon ends its sessions.
func (c *runConfig) execute(ctx context.Context, argv []string, place *session.Place, env []string, abandon func()) (int, error) {
	cmd, err := c.command(argv, place, env)
	if err != nil {
		return 0, err
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	var signals chan os.Signal
	if c.signals {
		signals = make(chan os.Signal, 8)
		session.Catch(signals, forwarded...)
		defer signal.Stop(signals)
	}
	if err := cmd.Start(); err != nil {
		return 0, startError(argv[0], err)
	}
	_ = place.Began(cmd.Process.Pid) // it matters only should this process be killed
	done := make(chan struct{})
	go func() { // ends with the program
		defer close(done)
		_ = cmd.Wait() // what it says is in ProcessState
	}()
	c.supervise(ctx, cmd, done, signals, abandon)
	return exitStatus(cmd.ProcessState), nil
}

// supervise waits for the program, passes signals on, and ends it when ctx is done.
func (c *runConfig) supervise(ctx context.Context, cmd *osexec.Cmd, done <-chan struct{}, signals <-chan os.Signal, abandon func()) {
	over, kill := ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case <-done:
			if over == nil && cmd.SysProcAttr != nil {
				signalProgram(cmd, syscall.SIGKILL) // what it has left behind
			}
			return
		case sig := <-signals:
			// With a terminal in common, what was typed there has reached the program already.
			if typed := sig == syscall.SIGINT || sig == syscall.SIGQUIT; !typed || cmd.SysProcAttr != nil {
				signalProgram(cmd, sig.(syscall.Signal))
			}
		case <-over:
			c.say(filepath.Base(cmd.Path), context.Cause(ctx))
			signalProgram(cmd, syscall.SIGTERM)
			over, kill = nil, time.After(killAfter)
		case <-kill:
			signalProgram(cmd, syscall.SIGKILL)
			abandon()
		}
	}
}

// signalProgram signals the program with its process group, if it has one of its own.
func signalProgram(cmd *osexec.Cmd, sig syscall.Signal) {
	if cmd.SysProcAttr != nil {
		_ = syscall.Kill(-cmd.Process.Pid, sig)
		return
	}
	_ = cmd.Process.Signal(sig)
}

func exitStatus(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// command is argv, found on the run's PATH. Without a terminal in common it gets a process group of its own; with one it stays in the
// caller's, or it would be stopped when it reads from there.
func (c *runConfig) command(argv []string, place *session.Place, env []string) (*osexec.Cmd, error) {
	if len(argv) == 0 || argv[0] == "" {
		return nil, errors.New("no program given")
	}
	path, err := lookPath(argv[0], c.dir, env)
	if err != nil {
		return nil, startError(argv[0], err)
	}
	args := argv[1:]
	if name := filepath.Base(argv[0]); strings.Contains(argv[0], "/") && (name == "scp" || name == "sftp") {
		args = append([]string{"-S", place.SSH()}, args...)
	}
	cmd := &osexec.Cmd{Path: path, Args: append([]string{argv[0]}, args...), Env: env, Dir: c.dir}
	if c.stdio[0] != nil {
		cmd.Stdin = c.stdio[0]
	}
	if c.stdio[1] != nil {
		cmd.Stdout = c.stdio[1]
	}
	if c.stdio[2] != nil {
		cmd.Stderr = c.stdio[2]
	}
	if !hasTerminal() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	return cmd, nil
}

// startError says that a program could not be started, without os/exec's own words about where it failed.
func startError(program string, err error) error {
	var look *osexec.Error
	var path *os.PathError
	switch {
	case errors.As(err, &look):
		err = look.Err
	case errors.As(err, &path):
		err = path.Err
	}
	return fmt.Errorf("run %q: %w", program, err)
}

// hasTerminal reports whether this process has a controlling terminal.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// lookPath finds a program as execvp would in env, from dir.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, d := range filepath.SplitList(session.LookEnv(env, "PATH")) {
		if d == "" {
			d = "."
		}
		file := filepath.Join(d, name)
		at := file
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		if st, err := os.Stat(at); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			if !filepath.IsAbs(file) {
				file = "./" + file
			}
			return file, nil
		}
	}
	return "", &osexec.Error{Name: name, Err: osexec.ErrNotFound}
}

// newRunPlace makes the directory of a run. The images stay where they are.
func newRunPlace(images *bootstrap.Images) (*session.Place, error) {
	if images == nil {
		return nil, errors.New("run: no images")
	}
	program, err := images.Path(bootstrap.Own())
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	place, err := session.NewPlace(program, true)
	if err != nil {
		return nil, fmt.Errorf("run: make a directory for ssh: %w", err)
	}
	return place, nil
}
