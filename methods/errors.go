package methods

import (
	"cmp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error is what Dial returns. Its text is one line, without the name of the target, which the caller knows.
type Error struct {
	Method string
	Name   string   // the context's name, "docker.app"
	Stage  string   // "check", "start", "connect", or bootstrap's "hello", "upload", "ready"
	Tail   []string // the last lines that the tool and the far side printed
	Hint   string   // advice of the method, may be empty; not part of the text
	Err    error
}

func (e *Error) Error() string {
	if e.Stage == stageStart {
		return "start " + e.Method + ": " + e.Err.Error()
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Stages of Error that are this package's own.
const (
	stageCheck   = "check"
	stageStart   = "start"
	stageConnect = "connect"
)

// PasswordError says that a password, or another proof of who we are, is missing or wrong.
type PasswordError struct {
	Text string
	Said string // the tool's own words, may be empty
}

func (e *PasswordError) Error() string {
	if e.Said == "" {
		return e.Text
	}
	return e.Text + ": " + e.Said
}

// HostKeyError says that an ssh host key was not accepted.
type HostKeyError struct {
	// Reason is "unknown", "changed", "revoked" or "refused" (ssh asked although it was not to).
	Reason string
	Key    string // "ED25519", may be empty
	Host   string // as ssh spells it, "[127.0.0.1]:2222"; may be empty
	File   string // the known_hosts file with the other key, may be empty
	Line   int    // its line there, 0 if not known
}

func (e *HostKeyError) Error() string {
	switch e.Reason {
	case "changed", "revoked":
		if e.Line == 0 {
			return "host key " + e.Reason
		}
		return "host key " + e.Reason + " (" + baseName(e.File) + " line " + strconv.Itoa(e.Line) + ")"
	case "refused":
		return "ssh requested permission to accept unknown host key, but check_host_keys=ignore; this is likely due to ssh_args= conflicting with check_host_keys="
	}
	var what []string
	for _, s := range []string{e.Key, e.Host} {
		if s != "" {
			what = append(what, s)
		}
	}
	if len(what) == 0 {
		return "host key unknown"
	}
	return "host key unknown (" + strings.Join(what, ", ") + ")"
}

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// EOFError says that the tool ended, or closed its output, before the agent was up or, with Late, afterwards.
type EOFError struct {
	Words  string // the telling line of what it printed, may be empty
	Status string // "exit status 1", "signal: killed"; empty while it runs
	Late   bool
}

func (e *EOFError) Error() string {
	switch {
	case e.Words != "":
		return e.Words
	case e.Late:
		return "connection lost (" + cmp.Or(e.Status, "end of file") + ")"
	case e.Status != "":
		return "ended before the agent was up (" + e.Status + ")"
	}
	return "closed its output before the agent was up"
}

// TimeoutError says that connect_timeout passed. It is a net.Error that timed out.
type TimeoutError struct {
	After time.Duration
	Words string // the last line that was printed, often a question; may be empty
}

func (e *TimeoutError) Error() string {
	text := "not connected after " + e.After.String()
	if e.Words == "" {
		return text
	}
	return text + " (last words: " + quoted(e.Words) + ")"
}

// Timeout and Temporary make it a net.Error.
func (e *TimeoutError) Timeout() bool   { return true }
func (e *TimeoutError) Temporary() bool { return true }

// AccountError says that there is no such account here.
type AccountError struct{ Name string }

func (e *AccountError) Error() string { return "no account " + quoted(e.Name) }

// eofError makes an error of a tool's last words.
func eofError(lines []string, status string) error {
	return &EOFError{Words: tellingLine(lines), Status: status}
}

// tellingLine is the first line that speaks of an error, or else the last one.
func tellingLine(lines []string) string {
	for _, line := range lines {
		lower := strings.ToLower(line)
		if strings.Contains(lower, "error") && !strings.HasSuffix(lower, "error:") {
			return line
		}
	}
	return lastLine(lines)
}

// lastLine is the last line that is not blank, without the blanks around it.
func lastLine(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if s := strings.TrimSpace(lines[i]); s != "" {
			return s
		}
	}
	return ""
}

// printable makes a line of a tool harmless to a terminal and a log: no control characters, valid UTF-8.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "\uFFFD"))
}
