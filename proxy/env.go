package proxy

import "strings"

// defaultEnv are the variables that a client may set: how its terminal looks and speaks, and what git needs to negotiate.
// A trailing "*" stands for anything.
var defaultEnv = []string{"TERM", "LANG", "LANGUAGE", "LC_*", "COLORTERM", "NO_COLOR", "TZ", "GIT_PROTOCOL"}

// neverEnv are refused whatever is configured: each makes a loader, shell or interpreter run or read something of the caller's
// choice before the program that policy allowed, or is the server's own to set.
var neverEnv = []string{
	"LD_*", "DYLD_*", "BASH_*", "ENV", "SHELLOPTS", "IFS", "PS4", "PROMPT_COMMAND", "ZDOTDIR", "FPATH",
	"PYTHON*", "PERL*", "RUBY*", "NODE_*", "LUA_*", "JAVA_TOOL_OPTIONS", "GCONV_PATH", "LOCPATH", "NLSPATH", "HOSTALIASES",
	"MALLOC_*", "GIO_*", "TERMINFO", "TERMINFO_DIRS", "TERMCAP",
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "MAIL", "PWD", "TMPDIR", "SSH_*", "SUDO_*", "XDG_*",
}

// Bounds on what one session may set.
const (
	maxEnv      = 128
	maxEnvName  = 128
	maxEnvValue = 4096
)

// envAllowed decides about one variable. extra are further patterns from the configuration.
func envAllowed(name, value string, extra []string) bool {
	if len(value) > maxEnvValue || strings.IndexByte(value, 0) >= 0 || !envName(name) {
		return false
	}
	if matchAny(neverEnv, name) {
		return false
	}
	return matchAny(defaultEnv, name) || matchAny(extra, name)
}

// envName reports whether s is a portable variable name.
func envName(s string) bool {
	if s == "" || len(s) > maxEnvName || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// matchAny matches name against patterns with at most a trailing star.
func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if prefix, star := strings.CutSuffix(p, "*"); star && strings.HasPrefix(name, prefix) || p == name {
			return true
		}
	}
	return false
}
