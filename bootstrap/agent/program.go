package agent

import (
	"errors"
	"os"
	"path"
	"strings"
	"syscall"

	"fakessh/bootstrap/agent/session"
)

// program is what a session starts, decided before anything is opened or forked.
type program struct {
	path string
	argv []string
	dir  string
	env  environment
	// warning goes to the program's stderr before its own output.
	warning string
	// refusal, if set, takes the program's place: its text goes to stderr, status is the exit status.
	refusal string
	status  uint32
}

// Exit statuses of programs that never ran, as shells and sshd have them.
const (
	statusNoLogin     = 254
	statusNotFound    = 127
	statusNotExecuted = 126
)

const nologinFile = "/etc/nologin"

// plan decides what spec starts for a. tty is the terminal's name, or ""; x is what else the program finds. An error is one line for the user.
func plan(a account, spec *session.Spec, tty string, x *extras) (*program, error) {
	p := &program{dir: spec.Dir, env: sessionEnv(a, spec, tty, envFiles...)}
	x.environ(&p.env)
	if text, ok := nologin(a, nologinFile); ok {
		p.refuse(text, statusNoLogin)
		return p, nil
	}
	if err := p.setDir(a); err != nil {
		return nil, err
	}
	switch spec.Kind {
	case session.Shell:
		p.path, p.argv = a.Shell, []string{"-" + path.Base(a.Shell)}
	case session.Exec:
		p.path, p.argv = a.Shell, []string{path.Base(a.Shell), "-c", spec.Command}
	case session.Argv:
		p.argv = spec.Args
		return p, p.find()
	}
	if _, err := os.Stat(p.path); err != nil {
		p.refuse(p.path+": "+reason(err)+"\n", statusNotFound)
	}
	return p, nil
}

func (p *program) refuse(text string, status uint32) {
	p.refusal, p.status = text, status
}

// nologin is the text of nologin(5), which keeps everybody but root out.
func nologin(a account, file string) (string, bool) {
	if a.UID == 0 {
		return "", false
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", false
	}
	return string(data[:min(len(data), 32<<10)]), true
}

// setDir chooses the working directory. As with sshd a missing home is a warning; a directory
// that was asked for has to be there.
func (p *program) setDir(a account) error {
	if p.dir != "" {
		if err := enterable(p.dir); err != nil {
			return errors.New("chdir " + p.dir + ": " + reason(err))
		}
		return nil
	}
	p.dir = a.Home
	if err := enterable(a.Home); err != nil {
		p.warning = "Could not chdir to home directory " + a.Home + ": " + reason(err) + "\n"
		p.dir = "/"
	}
	return nil
}

func enterable(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return syscall.ENOTDIR
	}
	return access(dir)
}

// find looks the program of an argv session up in the session's own PATH.
func (p *program) find() error {
	name := p.argv[0]
	full, err := lookPath(name, p.env.get("PATH"), p.dir)
	switch {
	case errors.Is(err, errNotFound):
		p.refuse(name+": command not found\n", statusNotFound)
	case err != nil:
		p.refuse(name+": "+reason(err)+"\n", statusNotExecuted)
	}
	p.path = full
	return nil
}

// start runs p on files. Where the system cannot execute it, p becomes a refusal; where the
// system cannot make a process, that is the error.
func (p *program) start(r *reaper, files []*os.File, tty bool) (*process, error) {
	proc, err := r.start(p.path, p.argv, p.dir, p.env.vars, files, tty)
	switch {
	case err == nil:
		return proc, nil
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return nil, errors.New("start " + p.path + ": " + reason(err))
	}
	status := uint32(statusNotExecuted)
	if errors.Is(err, syscall.ENOENT) {
		status = statusNotFound
	}
	p.refuse(p.path+": "+reason(err)+"\n", status)
	return nil, nil
}

// onTerminal is text as a terminal in its ordinary modes would show it.
func onTerminal(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
