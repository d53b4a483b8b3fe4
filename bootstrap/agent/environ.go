package agent

import (
	"os"
	"slices"
	"strings"

	"fakessh/bootstrap/agent/session"
)

// environment is an ordered set of variables, as a session's program gets it. It is built
// from nothing: what this process was started with does not leak into sessions, except TZ.
type environment struct{ vars []string }

func (e *environment) set(name, value string) {
	prefix := name + "="
	i := slices.IndexFunc(e.vars, func(v string) bool { return strings.HasPrefix(v, prefix) })
	if i < 0 {
		e.vars = append(e.vars, prefix+value)
		return
	}
	e.vars[i] = prefix + value
}

func (e *environment) get(name string) string {
	for _, v := range e.vars {
		if n, value, _ := strings.Cut(v, "="); n == name {
			return value
		}
	}
	return ""
}

// sessionEnv is the environment that sshd would give to spec for a. As there, what the user asked for
// comes first, and everything else wins over it; files are PAM's environment files, in order.
func sessionEnv(a account, spec *session.Spec, tty string, files ...string) environment {
	var e environment
	names := make([]string, 0, len(spec.Env))
	for name := range spec.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if permitted(name) {
			e.set(name, spec.Env[name])
		}
	}
	e.set("USER", a.Name)
	e.set("LOGNAME", a.Name)
	e.set("HOME", a.Home)
	e.set("PATH", defaultPath(a.UID))
	e.set("MAIL", mailDir+a.Name)
	e.set("SHELL", a.Shell)
	if tz := os.Getenv("TZ"); tz != "" {
		e.set("TZ", tz)
	}
	for _, name := range files {
		e.readFile(name)
	}
	e.setConnection(spec, tty)
	return e
}

func (e *environment) setConnection(spec *session.Spec, tty string) {
	if spec.ClientAddr != "" && spec.ServerAddr != "" {
		_, port, _ := strings.Cut(spec.ServerAddr, " ")
		e.set("SSH_CLIENT", spec.ClientAddr+" "+port)
		e.set("SSH_CONNECTION", spec.ClientAddr+" "+spec.ServerAddr)
	}
	if tty != "" {
		e.set("SSH_TTY", tty)
	}
	if spec.PTY != nil && spec.PTY.Term != "" {
		e.set("TERM", spec.PTY.Term)
	}
}

// permitted refuses what would change how programs are loaded or shells start, whatever
// the policy in front said; the proxy's allow-list is the first filter, this is the second.
func permitted(name string) bool {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return false
	}
	for _, prefix := range [...]string{"LD_", "DYLD_", "BASH_FUNC_", "SSH_", "FAKESSH_"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	switch name {
	case "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "IFS", "PS4", "GCONV_PATH", "LOCPATH", "NLSPATH",
		"TZDIR", "MALLOC_TRACE", "RESOLV_HOST_CONF", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "GLIBC_TUNABLES":
		return false
	}
	return true
}

// readFile adds what pam_env would read from an environment file: NAME=VALUE or export
// NAME=VALUE, quotes around the value removed, # begins a comment. A missing file is empty.
func (e *environment) readFile(name string) {
	data, err := os.ReadFile(name)
	if err != nil || len(data) > 64<<10 {
		return
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := parseEnvLine(line); ok {
			e.set(name, value)
		}
	}
}

func parseEnvLine(line string) (name, value string, ok bool) {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	line = strings.TrimSpace(strings.TrimPrefix(line, "export "))
	name, value, ok = strings.Cut(line, "=")
	if !ok || !isName(name) || strings.IndexByte(value, 0) >= 0 {
		return "", "", false
	}
	if len(value) > 0 && (value[0] == '"' || value[0] == '\'') {
		quote := value[:1]
		value = strings.TrimSuffix(value[1:], quote)
	}
	return name, value, true
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
