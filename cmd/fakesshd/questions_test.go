package main

import (
	"slices"
	"strings"
	"testing"

	"fakessh/bootstrap/agent/session"
)

const onlyID = `permit (principal == User::"me", action == Action::"exec", resource) when { context.command == "id -u" };`

func TestPolicySeesWhatRuns(t *testing.T) {
	g := startGateway(t, "", onlyID)
	start := func(spec session.Spec) answer {
		return g.ask(t, &session.Invocation{Op: session.OpSession, Host: "local", Spec: &spec})
	}
	for _, spec := range []session.Spec{
		{Kind: session.Exec, Command: "id -u"},
		{Kind: session.Argv, Args: []string{"id", "-u"}},
	} {
		if a := start(spec); a.err != "" || a.exit != 0 || a.out == "" {
			t.Errorf("%+v: %+v", spec, a)
		}
	}
	for why, spec := range map[string]session.Spec{
		"access denied":     {Kind: session.Argv, Args: []string{"id -u"}}, // one word is another command
		"does not belong":   {Kind: session.Argv, Command: "id -u", Args: []string{"sh", "-c", "echo pwned"}},
		"belong to":         {Kind: session.Exec, Command: "id -u", Args: []string{"sh"}},
		"not belong":        {Kind: session.Shell, Command: "id -u"},
		`no subsystem "id`:  {Kind: session.Subsystem, Command: "id -u"},
		"access denied\x00": {Kind: session.Subsystem, Command: "sftp"},
	} {
		if a := start(spec); !strings.Contains(a.err, strings.TrimSuffix(why, "\x00")) || a.out != "" {
			t.Errorf("%+v: %+v", spec, a)
		}
	}
	want := []string{`allow exec local "id -u"`, `allow exec local "id -u"`}
	if got := g.decisions(t); !slices.Equal(got[:2], want) || !slices.Contains(got, `deny exec local "'id -u'"`) {
		t.Errorf("on record: %q", got)
	}
}
