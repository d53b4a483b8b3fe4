package methods

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&Error{Method: "docker", Stage: stageStart, Err: errors.New("executable file not found")}, "start docker: executable file not found"},
		{&Error{Method: "ssh", Stage: stageConnect, Err: &HostKeyError{Reason: "changed", File: "/a/known_hosts", Line: 12}}, "host key changed (known_hosts line 12)"},
		{&HostKeyError{Reason: "unknown"}, "host key unknown"},
		{&HostKeyError{Reason: "unknown", Host: "h"}, "host key unknown (h)"},
		{&EOFError{}, "closed its output before the agent was up"},
		{&EOFError{Status: "exit status 1"}, "ended before the agent was up (exit status 1)"},
		{&EOFError{Status: "exit status 1", Words: "no such thing"}, "no such thing"},
		{&EOFError{Status: "exit status 255", Late: true}, "connection lost (exit status 255)"},
		{&EOFError{Late: true}, "connection lost (end of file)"},
		{&TimeoutError{After: 30 * time.Second}, "not connected after 30s"},
		{&TimeoutError{After: 30 * time.Second, Words: "Code:"}, `not connected after 30s (last words: "Code:")`},
		{&AccountError{Name: "x"}, `no account "x"`},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%#v says %q, want %q", c.err, got, c.want)
		}
	}
	var timeout net.Error
	if !errors.As(&Error{Err: &TimeoutError{}}, &timeout) || !timeout.Timeout() {
		t.Error("a TimeoutError is no timeout")
	}
}

func TestTellingLine(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"one", " two ", "", " "}, "two"},
		{[]string{"Unable to find image 'x:latest' locally", "docker: Error response from daemon: pull access denied", "", "Run 'docker run --help' for more information"},
			"docker: Error response from daemon: pull access denied"},
		{[]string{"Error:", "no such thing"}, "no such thing"},
	} {
		if got := tellingLine(c.lines); got != c.want {
			t.Errorf("of %q it takes %q", c.lines, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain é": "plain é", "\x1b[31mred\x1b[0m": "[31mred[0m", "a\tb\r": "a b", "bad\xff": "bad\uFFFD", "\u202eabc\u0085": "abc",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q", in, got)
		}
	}
}

// The tail is bounded in lines and in bytes.
func TestTail(t *testing.T) {
	var kept tail
	long := make([]byte, 5000)
	for i := range long {
		long[i] = 'x'
	}
	for range 3 * tailLines {
		kept.add(string(long))
		kept.add("")
	}
	lines := kept.all()
	if len(lines) != tailLines || len(lines[0]) != tailLineSize {
		t.Errorf("%d lines of %d bytes are kept", len(lines), len(lines[0]))
	}
	if lines := kept.since(time.Now().Add(time.Hour)); len(lines) != 0 {
		t.Errorf("%d lines come from the future", len(lines))
	}
}

func TestEnded(t *testing.T) {
	if !ended(io.EOF) || ended(net.ErrClosed) {
		t.Error("an end is what the far side does")
	}
}

func TestSudosReasonIsWhatItSaysFirst(t *testing.T) {
	err := sudoDiagnose([]string{"sudo: unknown user carol", "sudo: error initializing audit plugin sudoers_audit"}, "exit status 1")
	if got, want := err.Error(), "sudo: unknown user carol"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
