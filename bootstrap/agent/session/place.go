package session

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Place is the private directory of one run: what its programs find first on PATH, and the socket that it speaks to. It is locked as long as
// its process lives, so that another can tell the places of dead ones (see sweep).
type Place struct {
	dir     string
	lock    *os.File
	program *os.File // what links in dir lead to: they are good as long as it is open, whatever becomes of its name
}

// NewPlace makes the directory, and removes those that runs of the same user have left which were killed. program is an executable that knows
// its role by the names ssh, scp and sftp; linked says that links to it do, as it has a name and may be executed there; otherwise it is copied.
func NewPlace(program string, linked bool) (*Place, error) {
	p, err := EmptyPlace()
	if err != nil {
		return nil, err
	}
	if err := p.fill(program, linked); err != nil {
		p.Remove()
		return nil, err
	}
	return p, nil
}

// EmptyPlace makes the directory alone.
func EmptyPlace() (*Place, error) {
	base := os.TempDir()
	if len(base) > maxBase || strings.Trim(base, plainPath) != "" || !filepath.IsAbs(base) {
		base = "/tmp"
	}
	sweep(base)
	return lockedPlace(base)
}

// The directory's path goes into variables that are split at blanks and read by shells, and into a socket's address, which is short.
const (
	plainPath = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+"
	maxBase   = 60

	socketName = "control.sock"
	agentName  = "agent.sock"
)

// tools are the names by which the shim is found.
var tools = [...]string{"ssh", "scp", "sftp"}

func (p *Place) fill(program string, linked bool) error {
	if linked {
		var err error
		if p.program, err = os.Open(program); err != nil {
			return err
		}
		program = lasting(p.program)
	} else {
		if err := copyProgram(program, p.SSH()); err != nil {
			return err
		}
		program = p.SSH()
	}
	for _, name := range tools {
		if file := filepath.Join(p.dir, name); file != program {
			if err := os.Symlink(program, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// lasting is a path of an open program that outlives its name, where the system has one for the processes of a run: images of other
// versions, which begin beside this one, make the cache forget its own. Else it is the name.
func lasting(program *os.File) string {
	path := "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.FormatUint(uint64(program.Fd()), 10)
	here, err1 := program.Stat()
	there, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(here, there) {
		return program.Name()
	}
	return path
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}

// SSH is the path of the shim.
func (p *Place) SSH() string { return filepath.Join(p.dir, "ssh") }

// Socket is where Listen listens.
func (p *Place) Socket() string { return filepath.Join(p.dir, socketName) }

// AgentSocket is where the ssh-agent of a session's user is to be found.
func (p *Place) AgentSocket() string { return filepath.Join(p.dir, agentName) }

// Listen opens the place's own socket. Only the own user gets as far as this directory.
func (p *Place) Listen() (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: p.Socket(), Net: "unix"})
}

// Remove removes the directory with all that is in it.
func (p *Place) Remove() {
	os.RemoveAll(p.dir)
	p.lock.Close()
	if p.program != nil {
		p.program.Close()
	}
}

// Environment of the programs of a run.
const (
	// EnvSocket is the control socket that the shim connects to.
	EnvSocket = "FAKESSH_SOCKET"
	// EnvDest is where every host name leads, "[account@]target"; empty or absent: host names are names of targets.
	EnvDest = "FAKESSH_DEST"
	// EnvSSH is the path of the shim, as the wrappers of scp and sftp give it to them.
	EnvSSH = "FAKESSH_SSH"
)

// cleared are variables that would lead programs past the shim, or make them speak to it wrongly.
var cleared = []string{
	"GIT_SSH", "SVN_SSH", "CVS_RSH", "BORG_RSH", "RSYNC_CONNECT_PROG", "ANSIBLE_SSH_EXECUTABLE", EnvDest, "FAKESSH_BACKGROUND",
}

// Environ is base as the programs of the run get it: with the place first on PATH, and named to the programs that look for ssh elsewhere.
// socket is where the shim connects to, dest where it leads.
func (p *Place) Environ(base []string, socket, dest string) []string {
	path := p.dir
	if old := LookEnv(base, "PATH"); old != "" {
		path += string(os.PathListSeparator) + old
	}
	set := []string{
		"PATH=" + path, "RSYNC_RSH=" + p.SSH(), "GIT_SSH_COMMAND=" + p.SSH(), "GIT_SSH_VARIANT=ssh",
		EnvSocket + "=" + socket, EnvSSH + "=" + p.SSH(),
	}
	if dest != "" {
		set = append(set, EnvDest+"="+dest)
	}
	env := slices.DeleteFunc(slices.Clone(base), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(cleared, name) || slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(s, name+"=") })
	})
	return append(env, set...)
}

// LookEnv is the value of name in env, or "".
func LookEnv(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value
		}
	}
	return ""
}
