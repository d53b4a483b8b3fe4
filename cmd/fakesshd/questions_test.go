package main

import (
	"slices"
	"strings"
	"testing"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

const permitAll = `permit (principal, action, resource);`

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

func TestControlSessionsHaveTheEnvironmentOfSSH(t *testing.T) {
	g := startGateway(t, "", permitAll)
	spec := &session.Spec{
		Kind: session.Exec, Command: "env; pwd", Dir: "/proc", ClientAddr: "192.0.2.1 1", ServerAddr: "192.0.2.2 2",
		Env: map[string]string{"LC_X": "y", "PYTHONPATH": "/evil", "PERL5OPT": "-Mevil", "GIT_SSH_COMMAND": "evil", "FOO": "evil"},
	}
	a := g.ask(t, &session.Invocation{Op: session.OpSession, Host: "local", Spec: spec})
	if a.err != "" || !strings.Contains(a.out, "LC_X=y\n") {
		t.Errorf("%+v", a)
	}
	for _, bad := range []string{"evil", "PYTHONPATH", "SSH_CONNECTION", "192.0.2.", "/proc"} {
		if strings.Contains(a.out, bad) {
			t.Errorf("%s is in\n%s", bad, a.out)
		}
	}
}

// accept_env is what clients may set beside what they always may; what they never may stays so.
func TestAcceptEnv(t *testing.T) {
	g := startGateway(t, `accept_env: ["FOO_*", _XXX_TEST, "*"]`+"\n", permitAll)
	spec := &session.Spec{Kind: session.Exec, Command: "env", Env: map[string]string{
		"FOO_BAR": "1", "_XXX_TEST": "2", "LC_X": "3", "LD_PRELOAD": "evil", "BASH_ENV": "evil", "ENV": "evil", "PATH": "/evil",
	}}
	a := g.ask(t, &session.Invocation{Op: session.OpSession, Host: "local", Spec: spec})
	for _, want := range []string{"FOO_BAR=1\n", "_XXX_TEST=2\n", "LC_X=3\n"} {
		if !strings.Contains(a.out, want) {
			t.Errorf("%q is not in %+v", want, a)
		}
	}
	if strings.Contains(a.out, "evil") {
		t.Errorf("got %s", a.out)
	}
}

func TestRunFromIsAskedAsExecThere(t *testing.T) {
	g := startGateway(t, "", `
permit (principal, action in [Action::"exec", Action::"hop"], resource) when { context.command == "id -u" };
permit (principal, action == Action::"run", resource);
`)
	run := func(from string, args ...string) answer {
		return g.ask(t, &session.Invocation{Op: session.OpRun, From: from, Args: args})
	}
	if a := run("local", "id", "-u"); a.err != "" || a.out == "" {
		t.Errorf("permitted: %+v", a)
	}
	if a := run("local", "sh", "-c", "echo pwned"); a != (answer{err: "access denied"}) {
		t.Errorf("another program: %+v", a)
	}
	a := g.ask(t, &session.Invocation{Op: session.OpRun, From: "local", Args: []string{"id", "-u"}, Dir: "/tmp"})
	if a != (answer{err: "access denied"}) {
		t.Errorf("elsewhere: %+v", a)
	}
	before := len(g.tree.Nodes())
	if a := run("local+sudo.nobody", "id", "-u"); a != (answer{err: "access denied"}) {
		t.Errorf("a hop: %+v", a)
	}
	if got := len(g.tree.Nodes()); got != before {
		t.Errorf("%d contexts after a hop that was denied, %d before", got, before)
	}
	want := []string{
		`allow exec local "id -u"`, `allow run local "id -u"`,
		`deny exec local "sh -c 'echo pwned'"`,
		`deny exec local "cd /tmp && id -u"`,
		`deny hop local+sudo.nobody ""`,
	}
	if got := g.decisions(t); !slices.Equal(got, want) {
		t.Errorf("on record: %q", got)
	}
}

func TestExecAloneIsNoRunFrom(t *testing.T) {
	g := startGateway(t, "", onlyID)
	a := g.ask(t, &session.Invocation{Op: session.OpRun, From: "local", Args: []string{"id", "-u"}})
	if a != (answer{err: "access denied"}) {
		t.Errorf("%+v", a)
	}
}

func TestHoldIsAskedAsForward(t *testing.T) {
	g := startGateway(t, "", `permit (principal, action == Action::"run", resource);`)
	if a := g.ask(t, &session.Invocation{Op: session.OpHold, Host: "local"}); a != (answer{err: "access denied"}) {
		t.Errorf("%+v", a)
	}
	if got := g.decisions(t); !slices.Equal(got, []string{`deny forward_local local ""`}) {
		t.Errorf("on record: %q", got)
	}
}

// For those who could do nothing there as any account nothing is connected; whom only the account keeps out is told so when it is known.
func TestNothingIsConnectedInVain(t *testing.T) {
	g := startGateway(t, `targets: {shut: {method: local, groups: [shut]}}`, `
permit (principal, action == Action::"exec", resource) when { context.account == "nobody-at-all" };
forbid (principal, action, resource in TargetGroup::"shut");
`)
	id := &session.Spec{Kind: session.Exec, Command: "id -u"}
	for _, inv := range []session.Invocation{
		{Op: session.OpSession, Host: "shut", Spec: id},
		{Op: session.OpSession, Host: "local", Spec: &session.Spec{Kind: session.Shell}},
		{Op: session.OpSession, Host: "local", Account: "root", Spec: id},
		{Op: session.OpDial, Host: "local", Network: "tcp", Address: "127.0.0.1:1"},
		{Op: session.OpHold, Host: "local"},
		{Op: session.OpRun, From: "local", Args: []string{"id"}},
	} {
		if a := g.ask(t, &inv); a != (answer{err: "access denied"}) {
			t.Errorf("%+v: %+v", inv, a)
		}
		if n := len(g.tree.Nodes()); n != 0 {
			t.Fatalf("%+v: %d contexts", inv, n)
		}
	}
	if a := g.ask(t, &session.Invocation{Op: session.OpSession, Host: "local", Account: "#0", Spec: id}); !strings.Contains(a.err, "no name of an account") {
		t.Errorf("#0: %+v", a)
	}
	if a := g.ask(t, &session.Invocation{Op: session.OpSession, Host: "local", Spec: id}); a != (answer{err: "access denied"}) || len(g.tree.Nodes()) != 1 {
		t.Errorf("the real account: %+v, %d contexts", a, len(g.tree.Nodes()))
	}
}

// A local sftp through the control socket is held to the same: reading alone, with what was refused on record.
func TestReadOnlySFTPByTheControlSocket(t *testing.T) {
	g := startGateway(t, "", `permit (principal, action == Action::"sftp_read", resource);`)
	const mkdir = "\x00\x00\x00\x12\x0e\x00\x00\x00\x07\x00\x00\x00\x05/none\x00\x00\x00\x00"
	a := g.askWith(t, "\x00\x00\x00\x05\x01\x00\x00\x00\x03"+mkdir, &session.Invocation{
		Op: session.OpSession, Host: "local", Spec: &session.Spec{Kind: session.Subsystem, Command: "sftp"},
	})
	if !strings.Contains(a.out, "\x00\x00\x00\x07\x00\x00\x00\x03\x00\x00\x00") || a.exit != 0 || a.err != "" { // STATUS 3
		t.Errorf("got %+v", a)
	}
	if want := []string{`allow sftp_read local ""`, `deny sftp_write local ""`}; !slices.Equal(g.decisions(t), want) {
		t.Errorf("on record: %q", g.decisions(t))
	}
	records := g.audit(t)
	if end := records[len(records)-1]; end.Event != authz.EventEnd || end.Reason != "refused as read-only: mkdir /none" {
		t.Errorf("got %+v", end)
	}
}
