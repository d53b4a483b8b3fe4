package agent

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// reaper starts the programs of sessions and collects them when they end. One goroutine,
// woken by SIGCHLD, serves all of them: a blocked wait per program would be a thread each.
// It waits for its own pids only, so that others may start processes too.
type reaper struct {
	mu    sync.Mutex
	procs map[*process]struct{}
	sig   chan os.Signal
	stop  chan struct{}
	done  chan struct{}
}

// newReaper starts a reaper; close ends its goroutine.
func newReaper() *reaper {
	r := &reaper{
		procs: make(map[*process]struct{}),
		sig:   make(chan os.Signal, 1),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	signal.Notify(r.sig, syscall.SIGCHLD)
	go r.run() // ends with close
	return r
}

func (r *reaper) close() {
	signal.Stop(r.sig)
	close(r.stop)
	<-r.done
}

func (r *reaper) run() {
	defer close(r.done)
	for {
		select {
		case <-r.sig:
			r.pollAll()
		case <-r.stop:
			return
		}
	}
}

// pollAll collects whoever has ended. Signals coalesce, so each one means "look at all".
func (r *reaper) pollAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.procs {
		if p.poll() {
			delete(r.procs, p)
		}
	}
}

// start runs path in a session of its own. files are its descriptors 0, 1, 2…; tty says that 0 is to be its controlling terminal.
func (r *reaper) start(path string, argv []string, dir string, env []string, files []*os.File, tty bool) (*process, error) {
	attr := &syscall.ProcAttr{Dir: dir, Env: env, Sys: &syscall.SysProcAttr{Setsid: true, Setctty: tty}}
	for _, f := range files {
		// Fd puts the description back into blocking mode, as programs expect it.
		attr.Files = append(attr.Files, f.Fd())
	}
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid, done: make(chan struct{}), lost: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.poll() { // it may have ended before anybody could be told
		r.procs[p] = struct{}{}
	}
	return p, nil
}

// process is a program that leads its own session and process group. One that has ended is left uncollected, where the system tells the two
// apart, until its session is over: so long its number, which is its group's, is nobody else's, and what it has left behind can be signalled.
type process struct {
	pid  int
	done chan struct{} // closed when it has ended
	lost chan struct{} // closed when hangup has given it up

	mu        sync.Mutex // held while signalling, so that the pid is not collected, and given to another, in between
	ended     bool
	givenUp   bool // nobody will collect it but poll
	collected bool
	status    syscall.WaitStatus // once it is collected
}

// poll says whether the process has ended.
func (p *process) poll() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return true
	}
	if !canLook || p.givenUp {
		p.ended = p.collectLocked(syscall.WNOHANG)
	} else {
		p.ended = hasEnded(p.pid)
	}
	if p.ended {
		close(p.done)
	}
	return p.ended
}

// collect gives the number of a process that has ended back to the system, and returns how it ended.
func (p *process) collect() syscall.WaitStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.collectLocked(0)
	return p.status
}

// collectLocked is false, with WNOHANG, while the process runs.
func (p *process) collectLocked(options int) bool {
	for !p.collected {
		pid, err := syscall.Wait4(p.pid, &p.status, options, nil)
		if err == nil && pid != p.pid {
			return false
		}
		p.collected = err != syscall.EINTR
	}
	return true
}

var errEnded = errors.New("process has ended")

// signal signals the process group, as long as its leader has not been collected.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.collected {
		return errEnded
	}
	return syscall.Kill(-p.pid, sig)
}

// Times of a hangup: between SIGHUP and SIGKILL, and until a process that even SIGKILL does not end
// (it waits for a dead disk or server) is left to the system.
const (
	defaultGrace = 2 * time.Second
	giveUp       = time.Second
)

// hangup ends the process group: SIGHUP, and SIGKILL to what is left of it after the grace. It returns when that
// has been done. Groups that the program made for others (a shell's jobs, daemons) are not touched, nor is what was started with
// nohup beside a program that has taken the hangup.
func (p *process) hangup(grace time.Duration) {
	if p.signal(syscall.SIGHUP) != nil {
		return
	}
	// A stopped program takes the hangup only when it runs again.
	_ = p.signal(syscall.SIGCONT)
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	select {
	case <-p.done:
		p.collect()
		p.killGroup(deadline.C)
	case <-deadline.C:
		_ = p.signal(syscall.SIGKILL)
		select {
		case <-p.done:
			p.collect()
		case <-time.After(giveUp):
			p.abandon()
		}
	}
}

// abandon leaves the process to the system: it is collected when it ends after all.
func (p *process) abandon() {
	p.mu.Lock()
	p.givenUp = true
	if p.ended { // just now
		p.collectLocked(0)
	}
	p.mu.Unlock()
	close(p.lost)
}

// killGroup waits until the group of a collected leader is empty, and ends it at the deadline. While it has members,
// its number cannot be given to another; numbers go round slowly enough that none is reused between two looks.
func (p *process) killGroup(deadline <-chan time.Time) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for syscall.Kill(-p.pid, 0) != syscall.ESRCH {
		select {
		case <-look.C:
		case <-deadline:
			killUnlessNohup(p.pid)
			return
		}
	}
}
