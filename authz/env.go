package authz

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// DefaultEnv is what a client may set when the configuration says nothing. A star stands for any text.
var DefaultEnv = []string{"TERM", "LANG", "LANGUAGE", "LC_*", "COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "NO_COLOR", "TZ", "GIT_PROTOCOL"}

// neverEnv is refused whatever the configuration allows: each of them makes some program load or run code, read
// configuration, or believe something about who it is.
var neverEnv = []string{
	// The dynamic linker and the C library.
	"LD_*", "DYLD_*", "GLIBC_TUNABLES", "GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "MALLOC_*",
	"NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "RPCAUTHOPTS", "TZDIR", "_RLD*", "LIBPATH", "SHLIB_PATH", "AUTHSTATE",
	// Shells.
	"BASH_*", "BASHOPTS", "SHELLOPTS", "ENV", "IFS", "CDPATH", "GLOBIGNORE", "PS4", "PROMPT_COMMAND", "ZDOTDIR", "FPATH", "KSH_*",
	// Interpreters.
	"PYTHON*", "PERL*", "RUBY*", "NODE_*", "JAVA_*", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "LUA_*", "PHPRC", "PHP_INI_SCAN_DIR", "GEM_*", "GODEBUG",
	// Helpers that tools start.
	"GIT_SSH*", "GIT_EXEC_PATH", "GIT_CONFIG*", "GIT_PROXY_COMMAND", "GIT_ASKPASS", "GIT_EXTERNAL_DIFF", "GIT_EDITOR", "GIT_PAGER",
	"GIT_TEMPLATE_DIR", "RSYNC_*", "LESSOPEN", "LESSCLOSE", "PAGER", "EDITOR", "VISUAL", "BROWSER", "TERMCAP", "TERMINFO*", "TERMPATH",
	// The identity that the agent sets itself.
	"USER", "LOGNAME", "HOME", "SHELL", "PATH", "MAIL", "SSH_*", "SUDO_*", "KRB5*", "XDG_*", "TMPDIR", "FAKESSH*", "MITOGEN*",
}

const maxEnvValue = 32 << 10

// EnvList says which variables a client may set in its session. Its zero value allows none.
type EnvList struct{ allow []string }

// NewEnvList takes names, in which a star stands for any text and a question mark for any one letter: "LC_*". What is never allowed cannot be
// named: it would look as if it were.
func NewEnvList(names ...string) (EnvList, error) {
	for _, n := range names {
		name := strings.NewReplacer("*", "_", "?", "_").Replace(n)
		switch {
		case !validEnvName(name):
			return EnvList{}, fmt.Errorf("environment name %q: want letters, digits, _, * and ?", n)
		case matchAny(neverEnv, name):
			return EnvList{}, fmt.Errorf("environment name %q: no client may ever set it", n)
		}
	}
	return EnvList{allow: slices.Clone(names)}, nil
}

// DefaultEnvList is the list of DefaultEnv.
func DefaultEnvList() EnvList { return EnvList{allow: DefaultEnv} }

// Allowed reports whether a client may set name to value.
func (l EnvList) Allowed(name, value string) bool {
	return validEnvName(name) && len(value) <= maxEnvValue && !strings.ContainsRune(value, 0) &&
		matchAny(l.allow, name) && !matchAny(neverEnv, name)
}

// Filter returns what of env is allowed.
func (l EnvList) Filter(env map[string]string) map[string]string {
	out := make(map[string]string)
	for name, value := range env {
		if l.Allowed(name, value) {
			out[name] = value
		}
	}
	return out
}

// matchAny needs validated names: they hold no slash and none of path.Match's other specials.
func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}

// validEnvName is POSIX's: letters, digits and underscores, not beginning with a digit.
func validEnvName(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
