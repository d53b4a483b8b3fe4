package shim

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"fakessh/bootstrap/agent/session"
)

// version is what -V prints: programs look at its beginning.
const version = "OpenSSH_9.2 fakessh"

// exitOwn is ssh's exit status for its own errors.
const exitOwn = 255

const usage = `usage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] [-B bind_interface] [-b bind_address]
           [-c cipher_spec] [-D [bind_address:]port] [-E log_file]
           [-e escape_char] [-F configfile] [-I pkcs11] [-i identity_file]
           [-J destination] [-L address] [-l login_name] [-m mac_spec]
           [-O ctl_cmd] [-o option] [-P tag] [-p port] [-R address]
           [-S ctl_path] [-W host:port] [-w local_tun[:remote_tun]]
           destination [command [argument ...]]
       ssh [-Q query_option]
`

// Main is the program under the names ssh, scp and sftp. It returns the exit status.
func Main(args []string) int {
	if name := path.Base(args[0]); name != "ssh" {
		return complain(name, wrap(name, args[1:]))
	}
	o, err := parse(args[1:])
	if err != nil {
		return refuse(err)
	}
	if o.query != "" {
		return refuse(query(o.query))
	}
	if os.Getenv(envBackground) == "" {
		o.warn()
	}
	if o.printOnly {
		os.Stdout.WriteString(o.print())
		return 0
	}
	if o.background && os.Getenv(envBackground) == "" {
		return goBackground(args)
	}
	return newRun(o).main()
}

// refuse tells what parse has found, as OpenSSH does.
func refuse(err error) int {
	var ask usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ask):
		if ask != "" {
			os.Stderr.WriteString(string(ask) + "\n")
		}
		os.Stderr.WriteString(usage)
	case errors.Is(err, errVersion{}):
		os.Stderr.WriteString(version + "\n")
		return 0
	default:
		os.Stderr.WriteString(err.Error() + "\n")
	}
	return exitOwn
}

func complain(name string, err error) int {
	if err != nil {
		os.Stderr.WriteString(name + ": " + err.Error() + "\n")
	}
	return exitOwn
}

// query is -Q.
func query(what string) error {
	text, ok := answer(what)
	if !ok {
		return fatalError("Unsupported query \"" + what + "\"")
	}
	os.Stdout.WriteString(text)
	return nil
}

// warn says, as OpenSSH does, which files of -i are not there. It goes on without them, here as there.
func (o *options) warn() {
	for _, file := range o.identities {
		path := file
		if home := os.Getenv("HOME"); strings.HasPrefix(path, "~/") && home != "" {
			path = home + path[1:]
		}
		var errno syscall.Errno
		if _, err := os.Stat(path); errors.As(err, &errno) {
			text := errno.Error()
			os.Stderr.WriteString("Warning: Identity file " + file + " not accessible: " + strings.ToUpper(text[:1]) + text[1:] + ".\n")
		}
	}
}

// print is -G: the settings that mean something here.
func (o *options) print() string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			b.WriteString(key + " " + value + "\n")
		}
	}
	port := o.port
	if port == 0 {
		port = 22
	}
	line("host", o.host)
	line("user", o.user)
	line("hostname", o.host)
	line("port", strconv.Itoa(port))
	line("requesttty", [...]string{"auto", "false", "true", "force"}[o.tty])
	line("sessiontype", [...]string{"default", "none", "subsystem"}[o.session])
	if o.session != typeSubsystem {
		line("remotecommand", o.command)
	}
	for _, name := range o.sendEnv {
		line("sendenv", name)
	}
	for _, name := range o.setEnv {
		line("setenv", name)
	}
	return b.String()
}

// invocation is what every request of this command line has in common.
func (o *options) invocation(op string) *session.Invocation {
	return &session.Invocation{
		Op: op, Dest: os.Getenv(session.EnvDest), Host: o.host, Account: o.user, Timeout: o.timeout,
	}
}

// spec asks for the session. tty is nil where no terminal is wanted.
func (o *options) spec(tty *session.PTY) *session.Spec {
	s := &session.Spec{Kind: session.Exec, Command: o.command, PTY: tty, Env: o.environ(os.Environ())}
	switch {
	case o.session == typeSubsystem:
		s.Kind = session.Subsystem
	case o.command == "":
		s.Kind = session.Shell
	}
	return s
}

// passed are the variables that go along unasked: what distributions have in their ssh_config.
var passed = []string{"LANG", "LC_*", "COLORTERM"}

// environ is what of env goes along: first what SendEnv names, then what SetEnv says.
func (o *options) environ(env []string) map[string]string {
	patterns := passed
	for _, p := range o.sendEnv {
		if away, ok := strings.CutPrefix(p, "-"); ok {
			patterns = without(patterns, away)
		} else {
			patterns = append(patterns[:len(patterns):len(patterns)], p)
		}
	}
	out := map[string]string{}
	for _, entry := range env {
		name, value, ok := strings.Cut(entry, "=")
		if ok && matchesAny(patterns, name) {
			out[name] = value
		}
	}
	for _, entry := range o.setEnv {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			out[name] = value
		}
	}
	return out
}

func without(patterns []string, away string) []string {
	var left []string
	for _, p := range patterns {
		if !matches(away, p) {
			left = append(left, p)
		}
	}
	return left
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// matches is OpenSSH's match_pattern: * and ?.
func matches(pattern, name string) bool {
	star, mark := -1, 0
	i := 0
	for j := 0; j < len(name); {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == name[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}
