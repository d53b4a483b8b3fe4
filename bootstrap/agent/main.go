package agent

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// Exit statuses of the agent itself.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main is the shipped program in the role of agent: args are those after the word "agent". It speaks frames on stdin and
// stdout from the ready line on, and returns the exit status when its link has ended and nothing of its sessions is left.
func Main(args []string) int {
	cfg, err := bootstrap.ParseAgentArgs(args)
	if errors.Is(err, bootstrap.ErrProbe) {
		return exitOK
	}
	if err != nil {
		return complain(err, exitUsage)
	}
	frugal()
	signals := watchSignals()
	restrictUmask()
	// The image is opened before its name may go, and before the directory changes: qemu-user takes /proc/self/exe for that name.
	images, err := bootstrap.NewImages(nil, "")
	if err == nil {
		err = images.Add(bootstrap.Own(), selfPath())
	}
	bootstrap.Discard(cfg)
	leaveDirectory()
	if err != nil {
		return complain(err, exitFailed)
	}
	return serve(cfg, images, signals)
}

func complain(err error, status int) int {
	os.Stderr.WriteString("fakessh agent: " + err.Error() + "\n")
	return status
}

// serve runs the router and the agent until the link ends or a signal says so.
func serve(cfg bootstrap.Config, images *bootstrap.Images, signals <-chan os.Signal) int {
	l, captured, err := protect()
	if err != nil {
		return complain(err, exitFailed)
	}
	var r *router.Router
	rc := routerConfig(cfg)
	rc.Log = func(level router.Level, msg string, attrs ...string) {
		if level >= router.LevelWarn || cfg.Debug {
			r.ForwardLog(level, "fakessh.router", logText(msg, attrs))
		}
	}
	rc.ChildLost = func(child router.ContextID, cause error) {
		r.ForwardLog(router.LevelInfo, session.LoggerLost, session.LostRecord(uint32(child), cause))
	}
	r = router.New(rc)
	a := New(Config{Router: r, Child: cfg, Images: images, Version: Version})
	up, err := announce(l, cfg.Offer)
	if err != nil {
		return exitFailed
	}
	parent := router.ContextID(0)
	if len(cfg.ParentIDs) > 0 {
		parent = router.ContextID(cfg.ParentIDs[0])
	}
	if _, err := r.AddLink(up, router.LinkConfig{Remote: parent, Name: "parent", Parent: true}); err != nil {
		return exitFailed
	}
	// Ends with the process: the pipe's writing ends are descriptors 1 and 2.
	go capture(captured, func(line string) { r.ForwardLog(router.LevelInfo, "stderr", line) })
	select {
	case <-r.Done():
	case <-signals:
	}
	r.Close()
	a.Close()
	return exitOK
}

// announce says that the agent is ready. It returns the link: l, or what the parent has taken of an offer.
func announce(l *link, wanted bool) (io.ReadWriteCloser, error) {
	var o *offer
	if wanted {
		o = newOffer()
	}
	if o == nil {
		return l, bootstrap.Announce(l, Version, caps)
	}
	if err := bootstrap.Announce(l, Version, append(slices.Clone(caps), o.Capability())); err != nil {
		o.close()
		return nil, err
	}
	return o.choice(l)
}

func routerConfig(cfg bootstrap.Config) router.Config {
	rc := router.Config{
		ID:             router.ContextID(cfg.ID),
		Name:           cfg.RemoteName,
		Unidirectional: cfg.Unidirectional,
		MaxMessage:     cfg.MaxMessage,
		StreamMemory:   streamMemory,
	}
	for _, id := range cfg.ParentIDs {
		rc.ParentIDs = append(rc.ParentIDs, router.ContextID(id))
	}
	return rc
}

// logText is a record in one line: message key=value….
func logText(msg string, attrs []string) string {
	for i := 0; i+1 < len(attrs); i += 2 {
		msg += " " + attrs[i] + "=" + strconv.Quote(attrs[i+1])
	}
	return msg
}

// streamMemory bounds what this process holds for streams, bytes.
const streamMemory = 32 << 20

// caps are what this agent can do beyond the protocol's first version.
var caps = []string{"stream1", "session", "dial", "listen", "connect"}

// Version is the protocol's, told in the ready line. Agents of other builds are never spoken to: the
// digest in the image's name sees to that.
const Version = "1"

// watchSignals takes over the signals that would end the process at once: its link's end ends it, and SIGTERM and SIGHUP do in
// good order. The rest means nothing to an agent, be it a broken pipe or a key typed at whatever terminal it shares with
// its parent. A handler, unlike SIG_IGN, is not inherited by the programs of sessions.
func watchSignals() <-chan os.Signal {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP,
		syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM)
	return end
}

// restrictUmask keeps what was inherited, and lets nobody else write: sshd's rule.
func restrictUmask() {
	syscall.Umask(syscall.Umask(0o077) | 0o022)
}

// leaveDirectory goes to /: the first stage started this process in the cache, and no file system should be held busy by an agent.
func leaveDirectory() { _ = os.Chdir("/") }

// keepStderr lets a crash be seen where stderr was, after that has been captured.
func keepStderr() { _ = debug.SetCrashOutput(os.Stderr, debug.CrashOptions{}) }
